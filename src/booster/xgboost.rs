//! XGBoost's models. JSON and UBJSON hold the same document, read here once; what is not needed is skipped.

use super::objective::{Link, Transform};
use super::trees::{Node, Test, Trees};
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

/// Lists of one tree, reused for the next.
#[derive(Default)]
struct Lists {
    stated_nodes: Option<usize>,
    left: Vec<i64>,
    right: Vec<i64>,
    features: Vec<i64>,
    conditions: Vec<f32>,
    default_left: Vec<i64>,
    kinds: Vec<i64>,
    categories: Vec<i64>,
    category_nodes: Vec<i64>,
    category_starts: Vec<i64>,
    category_counts: Vec<i64>,
}

/// Reads a model.
pub(super) fn read<D: Document>(document: &mut D) -> Result<Booster, LoadError> {
    let (mut file, mut found) = (File::default(), false);
    document.object(|document, key| match key {
        "learner" => {
            found = true;
            file.learner(document)
        }
        "version" => document.integers(&mut file.version),
        _ => document.skip(),
    })?;
    document.end()?;
    if !found {
        return Err(broken(
            "there is no `learner`: this is no model that XGBoost saved; LightGBM's models are read as text, from .txt files",
        ));
    }
    file.finish()
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

impl Lists {
    /// Reads a tree and puts it behind the others; its target is not known yet.
    fn read<D: Document>(
        &mut self,
        document: &mut D,
        number_of: usize,
        forest: &mut Trees<f32>,
    ) -> Result<(), LoadError> {
        self.kinds.clear();
        self.category_nodes.clear();
        self.stated_nodes = None;
        for list in [&mut self.left, &mut self.right, &mut self.features, &mut self.default_left] {
            list.clear();
        }
        self.conditions.clear();
        document.object(|document, key| match key {
            "tree_param" => document.object(|document, key| {
                match key {
                    "num_nodes" => self.stated_nodes = Some(number(document, key)?),
                    "size_leaf_vector" if number(document, key)? > 1 => {
                        return Err(unsupported(
                            "leaves of several values are not supported; train with multi_strategy=one_output_per_tree",
                        ));
                    }
                    "size_leaf_vector" => {}
                    _ => document.skip()?,
                }
                Ok(())
            }),
            "id" => match document.integer()? {
                id if id == number_of as i64 => Ok(()),
                id => Err(broken(format!("its `id` is {id}"))),
            },
            "left_children" => document.integers(&mut self.left),
            "right_children" => document.integers(&mut self.right),
            "split_indices" => document.integers(&mut self.features),
            "split_conditions" => document.floats(&mut self.conditions),
            "default_left" => document.integers(&mut self.default_left),
            "split_type" => document.integers(&mut self.kinds),
            "categories" => document.integers(&mut self.categories),
            "categories_nodes" => document.integers(&mut self.category_nodes),
            "categories_segments" => document.integers(&mut self.category_starts),
            "categories_sizes" => document.integers(&mut self.category_counts),
            _ => document.skip(),
        })?;
        self.check()?;
        self.add(forest)
    }

    /// Nothing leads astray.
    fn check(&self) -> Result<(), LoadError> {
        let nodes = self.left.len();
        let lists = [
            ("right_children", self.right.len()),
            ("split_indices", self.features.len()),
            ("split_conditions", self.conditions.len()),
            ("default_left", self.default_left.len()),
            ("split_type", if self.kinds.is_empty() { nodes } else { self.kinds.len() }),
            ("num_nodes", self.stated_nodes.unwrap_or(nodes)),
        ];
        if let Some((name, length)) = lists.into_iter().find(|(_, length)| *length != nodes) {
            return Err(broken(format!("`left_children` has {nodes} entries, but `{name}` says {length}")));
        }
        if nodes == 0 {
            return Err(broken("there are no nodes"));
        }
        let splits = self.left.iter().zip(&self.right).enumerate().filter(|(_, (left, _))| **left != -1);
        Trees::<f32>::check_children(nodes, splits.map(|(node, (left, right))| (node, [*left, *right])))
    }

    fn add(&self, forest: &mut Trees<f32>) -> Result<(), LoadError> {
        let root = forest.begin(0)?;
        let mut sets = self.category_nodes.iter().enumerate().peekable();
        for node in 0..self.left.len() {
            let (left, right) = (self.left[node], self.right[node]);
            // Those of leaves are of no interest.
            let set = sets.next_if(|(_, split)| **split == node as i64).map(|(set, _)| set);
            if left == -1 {
                forest.nodes.push(Node::Leaf(self.conditions[node]));
                continue;
            }
            let here = |error| at(format_args!("node {node}"), error);
            let feature = u32::try_from(self.features[node])
                .map_err(|_| here(broken(format!("there is no feature {}", self.features[node]))))?;
            let (left, right) = (root + left as u32, root + right as u32);
            let default_left = self.default_left[node] == 1;
            let split = match self.kinds.get(node).copied().unwrap_or(0) {
                0 => Node::Split {
                    feature,
                    test: Test::Below(self.conditions[node]),
                    missing: default_left,
                    yes: left,
                    no: right,
                },
                // Chosen categories go right.
                1 => Node::Split {
                    feature,
                    test: Test::OneOf(forest.set(self.members(set).map_err(here)?).map_err(here)?),
                    missing: !default_left,
                    yes: right,
                    no: left,
                },
                other => return Err(here(broken(format!("its `split_type` is {other}")))),
            };
            forest.nodes.push(split);
        }
        match sets.next() {
            None => Ok(()),
            Some((_, node)) => {
                Err(broken(format!("`categories_nodes` does not ascend at {node}, or it is no node")))
            }
        }
    }

    /// The categories of a split; `set` is its number among those that have any.
    fn members(&self, set: Option<usize>) -> Result<impl Iterator<Item = i64>, LoadError> {
        let found = || {
            let set = set?;
            let start = usize::try_from(*self.category_starts.get(set)?).ok()?;
            let count = usize::try_from(*self.category_counts.get(set)?).ok()?;
            self.categories.get(start..start.checked_add(count)?).filter(|members| !members.is_empty())
        };
        let members = found().ok_or_else(|| broken("its categories are not there"))?;
        Ok(members.iter().copied())
    }
}
