//! One tree of XGBoost: a list per field, an entry per node.

use super::{Document, number};
use crate::booster::trees::{Node, Test, Trees};
use crate::booster::{at, broken, unsupported};
use crate::model::LoadError;

/// Lists of one tree, reused for the next.
#[derive(Default)]
pub(super) struct Lists {
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

impl Lists {
    /// Reads a tree and puts it behind the others; its target is not known yet.
    pub(super) fn read<D: Document>(
        &mut self,
        document: &mut D,
        number_of: usize,
        forest: &mut Trees<f32>,
    ) -> Result<(), LoadError> {
        self.kinds.clear();
        self.category_nodes.clear();
        self.stated_nodes = None;
        let numbers = [&mut self.left, &mut self.right, &mut self.features, &mut self.default_left];
        let categories = [&mut self.categories, &mut self.category_starts, &mut self.category_counts];
        numbers.into_iter().chain(categories).for_each(Vec::clear);
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
