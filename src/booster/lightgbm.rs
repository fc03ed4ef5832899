//! LightGBM's text files: lines `key=value`, a head, then a block per tree.

mod split;

use std::str::FromStr;

use self::split::{Extra, Split};
use super::objective::Transform;
use super::trees::{Node, Trees};
use super::{Booster, Forest, at, broken, check_targets, unsupported};
use crate::model::{LoadError, shorten};

/// Lines up to where the next part starts.
type Lines<'a> = std::iter::Peekable<std::str::Lines<'a>>;

/// The head of a file.
#[derive(Default)]
struct Head<'a> {
    per_iteration: Option<&'a str>,
    classes: Option<&'a str>,
    last_feature: Option<&'a str>,
    objective: Option<&'a str>,
    average: bool,
    names: Option<&'a str>,
    sizes: Option<&'a str>,
}

/// The lines of one tree that say how it predicts.
#[derive(Default)]
struct Block<'a> {
    leaves: Option<&'a str>,
    categorical: Option<&'a str>,
    features: Option<&'a str>,
    thresholds: Option<&'a str>,
    decisions: Option<&'a str>,
    left: Option<&'a str>,
    right: Option<&'a str>,
    values: Option<&'a str>,
    boundaries: Option<&'a str>,
    bits: Option<&'a str>,
    linear: Option<&'a str>,
}

/// Reads a model.
pub(super) fn read(bytes: &[u8]) -> Result<Booster, LoadError> {
    let text = std::str::from_utf8(bytes).map_err(|_| broken("not a text of LightGBM: invalid UTF-8"))?;
    let mut lines = text.lines().peekable();
    if lines.next() != Some("tree") {
        return Err(broken("not a text of LightGBM: it does not start with the line `tree`"));
    }
    let head = Head::read(&mut lines);
    let transform = Transform::lightgbm(head.objective)?;
    let targets = scalar::<usize>(head.per_iteration.or(head.classes), "num_tree_per_iteration")?;
    check_targets(targets)?;
    let last = scalar::<usize>(head.last_feature, "max_feature_idx")?;
    let features = last.checked_add(1).ok_or_else(|| broken("`max_feature_idx` is out of range"))?;
    let mut forest = Trees::default();
    while let Some(line) = lines.next() {
        if line == "end of trees" {
            return finish(&head, forest, (features, targets), transform);
        }
        if line.is_empty() {
            continue;
        }
        let tree = forest.trees.len();
        if line.strip_prefix("Tree=").and_then(|number| number.parse().ok()) != Some(tree) {
            return Err(broken(format!("expected `Tree={tree}`, found `{}`", shorten(line))));
        }
        let target = tree.checked_rem(targets).unwrap_or(0) as u32;
        Block::read(&mut lines)
            .add(target, &mut forest)
            .map_err(|error| at(format_args!("tree {tree}"), error))?;
    }
    Err(broken("the file ends before the line `end of trees`"))
}

fn finish(
    head: &Head<'_>,
    mut forest: Trees<f64>,
    (features, targets): (usize, usize),
    transform: Transform,
) -> Result<Booster, LoadError> {
    let trees = forest.trees.len();
    if head.sizes.is_some_and(|sizes| sizes.split_ascii_whitespace().count() != trees) {
        return Err(broken(format!(
            "there are {trees} trees, but `tree_sizes` has another number of entries"
        )));
    }
    if trees.checked_rem(targets) != Some(0) {
        return Err(broken(format!("{trees} trees do not make whole rounds of {targets}")));
    }
    forest.check_features(features)?;
    let names = head.names.ok_or_else(|| broken("`feature_names` is missing"))?;
    let mut columns: Vec<String> = names.split_ascii_whitespace().map(str::to_owned).collect();
    if columns.len() != features {
        return Err(broken(format!("{} feature names for {features} features", columns.len())));
    }
    // LightGBM's own, where the training data had none.
    if columns.iter().enumerate().all(|(number, name)| *name == format!("Column_{number}")) {
        columns.clear();
    }
    let divisor = head.average.then_some((trees / targets).max(1) as u32);
    for target in (trees..targets).map(|target| target as u32) {
        forest.begin(target)?;
        forest.nodes.push(Node::Leaf(0.0));
    }
    Booster::new(Forest::Double(forest), features, columns, targets, divisor, transform)
}

impl<'a> Head<'a> {
    /// Reads the lines up to the first tree.
    fn read(lines: &mut Lines<'a>) -> Self {
        let mut head = Self::default();
        while let Some(line) = lines.next_if(|line| !line.starts_with("Tree=") && *line != "end of trees") {
            let (key, value) = line.split_once('=').unwrap_or((line, ""));
            match key {
                "num_class" => head.classes = Some(value),
                "num_tree_per_iteration" => head.per_iteration = Some(value),
                "max_feature_idx" => head.last_feature = Some(value),
                "objective" => head.objective = Some(value),
                "average_output" => head.average = true,
                "feature_names" => head.names = Some(value),
                "tree_sizes" => head.sizes = Some(value),
                _ => {}
            }
        }
        head
    }
}

impl<'a> Block<'a> {
    /// Reads the lines up to an empty one.
    fn read(lines: &mut Lines<'a>) -> Self {
        let mut block = Self::default();
        while let Some(line) = lines.next_if(|line| !line.is_empty() && *line != "end of trees") {
            let Some((key, value)) = line.split_once('=') else { continue };
            let slot = match key {
                "num_leaves" => &mut block.leaves,
                "num_cat" => &mut block.categorical,
                "split_feature" => &mut block.features,
                "threshold" => &mut block.thresholds,
                "decision_type" => &mut block.decisions,
                "left_child" => &mut block.left,
                "right_child" => &mut block.right,
                "leaf_value" => &mut block.values,
                "cat_boundaries" => &mut block.boundaries,
                "cat_threshold" => &mut block.bits,
                "is_linear" => &mut block.linear,
                _ => continue,
            };
            *slot = Some(value);
        }
        block
    }

    /// Puts the tree behind the others: splits, leaves, then what splits need beside themselves.
    fn add(&self, target: u32, forest: &mut Trees<f64>) -> Result<(), LoadError> {
        if self.linear.is_some_and(|linear| linear.trim() != "0") {
            return Err(unsupported("linear trees are not supported; train with linear_tree=false"));
        }
        let leaves = scalar::<usize>(self.leaves, "num_leaves")?;
        let values = list::<f64>(self.values, "leaf_value", leaves.max(1))?;
        let root = forest.begin(target)?;
        let Some(splits) = leaves.checked_sub(1).filter(|splits| *splits > 0) else {
            forest.nodes.push(Node::Leaf(values[0]));
            return Ok(());
        };
        let (left, right) =
            (list(self.left, "left_child", splits)?, list(self.right, "right_child", splits)?);
        // A leaf is the complement of its number.
        let child = |number: i32| if number < 0 { splits as i64 + i64::from(!number) } else { number.into() };
        let pairs = left.iter().zip(&right).map(|(left, right)| [child(*left), child(*right)]);
        Trees::<f64>::check_children(splits + leaves, pairs.clone().enumerate())?;
        let features: Vec<u32> = list(self.features, "split_feature", splits)?;
        let thresholds: Vec<f64> = list(self.thresholds, "threshold", splits)?;
        let decisions: Vec<i8> = match self.decisions {
            None => vec![0; splits],
            some => list(some, "decision_type", splits)?,
        };
        let sets = self.sets(forest)?;
        let mut extra = Extra::behind(root + (splits + leaves) as u32);
        for (node, [left, right]) in pairs.enumerate() {
            let (left, right) = (root + left as u32, root + right as u32);
            let split = Split {
                feature: features[node],
                threshold: thresholds[node],
                decision: decisions[node].cast_unsigned(),
                left,
                right,
            };
            let split = split.node(&sets, &mut extra);
            forest.nodes.push(split.map_err(|error| at(format_args!("node {node}"), error))?);
        }
        forest.nodes.extend(values.into_iter().map(Node::Leaf));
        forest.nodes.extend(extra.nodes);
        Ok(())
    }

    /// The numbers of the tree's sets of categories.
    fn sets(&self, forest: &mut Trees<f64>) -> Result<Vec<u32>, LoadError> {
        let count = scalar::<usize>(self.categorical, "num_cat")?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let ends = count.checked_add(1).ok_or_else(|| broken("`num_cat` is out of range"))?;
        let ends: Vec<usize> = list(self.boundaries, "cat_boundaries", ends)?;
        let words: Vec<u32> = list(self.bits, "cat_threshold", ends[count])?;
        let set = |bounds: &[usize]| {
            let words = words.get(bounds[0]..bounds[1]);
            let words = words.ok_or_else(|| broken("`cat_boundaries` does not ascend"))?;
            let bits = |(at, word): (usize, &u32)| {
                let word = *word;
                (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at as i64 * 32 + bit)
            };
            forest.set(words.iter().enumerate().flat_map(bits))
        };
        ends.windows(2).map(set).collect()
    }
}

fn scalar<T: FromStr>(value: Option<&str>, key: &str) -> Result<T, LoadError> {
    let value = value.ok_or_else(|| broken(format!("`{key}` is missing")))?;
    value.trim().parse().map_err(|_| broken(format!("`{key}` is `{}`", shorten(value))))
}

/// A list of exactly so many numbers.
fn list<T: FromStr>(value: Option<&str>, key: &str, count: usize) -> Result<Vec<T>, LoadError> {
    let value = value.ok_or_else(|| broken(format!("`{key}` is missing")))?;
    let mut numbers = Vec::new();
    for word in value.split_ascii_whitespace() {
        numbers.push(word.parse().map_err(|_| broken(format!("`{key}` holds `{}`", shorten(word))))?);
    }
    if numbers.len() != count {
        return Err(broken(format!("`{key}` has {} entries, not {count}", numbers.len())));
    }
    Ok(numbers)
}
