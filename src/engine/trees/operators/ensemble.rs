//! The attributes that TreeEnsembleClassifier and TreeEnsembleRegressor share, read and checked.

use super::places::Places;
use crate::engine::trees::builder::{unsupported, wrong};
use crate::engine::trees::forest::{Flaw, Forest, Link, Mode, Raw};
use crate::engine::trees::layout::Layout;
use crate::engine::trees::real::{Key, Real};
use crate::model::{LoadError, shorten};
use crate::onnx::{Model, Node};
use crate::tensor::Data;

/// Trees with what their leaves say.
pub(super) struct Ensemble<T: Real> {
    pub(super) layout: Layout<T>,
    pub(super) leaves: Leaves<T>,
    pub(super) base: Vec<T>,
    /// No weight is negative.
    pub(super) all_positive: bool,
}

/// What a leaf adds to which target.
pub(super) enum Leaves<T> {
    /// Every leaf adds to this one target; the leaf of the layout is the weight.
    Single(usize),
    /// Every leaf of a tree adds to that tree's target; the leaf of the layout is the weight.
    PerTree(Vec<u32>),
    /// Every leaf has a weight for each target; the leaf of the layout holds its number among `weights`, which are
    /// leaf by leaf.
    Dense { targets: usize, weights: Vec<T> },
    /// The leaf of the layout holds the number of a range of `weights`.
    Many { ends: Vec<u32>, weights: Vec<(u32, T)> },
}

/// How the attributes of an operator are called.
pub(super) struct Names {
    /// `class` or `target`.
    pub(super) prefix: &'static str,
}

impl<T: Real> Ensemble<T> {
    /// Reads a node whose targets number `targets`; `width` is how wide its rows are, where that is declared.
    pub(super) fn read(
        node: &Node,
        model: &Model,
        names: &Names,
        targets: usize,
        width: Option<usize>,
    ) -> Result<Self, LoadError> {
        let (trees, own) = (required(node, "nodes_treeids")?, required(node, "nodes_nodeids")?);
        same_length(node, "nodes_nodeids", own.len(), trees.len())?;
        let places = Places::new(node, trees, own)?;
        let mut weights = weights::<T>(node, model, names, targets, &places)?;
        // Stable, so that weights of one leaf are added in the order of the file.
        weights.sort_by_key(|(place, ..)| *place);
        let modes = modes(node, trees.len())?;
        weights.retain(|(place, ..)| modes[*place as usize].is_none());
        let raw = raw(node, model, &places, &modes, width)?;
        let base = numbers(node, model, "base_values")?.unwrap_or_default();
        Self::build(raw, places.roots, &[], &weights, base).map_err(|flaw| {
            let name = |place: u32| (own.get(place as usize), trees.get(place as usize));
            match flaw.place.map(name) {
                Some((Some(id), Some(tree))) => {
                    wrong(node, &format!("node {id} of tree {tree} {}", flaw.what))
                }
                _ => wrong(node, &flaw.what),
            }
        })
    }

    /// From nodes, whose leaves may hold anything, the sets of categories they name, and weights of leaves: place,
    /// target, weight, in order of places. `Err` says what is wrong where.
    pub(in crate::engine::trees) fn new(
        raw: Vec<Raw<T>>,
        roots: Vec<u32>,
        sets: &[Vec<u32>],
        weights: &[(u32, u32, T)],
        base: Vec<T>,
    ) -> Result<Self, String> {
        Self::build(raw, roots, sets, weights, base).map_err(|flaw| flaw.to_string())
    }

    fn build(
        raw: Vec<Raw<T>>,
        roots: Vec<u32>,
        sets: &[Vec<u32>],
        weights: &[(u32, u32, T)],
        base: Vec<T>,
    ) -> Result<Self, Flaw> {
        let all_positive = weights.iter().all(|(.., weight)| *weight >= T::default());
        let mut forest = Forest::new(&raw, roots, sets)?;
        let leaves = Leaves::assign(weights, &mut forest);
        Ok(Self { layout: Layout::new(forest), leaves, base, all_positive })
    }

    pub(super) fn bytes(&self) -> usize {
        let leaves = match &self.leaves {
            Leaves::Single(_) => 0,
            Leaves::PerTree(targets) => size_of_val(&**targets),
            Leaves::Dense { weights, .. } => size_of_val(&**weights),
            Leaves::Many { ends, weights } => size_of_val(&**ends) + size_of_val(&**weights),
        };
        self.layout.bytes() + leaves
    }
}

impl<T: Real> Leaves<T> {
    /// Finds the simplest form that the weights fit, and writes to the forest's leaves what it wants there.
    fn assign(weights: &[(u32, u32, T)], forest: &mut Forest<T>) -> Self {
        let leaves = forest.links.iter().filter(|link| matches!(link, Link::Leaf(_))).count();
        let one_each = weights.len() == leaves && weights.windows(2).all(|pair| pair[0].0 != pair[1].0);
        let first = weights.first().map_or(0, |(_, target, _)| *target);
        let found = match one_each {
            true if weights.iter().all(|(_, target, _)| *target == first) => Self::Single(first as usize),
            true => match per_tree(weights, forest) {
                Some(targets) => Self::PerTree(targets),
                None => return Self::many(weights, forest),
            },
            false => {
                return Self::dense(weights, leaves, forest).unwrap_or_else(|| Self::many(weights, forest));
            }
        };
        for (place, _, weight) in weights {
            forest.links[*place as usize] = Link::Leaf(*weight);
        }
        found
    }

    /// Gives each leaf its number, if each has one weight for each target, in order.
    fn dense(weights: &[(u32, u32, T)], leaves: usize, forest: &mut Forest<T>) -> Option<Self> {
        let targets = weights.iter().map(|(_, target, _)| *target as usize + 1).max()?;
        let of_leaf = |leaf: &[(u32, u32, T)]| {
            leaf.iter().zip(0..).all(|((place, target, _), number)| *place == leaf[0].0 && *target == number)
        };
        let groups = weights.chunks(targets);
        let distinct = groups.clone().map(|leaf| leaf[0].0).is_sorted_by(|a, b| a < b);
        if weights.len() != leaves * targets || !distinct || !groups.clone().all(of_leaf) {
            return None;
        }
        for (number, leaf) in groups.enumerate() {
            forest.links[leaf[0].0 as usize] = Link::Leaf(T::of_bits(T::Key::of_index(number as u32)));
        }
        Some(Self::Dense { targets, weights: weights.iter().map(|(.., weight)| *weight).collect() })
    }

    /// Gives each leaf the number of its range of weights.
    fn many(weights: &[(u32, u32, T)], forest: &mut Forest<T>) -> Self {
        let numbered = |number: usize| Link::Leaf(T::of_bits(T::Key::of_index(number as u32)));
        // Range 0 is empty: leaves without weights.
        let mut ends = vec![0];
        let all = forest.links.iter_mut().filter(|link| matches!(link, Link::Leaf(_)));
        all.for_each(|leaf| *leaf = numbered(0));
        for (index, (place, ..)) in weights.iter().enumerate() {
            if index == 0 || weights[index - 1].0 != *place {
                forest.links[*place as usize] = numbered(ends.len());
                ends.push(index as u32);
            }
            if let Some(end) = ends.last_mut() {
                *end = index as u32 + 1;
            }
        }
        Self::Many { ends, weights: weights.iter().map(|(_, target, weight)| (*target, *weight)).collect() }
    }
}

/// The target of each tree, if all its leaves have the same one. Trees that share nodes are not looked through.
fn per_tree<T: Real>(weights: &[(u32, u32, T)], forest: &Forest<T>) -> Option<Vec<u32>> {
    let mut targets = vec![None; forest.links.len()];
    weights.iter().for_each(|(place, target, _)| targets[*place as usize] = Some(*target));
    let mut met = vec![false; forest.links.len()];
    let mut of_tree = |root: u32| {
        let (mut todo, mut tree) = (vec![root], None);
        while let Some(place) = todo.pop() {
            if std::mem::replace(&mut met[place as usize], true) {
                return None;
            }
            if let Some(target) = targets[place as usize]
                && *tree.get_or_insert(target) != target
            {
                return None;
            }
            todo.extend(forest.links[place as usize].children().into_iter().flatten());
        }
        tree
    };
    forest.roots.iter().map(|root| of_tree(*root)).collect()
}

/// How each node compares; `None` for leaves.
fn modes(node: &Node, count: usize) -> Result<Vec<Option<Mode>>, LoadError> {
    let modes = node.strings("nodes_modes")?.ok_or_else(|| wrong(node, "`nodes_modes` is missing"))?;
    same_length(node, "nodes_modes", modes.len(), count)?;
    let (trees, numbers) = (required(node, "nodes_treeids")?, required(node, "nodes_nodeids")?);
    let mode = |(place, name): (usize, &[u8])| {
        Ok(Some(match name {
            b"BRANCH_LEQ" => Mode::Leq,
            b"BRANCH_LT" => Mode::Lt,
            b"BRANCH_GTE" => Mode::Gte,
            b"BRANCH_GT" => Mode::Gt,
            b"BRANCH_EQ" => Mode::Eq,
            b"BRANCH_NEQ" => Mode::Neq,
            b"LEAF" => return Ok(None),
            other => {
                let (number, tree) = (numbers[place], trees[place]);
                let other = shorten(&String::from_utf8_lossy(other)).to_string();
                return Err(unsupported(node, &format!("mode `{other}` (node {number} of tree {tree})")));
            }
        }))
    };
    modes.iter().enumerate().map(mode).collect()
}

fn raw<T: Real>(
    node: &Node,
    model: &Model,
    places: &Places,
    modes: &[Option<Mode>],
    width: Option<usize>,
) -> Result<Vec<Raw<T>>, LoadError> {
    let count = modes.len();
    let ints = |name| {
        let list = required(node, name)?;
        same_length(node, name, list.len(), count)?;
        Ok::<_, LoadError>(list)
    };
    let (trees, features) = (ints("nodes_treeids")?, ints("nodes_featureids")?);
    let own = ints("nodes_nodeids")?;
    let (yes, no) = (ints("nodes_truenodeids")?, ints("nodes_falsenodeids")?);
    let values: Vec<T> = numbers(node, model, "nodes_values")?.unwrap_or_default();
    same_length(node, "nodes_values", values.len(), count)?;
    let tracks = node.ints("nodes_missing_value_tracks_true")?.unwrap_or_default();
    if !tracks.is_empty() {
        same_length(node, "nodes_missing_value_tracks_true", tracks.len(), count)?;
    }
    let named = |place: usize, what: String| {
        wrong(node, &format!("node {} of tree {} {what}", own[place], trees[place]))
    };
    let mut find = places.finder();
    let mut child = |place: usize, number: i64| {
        let missing = || named(place, format!("leads to node {number}, which is not there"));
        find(trees[place], number).ok_or_else(missing)
    };
    let mut branch = |place: usize, mode| {
        let feature = feature(features[place], width).map_err(|what| named(place, what))?;
        let missing = tracks.get(place) == Some(&1);
        let (yes, no) = (child(place, yes[place])?, child(place, no[place])?);
        Ok(Raw::Branch { feature, mode, value: values[place], missing, yes, no })
    };
    let raw = |(place, mode): (usize, &Option<Mode>)| match mode {
        Some(mode) => branch(place, *mode),
        None => Ok(Raw::Leaf(T::default())),
    };
    modes.iter().enumerate().map(raw).collect()
}

/// A feature's number, if rows of that width have it.
pub(super) fn feature(number: i64, width: Option<usize>) -> Result<u32, String> {
    let found = u32::try_from(number).ok();
    match (found, width) {
        (Some(feature), Some(width)) if feature as usize >= width => {
            Err(format!("reads feature {feature} of rows declared {width} wide"))
        }
        (Some(feature), _) => Ok(feature),
        (None, _) => Err(format!("reads feature {number}, which cannot exist")),
    }
}

/// Place, target and weight.
fn weights<T: Real>(
    node: &Node,
    model: &Model,
    Names { prefix }: &Names,
    targets: usize,
    places: &Places,
) -> Result<Vec<(u32, u32, T)>, LoadError> {
    let name = |what: &str| format!("{prefix}_{what}");
    let trees = required(node, &name("treeids"))?;
    let (nodes, ids) = (required(node, &name("nodeids"))?, required(node, &name("ids"))?);
    let weights: Vec<T> = numbers(node, model, &name("weights"))?.unwrap_or_default();
    for (what, found) in [("nodeids", nodes.len()), ("ids", ids.len()), ("weights", weights.len())] {
        same_length(node, &name(what), found, trees.len())?;
    }
    let mut find = places.finder();
    let one = |index: usize| {
        let (tree, number, id) = (trees[index], nodes[index], ids[index]);
        let Some(place) = find(tree, number) else {
            return Err(wrong(
                node,
                &format!("a weight is for node {number} of tree {tree}, which is not there"),
            ));
        };
        match u32::try_from(id) {
            Ok(target) if (target as usize) < targets => Ok((place, target, weights[index])),
            _ => Err(wrong(node, &format!("a weight is for {prefix} {id} of {targets}"))),
        }
    };
    (0..trees.len()).map(one).collect()
}

fn required<'n>(node: &'n Node, name: &str) -> Result<&'n [i64], LoadError> {
    node.ints(name)?.ok_or_else(|| wrong(node, &format!("`{name}` is missing")))
}

fn same_length(node: &Node, name: &str, found: usize, wanted: usize) -> Result<(), LoadError> {
    if found == wanted {
        Ok(())
    } else {
        Err(wrong(node, &format!("`{name}` has {found} entries, not {wanted}")))
    }
}

/// A list of numbers, which newer operator sets also keep as a tensor.
pub(super) fn numbers<T: Real>(node: &Node, model: &Model, name: &str) -> Result<Option<Vec<T>>, LoadError> {
    let as_tensor = node.tensor(&format!("{name}_as_tensor"))?;
    let listed = node.floats(name)?.filter(|list| !list.is_empty());
    let Some(constant) = as_tensor else {
        return Ok(listed.map(|list| list.iter().copied().map(T::of_f32).collect()));
    };
    if listed.is_some() {
        return Err(wrong(node, &format!("`{name}` is there both as a list and as a tensor")));
    }
    match constant.tensor(&model.bytes)?.data {
        Data::Fp32(values) => Ok(Some(values.into_iter().map(T::of_f32).collect())),
        Data::Fp64(values) => Ok(Some(values.into_iter().map(T::of_f64).collect())),
        other => Err(unsupported(node, &format!("`{name}` as {}", other.datatype()))),
    }
}
