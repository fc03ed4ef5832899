//! XGBoost's models. JSON and UBJSON hold the same document, read here once; what is not needed is skipped.

mod lists;

use self::lists::Lists;
use super::objective::{Link, Transform};
use super::trees::{Node, Trees};
use super::{Booster, Forest, at, broken, check_targets, unsupported};
use crate::model::{LoadError, shorten};

/// A document of nested objects and lists, read once from front to back.
pub(super) trait Document {
    /// Calls `member` with each key of the object that follows; it must read the value.
    fn object(
        &mut self,
        member: impl FnMut(&mut Self, &str) -> Result<(), LoadError>,
    ) -> Result<(), LoadError>;

    /// Calls `element` before each element of the list that follows; it must read it.
    fn array(&mut self, element: impl FnMut(&mut Self) -> Result<(), LoadError>) -> Result<(), LoadError>;

    fn string(&mut self) -> Result<String, LoadError>;

    /// An integer; true and false are 1 and 0.
    fn integer(&mut self) -> Result<i64, LoadError>;

    /// Replaces `out` by a list of integers.
    fn integers(&mut self, out: &mut Vec<i64>) -> Result<(), LoadError>;

    /// Replaces `out` by a list of numbers.
    fn floats(&mut self, out: &mut Vec<f32>) -> Result<(), LoadError>;

    fn skip(&mut self) -> Result<(), LoadError>;

    /// Makes sure that nothing is left.
    fn end(&mut self) -> Result<(), LoadError>;
}

/// What is kept of a file until all of it was read: keys come in any order.
#[derive(Default)]
struct File {
    version: Vec<i64>,
    booster: Option<String>,
    objective: Option<String>,
    base_score: Option<String>,
    features: usize,
    classes: usize,
    outputs: usize,
    columns: Vec<String>,
    stated_trees: Option<usize>,
    targets: Vec<i64>,
    weights: Vec<f32>,
    forest: Trees<f32>,
}

/// Reads a model.
pub(super) fn read<D: Document>(document: &mut D) -> Result<Booster, LoadError> {
    let strange = || {
        broken(
            "there is no `learner`: this is no model that XGBoost saved; LightGBM's models are read as text, from .txt files",
        )
    };
    let (mut file, mut found) = (File::default(), false);
    document.object(|document, key| match key {
        "learner" => {
            found = true;
            file.learner(document)
        }
        "version" => document.integers(&mut file.version),
        // So starts LightGBM's dump.
        "name" => Err(strange()),
        _ => document.skip(),
    })?;
    document.end()?;
    if found { file.finish() } else { Err(strange()) }
}

/// A number that the file keeps as text.
fn number(document: &mut impl Document, key: &str) -> Result<usize, LoadError> {
    let text = document.string()?;
    text.parse().map_err(|_| broken(format!("`{key}` is `{}`, not a number", shorten(&text))))
}

impl File {
    fn learner<D: Document>(&mut self, document: &mut D) -> Result<(), LoadError> {
        document.object(|document, key| match key {
            "feature_names" => {
                self.columns.clear();
                document.array(|document| {
                    self.columns.push(document.string()?);
                    Ok(())
                })
            }
            "gradient_booster" => self.booster(document, true),
            "learner_model_param" => document.object(|document, key| {
                match key {
                    "base_score" => self.base_score = Some(document.string()?),
                    "num_feature" => self.features = number(document, key)?,
                    "num_class" => self.classes = number(document, key)?,
                    "num_target" => self.outputs = number(document, key)?,
                    _ => document.skip()?,
                }
                Ok(())
            }),
            "objective" => document.object(|document, key| {
                match key {
                    "name" => self.objective = Some(document.string()?),
                    _ => document.skip()?,
                }
                Ok(())
            }),
            _ => document.skip(),
        })
    }

    /// A booster; that of dart holds another one, whose name does not count.
    fn booster<D: Document>(&mut self, document: &mut D, outer: bool) -> Result<(), LoadError> {
        document.object(|document, key| match key {
            "gbtree" if outer => self.booster(document, false),
            "name" if outer => {
                self.booster = Some(document.string()?);
                Ok(())
            }
            "weight_drop" => document.floats(&mut self.weights),
            "model" => self.model(document),
            _ => document.skip(),
        })
    }

    fn model<D: Document>(&mut self, document: &mut D) -> Result<(), LoadError> {
        document.object(|document, key| match key {
            "gbtree_model_param" => document.object(|document, key| {
                match key {
                    "num_trees" => self.stated_trees = Some(number(document, key)?),
                    _ => document.skip()?,
                }
                Ok(())
            }),
            "tree_info" => document.integers(&mut self.targets),
            "trees" => {
                let (mut tree, mut lists) = (0, Lists::default());
                self.forest = Trees::default();
                document.array(|document| {
                    lists
                        .read(document, tree, &mut self.forest)
                        .map_err(|error| at(format_args!("tree {tree}"), error))?;
                    tree += 1;
                    Ok(())
                })
            }
            // Since 3.4 it stands here.
            "weight_drop" => document.floats(&mut self.weights),
            _ => document.skip(),
        })
    }

    fn finish(mut self) -> Result<Booster, LoadError> {
        match self.booster.as_deref() {
            Some("gbtree" | "dart") => {}
            Some("gblinear") => {
                return Err(unsupported(
                    "booster `gblinear` is a linear model, not trees; export it to ONNX",
                ));
            }
            Some(other) => return Err(unsupported(format!("booster `{}` is not known", shorten(other)))),
            None => return Err(broken("`gradient_booster` has no name")),
        }
        let (major, minor) = match *self.version {
            [major, minor, ..] => (major, minor),
            _ => return Err(broken("`version` is missing")),
        };
        let objective = self.objective.as_deref().ok_or_else(|| broken("`objective` has no name"))?;
        let (transform, link) = Transform::xgboost(objective, (major, minor))?;
        let targets = self.classes.max(self.outputs).max(1);
        check_targets(targets)?;
        let trees = self.forest.trees.len();
        if self.stated_trees.is_some_and(|stated| stated != trees) || self.targets.len() != trees {
            let stated = self.stated_trees.unwrap_or(trees);
            return Err(broken(format!(
                "there are {trees} trees, but `num_trees` is {stated} and `tree_info` has {} entries",
                self.targets.len()
            )));
        }
        if self.weights.len() > trees {
            return Err(broken(format!(
                "`weight_drop` has {} entries for {trees} trees",
                self.weights.len()
            )));
        }
        for (tree, target) in self.targets.iter().enumerate() {
            match usize::try_from(*target) {
                Ok(target) if target < targets => self.forest.trees[tree].target = target as u32,
                _ => return Err(broken(format!("tree {tree} adds to output {target} of {targets}"))),
            }
        }
        self.forest.check_features(self.features)?;
        self.weigh();
        self.start(targets, link)?;
        let columns = std::mem::take(&mut self.columns);
        if !columns.is_empty() && columns.len() != self.features {
            return Err(broken(format!("{} feature names for {} features", columns.len(), self.features)));
        }
        Booster::new(Forest::Single(self.forest), self.features, columns, targets, None, transform)
    }

    /// Gives the trees their weights (dart): XGBoost multiplies a leaf before it is added, in float32.
    fn weigh(&mut self) {
        for (tree, weight) in self.weights.iter().enumerate() {
            self.forest.leaves_mut(tree).for_each(|leaf| *leaf *= weight);
        }
    }

    /// Makes the first tree of each target add the starting score too: that is where XGBoost's sum starts.
    fn start(&mut self, targets: usize, link: Link) -> Result<(), LoadError> {
        let text = self.base_score.as_deref().ok_or_else(|| broken("`base_score` is missing"))?;
        let wrong = || broken(format!("`base_score` is `{}`", shorten(text)));
        // A list since 3.1, one for all outputs or one for each.
        let list = text.trim().trim_start_matches('[').trim_end_matches(']').split(',');
        let bases = list.map(|base| base.trim().parse().ok().filter(|base: &f32| base.is_finite()));
        let bases: Vec<f32> = bases.collect::<Option<_>>().ok_or_else(wrong)?;
        if bases.len() != 1 && bases.len() != targets {
            return Err(broken(format!("`base_score` has {} entries for {targets} outputs", bases.len())));
        }
        let margins: Vec<f32> = bases.iter().map(|base| link.margin(*base)).collect();
        if margins.iter().any(|margin| margin.is_nan()) {
            return Err(wrong());
        }
        let mut open = vec![true; targets];
        for tree in 0..self.forest.trees.len() {
            let target = self.forest.trees[tree].target as usize;
            if std::mem::take(&mut open[target]) {
                let margin = margins[target.min(margins.len() - 1)];
                self.forest.leaves_mut(tree).for_each(|leaf| *leaf += margin);
            }
        }
        for target in (0..targets).filter(|target| open[*target]) {
            self.forest.begin(target as u32)?;
            self.forest.nodes.push(Node::Leaf(margins[target.min(margins.len() - 1)]));
        }
        Ok(())
    }
}
