//! What was learned, as a run keeps it: `fitted.bin`, from which a run that ended behind its training is taken up.
//!
//! A line of JSON with everything but the nodes of trees, then these, [`NODE`] bytes each: forests have millions, and
//! thresholds may be infinite, which JSON does not know.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sidegate::booster::{Booster, Forest, Node, Test, Transform, Tree, Trees};

use crate::failure::Failure;
use crate::learner::{Fitted, Importance, Linear, Model};
use crate::search::Trained;
use crate::table::Round;

/// Its name in the folder of a run.
pub(crate) const FILE: &str = "fitted.bin";
/// Its form; a changed one gets a new number.
const FORMAT: u32 = 1;
/// Feature, kind, value, and the two places that follow.
const NODE: usize = 4 + 1 + 8 + 4 + 4;
/// Set in a node's kind where a missing value goes to `yes`.
const MISSING: u8 = 0x80;

#[derive(Serialize, Deserialize)]
struct Head {
    format: u32,
    rounds: u32,
    importance: Vec<(f64, u64)>,
    /// What rounds are measured by.
    metric: String,
    curve: Vec<Point>,
    params: toml::Table,
    form: Form,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    Linear {
        weights: Vec<Vec<f64>>,
        intercepts: Vec<f64>,
    },
    Trees {
        columns: Vec<String>,
        targets: usize,
        divisor: Option<u32>,
        transform: Transform,
        /// Whether they compare and add in float64.
        double: bool,
        /// Root and target.
        trees: Vec<(u32, u32)>,
        sets: Vec<Vec<u32>>,
        nodes: usize,
    },
}

/// A round; a metric that is no number is null.
#[derive(Serialize, Deserialize)]
struct Point {
    round: u32,
    of: u32,
    train: Option<f64>,
    validation: Option<f64>,
}

/// Numbers that trees compare and add in; all of them are float64 too.
trait Number: Copy {
    fn wide(self) -> f64;
    fn narrow(wide: f64) -> Self;
}

impl Number for f32 {
    fn wide(self) -> f64 {
        self.into()
    }

    fn narrow(wide: f64) -> Self {
        wide as Self
    }
}

impl Number for f64 {
    fn wide(self) -> f64 {
        self
    }

    fn narrow(wide: f64) -> Self {
        wide
    }
}

// === impl Trained ===

impl Trained {
    /// Keeps it in a file.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) fn keep(&self, path: &Path) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::file(path, &error);
        let mut out = BufWriter::new(File::create(path).map_err(failed)?);
        serde_json::to_writer(&mut out, &self.head()).map_err(|error| failed(error.into()))?;
        out.write_all(b"\n").map_err(failed)?;
        if let Model::Booster(booster) = &self.fitted.model {
            match &booster.forest {
                Forest::Single(trees) => write_nodes(&mut out, trees),
                Forest::Double(trees) => write_nodes(&mut out, trees),
            }
            .map_err(failed)?;
        }
        out.flush().map_err(failed)
    }

    /// Reads what was kept. The library's own file is not part of it: it lies beside.
    ///
    /// # Errors
    /// When it is not there, or of another program.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |what: &dyn std::fmt::Display| {
            Failure::Failed(format!("{}: {what}; --from train trains anew", path.display()))
        };
        let mut file = BufReader::new(File::open(path).map_err(|error| failed(&error))?);
        let mut line = Vec::new();
        file.read_until(b'\n', &mut line).map_err(|error| failed(&error))?;
        let head: Head = serde_json::from_slice(&line).map_err(|error| failed(&error))?;
        if head.format != FORMAT {
            return Err(failed(&format!(
                "it has format {}, this sidegate-train reads {FORMAT}",
                head.format
            )));
        }
        head.trained(&mut file).map_err(|error| failed(&error))
    }

    fn head(&self) -> Head {
        let Fitted { model, importance, rounds, .. } = &self.fitted;
        let point = |round: &Round| Point {
            round: round.round,
            of: round.of,
            train: Some(round.train),
            validation: round.validation,
        };
        Head {
            format: FORMAT,
            rounds: *rounds,
            importance: importance.iter().map(|worth| (worth.gain, worth.splits)).collect(),
            metric: self.rounds.first().map_or_else(String::new, |round| round.metric.to_owned()),
            curve: self.rounds.iter().map(point).collect(),
            params: self.params.clone(),
            form: match model {
                Model::Linear(linear) => {
                    Form::Linear { weights: linear.weights.clone(), intercepts: linear.intercepts.clone() }
                }
                Model::Booster(booster) => {
                    let (trees, sets, nodes, double) = match &booster.forest {
                        Forest::Single(forest) => (&forest.trees, &forest.sets, forest.nodes.len(), false),
                        Forest::Double(forest) => (&forest.trees, &forest.sets, forest.nodes.len(), true),
                    };
                    Form::Trees {
                        columns: booster.columns.clone(),
                        targets: booster.targets,
                        divisor: booster.divisor,
                        transform: booster.transform,
                        double,
                        trees: trees.iter().map(|tree| (tree.root, tree.target)).collect(),
                        sets: sets.clone(),
                        nodes,
                    }
                }
            },
        }
    }
}

// === impl Head ===

impl Head {
    fn trained(self, nodes: &mut dyn Read) -> Result<Trained, String> {
        let model = match self.form {
            Form::Linear { weights, intercepts } => Model::Linear(Linear { weights, intercepts }),
            Form::Trees { columns, targets, divisor, transform, double, trees, sets, nodes: count } => {
                let shape = Shape { features: columns.len(), count, trees, sets };
                let forest = if double {
                    Forest::Double(shape.read(nodes)?)
                } else {
                    Forest::Single(shape.read(nodes)?)
                };
                let features = columns.len();
                let booster = Booster::new(forest, features, columns, targets, divisor, transform);
                Model::Booster(booster.map_err(|error| error.to_string())?)
            }
        };
        // Rounds name their metric by a word of the program. This one is read once.
        let metric: &'static str = self.metric.leak();
        let importance = self.importance.into_iter().map(|(gain, splits)| Importance { gain, splits });
        let rounds = self.curve.into_iter().map(|point| Round {
            round: point.round,
            of: point.of,
            metric,
            train: point.train.unwrap_or(f64::NAN),
            validation: point.validation,
        });
        Ok(Trained {
            fitted: Fitted { model, importance: importance.collect(), rounds: self.rounds, file: None },
            rounds: rounds.collect(),
            params: self.params,
        })
    }
}

fn write_nodes<T: Number>(out: &mut dyn Write, forest: &Trees<T>) -> std::io::Result<()> {
    for node in &forest.nodes {
        let (feature, kind, value, yes, no) = match *node {
            Node::Leaf(value) => (0, 0, value.wide(), 0, 0),
            Node::Split { feature, test, missing, yes, no } => {
                let (kind, value) = match test {
                    Test::Below(value) => (1, value.wide()),
                    Test::AtMost(value) => (2, value.wide()),
                    Test::OneOf(set) => (3, f64::from(set)),
                };
                (feature, if missing { kind | MISSING } else { kind }, value, yes, no)
            }
        };
        let mut bytes = Vec::with_capacity(NODE);
        bytes.extend(feature.to_le_bytes());
        bytes.push(kind);
        bytes.extend(value.to_le_bytes());
        bytes.extend([yes, no].into_iter().flat_map(u32::to_le_bytes));
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// What nodes must fit.
struct Shape {
    features: usize,
    count: usize,
    trees: Vec<(u32, u32)>,
    sets: Vec<Vec<u32>>,
}

impl Shape {
    fn read<T: Number>(self, from: &mut dyn Read) -> Result<Trees<T>, String> {
        let mut forest = Trees::default();
        for at in 0..self.count {
            let mut bytes = [0; NODE];
            from.read_exact(&mut bytes).map_err(|error| format!("node {at}: {error}"))?;
            forest.nodes.push(self.node(&bytes).ok_or_else(|| format!("node {at} cannot be"))?);
        }
        let tree = |(root, target)| Tree { root, target };
        forest.trees = self.trees.into_iter().map(tree).collect();
        forest.sets = self.sets;
        Ok(forest)
    }

    /// What is beyond the features, sets and nodes that there are would end in a panic far from here.
    fn node<T: Number>(&self, bytes: &[u8; NODE]) -> Option<Node<T>> {
        let whole = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let within = |place: u32, count: usize| (place as usize) < count;
        let kind = bytes[4];
        let value = f64::from_le_bytes(bytes[5..13].try_into().ok()?);
        let (feature, yes, no) = (whole(0)?, whole(13)?, whole(17)?);
        let test = match kind & !MISSING {
            0 => return Some(Node::Leaf(T::narrow(value))),
            1 => Test::Below(T::narrow(value)),
            2 => Test::AtMost(T::narrow(value)),
            3 => Test::OneOf(value as u32),
            _ => return None,
        };
        let known = !matches!(test, Test::OneOf(set) if !within(set, self.sets.len()));
        let fits = within(feature, self.features) && within(yes, self.count) && within(no, self.count);
        (known && fits).then_some(Node::Split { feature, test, missing: kind & MISSING != 0, yes, no })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forest<T: Number>(threshold: [T; 2]) -> Trees<T> {
        let mut trees = Trees::default();
        let [low, high] = threshold;
        trees.nodes = vec![
            Node::Split { feature: 0, test: Test::AtMost(high), missing: true, yes: 1, no: 2 },
            Node::Split { feature: 1, test: Test::OneOf(0), missing: false, yes: 3, no: 4 },
            Node::Split { feature: 0, test: Test::Below(low), missing: false, yes: 3, no: 4 },
            Node::Leaf(T::narrow(-0.1)),
            Node::Leaf(T::narrow(1e-30)),
            Node::Leaf(T::narrow(7.0)),
        ];
        trees.trees = vec![Tree { root: 0, target: 0 }, Tree { root: 5, target: 1 }];
        trees.sets = vec![vec![1, 5]];
        trees
    }

    fn trained(model: Model) -> Trained {
        let round = |round, train| Round { round, of: 9, metric: "rmse", train, validation: None };
        Trained {
            fitted: Fitted {
                model,
                importance: vec![Importance { gain: 0.1, splits: 3 }],
                rounds: 2,
                file: None,
            },
            rounds: vec![round(1, 2.5), round(2, 0.1)],
            params: "num_leaves = 9\nlearning_rate = 0.1\nnames = [\"a\"]".parse().unwrap(),
        }
    }

    fn booster(forest: Forest) -> Model {
        let columns = vec!["a".to_owned(), "b".to_owned()];
        let transform = Transform::Logistic { slope: 0.1 };
        Model::Booster(Booster::new(forest, 2, columns, 2, Some(3), transform).unwrap())
    }

    #[test]
    fn what_was_learned_comes_back_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let linear = Linear { weights: vec![vec![0.1, -1e-300], vec![]], intercepts: vec![1.0 / 3.0] };
        for model in [
            booster(Forest::Single(forest([0.1, f32::INFINITY]))),
            booster(Forest::Double(forest([0.1, f64::INFINITY]))),
            Model::Linear(linear),
        ] {
            let before = trained(model);
            before.keep(&path).unwrap();
            let after = Trained::read(&path).unwrap();
            assert_eq!(format!("{:?}", after.fitted), format!("{:?}", before.fitted));
            assert_eq!(format!("{:?}", after.rounds), format!("{:?}", before.rounds));
            assert_eq!(after.params, before.params);
        }
    }

    #[test]
    fn what_is_not_whole_is_refused_with_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let refused = |bytes: &[u8], why: &str| {
            std::fs::write(&path, bytes).unwrap();
            let error = Trained::read(&path).err().unwrap().to_string();
            assert!(error.contains(why) && error.contains("--from train"), "{error} and not {why}");
        };
        trained(booster(Forest::Single(forest([0.1, 0.2])))).keep(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        refused(&whole[..whole.len() - 1], "node 5: ");
        let text = String::from_utf8_lossy(&whole).into_owned();
        refused(text.replacen("\"format\":1", "\"format\":2", 1).as_bytes(), "it has format 2");
        // A feature that is not there would end in a panic far from here.
        let mut odd = whole.clone();
        let first = odd.len() - 6 * NODE;
        odd[first] = 9;
        refused(&odd, "node 0 cannot be");
        let gone = Trained::read(&folder.path().join("none")).err().unwrap().to_string();
        assert!(gone.contains("none: "), "{gone}");
    }
}
