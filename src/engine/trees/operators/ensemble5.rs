//! TreeEnsemble, the form of operator set 5: nodes and leaves in lists of their own, sets of members at a node.

use super::aggregate::Aggregate;
use super::ensemble::{Ensemble, feature};
use super::regressor::Regressor;
use crate::engine::trees::builder::{Builder, Value, unsupported, wrong};
use crate::engine::trees::forest::{Mode, Raw};
use crate::engine::trees::post::PostTransform;
use crate::engine::trees::work::Walks;
use crate::model::LoadError;
use crate::onnx::Node;
use crate::tensor::{Data, Datatype};

const AGGREGATES: [Aggregate; 4] = [Aggregate::Average, Aggregate::Sum, Aggregate::Min, Aggregate::Max];
const MODES: [Mode; 6] = [Mode::Leq, Mode::Lt, Mode::Gte, Mode::Gt, Mode::Eq, Mode::Neq];
/// A node that asks whether the feature is one of a set.
const MEMBER: u8 = 6;

pub(super) fn build<'m>(builder: &mut Builder<'m>, node: &'m Node) -> Result<(), LoadError> {
    let input = builder.input(node, 0)?;
    match input.datatype {
        Datatype::Fp32 => typed::<f32>(builder, node, input),
        Datatype::Fp64 => typed::<f64>(builder, node, input),
        other => Err(unsupported(node, &format!("{other} features"))),
    }
}

fn typed<'m, T: Walks>(builder: &mut Builder<'m>, node: &'m Node, input: Value) -> Result<(), LoadError> {
    let numbered = |name: &str, default: usize| {
        let number = node.int(name)?.copied().unwrap_or(default as i64);
        usize::try_from(number).map_err(|_| wrong(node, &format!("`{name}` is out of range")))
    };
    let (targets, aggregate) = (numbered("n_targets", 1)?, numbered("aggregate_function", 1)?);
    let aggregate =
        *AGGREGATES.get(aggregate).ok_or_else(|| wrong(node, "`aggregate_function` is out of range"))?;
    let post = match numbered("post_transform", 0)? {
        0 => PostTransform::None,
        3 => PostTransform::SoftmaxZero,
        4 => PostTransform::Probit,
        // 1 is softmax and 2 logistic in the standard, and the other way round in ONNX Runtime.
        other => return Err(unsupported(node, &format!("post_transform {other}"))),
    };
    let list = |name: &str| node.ints(name)?.ok_or_else(|| wrong(node, &format!("`{name}` is missing")));
    let numbers = |name: &str| match node.tensor(name)? {
        None => Ok(Vec::new()),
        Some(constant) => match constant.tensor(&builder.model.bytes)?.data {
            Data::Fp32(values) => Ok(values.into_iter().map(T::of_f32).collect()),
            Data::Fp64(values) => Ok(values.into_iter().map(T::of_f64).collect()),
            other => Err(unsupported(node, &format!("`{name}` as {}", other.datatype()))),
        },
    };
    let modes = match node.tensor("nodes_modes")?.map(|constant| constant.tensor(&builder.model.bytes)) {
        Some(tensor) => match tensor?.data {
            Data::Uint8(modes) => modes,
            other => return Err(wrong(node, &format!("`nodes_modes` as {}", other.datatype()))),
        },
        None => return Err(wrong(node, "`nodes_modes` is missing")),
    };
    let (features, splits) = (list("nodes_featureids")?, numbers("nodes_splits")?);
    let (yes, yes_leaf) = (list("nodes_truenodeids")?, list("nodes_trueleafs")?);
    let (no, no_leaf) = (list("nodes_falsenodeids")?, list("nodes_falseleafs")?);
    let (leaf_targets, leaf_weights) = (list("leaf_targetids")?, numbers("leaf_weights")?);
    let tracks = node.ints("nodes_missing_value_tracks_true")?.unwrap_or_default();
    let count = modes.len();
    let lengths = [features.len(), splits.len(), yes.len(), yes_leaf.len(), no.len(), no_leaf.len()];
    let tracked = tracks.is_empty() || tracks.len() == count;
    if !tracked || lengths.iter().any(|length| *length != count) || leaf_targets.len() != leaf_weights.len() {
        return Err(wrong(node, "lists of nodes or leaves differ in length"));
    }
    let mut members = numbers("membership_values")?.into_iter();
    // Leaves stand behind the nodes.
    let child = |number: i64, leaf: i64| match usize::try_from(number) {
        Ok(number) if leaf == 0 && number < count => Ok(number as u32),
        Ok(number) if leaf != 0 && number < leaf_targets.len() => Ok((count + number) as u32),
        _ => Err(format!("{} {number}, which is not there", if leaf == 0 { "node" } else { "leaf" })),
    };
    let width = builder.width(input);
    let mut raw: Vec<Raw<T>> = Vec::with_capacity(count + leaf_targets.len());
    let mut chains = Vec::new();
    for place in 0..count {
        let named = |what: String| wrong(node, &format!("node {place} {what}"));
        let feature = feature(features[place], width).map_err(named)?;
        let missing = tracks.get(place) == Some(&1);
        let leads = |number, leaf| child(number, leaf).map_err(|what| named(format!("leads to {what}")));
        let (yes, no) = (leads(yes[place], yes_leaf[place])?, leads(no[place], no_leaf[place])?);
        let branch = |mode, value, missing, no| Raw::Branch { feature, mode, value, missing, yes, no };
        if modes[place] != MEMBER {
            let mode = MODES.get(usize::from(modes[place]));
            let mode =
                *mode.ok_or_else(|| unsupported(node, &format!("mode {} (node {place})", modes[place])))?;
            raw.push(branch(mode, splits[place], missing, no));
            continue;
        }
        // One comparison per member, the set ends with NaN.
        let set: Vec<T> = members.by_ref().take_while(|value| !value.is_nan()).collect();
        let Some((first, rest)) = set.split_first() else {
            return Err(unsupported(node, &format!("an empty set of members (node {place})")));
        };
        raw.push(branch(Mode::Eq, *first, missing && rest.is_empty(), no));
        chains.push((
            place,
            rest.iter().map(|value| branch(Mode::Eq, *value, missing, no)).collect::<Vec<_>>(),
        ));
    }
    raw.extend((0..leaf_targets.len()).map(|_| Raw::Leaf(T::default())));
    let leaf = |at: usize| (count + at) as u32;
    // The rest of a set goes behind the leaves; a chain's node leads to the next one when it does not match.
    for (place, chain) in chains {
        let mut before = place;
        for link in chain {
            let next = raw.len() as u32;
            if let Raw::Branch { no, missing, .. } = &mut raw[before] {
                *no = next;
                *missing = false;
            }
            before = next as usize;
            raw.push(link);
        }
    }
    let mut weights = Vec::with_capacity(leaf_targets.len());
    for (at, (target, weight)) in leaf_targets.iter().zip(&leaf_weights).enumerate() {
        match u32::try_from(*target) {
            Ok(target) if (target as usize) < targets => weights.push((leaf(at), target, *weight)),
            _ => return Err(wrong(node, &format!("a weight is for target {target} of {targets}"))),
        }
    }
    let root = |root: &i64| child(*root, 0).map_err(|what| wrong(node, &format!("a root is {what}")));
    let roots = list("tree_roots")?.iter().map(root).collect::<Result<Vec<_>, _>>()?;
    if roots.is_empty() {
        return Err(wrong(node, "there are no trees"));
    }
    let ensemble = Ensemble::new(raw, roots, &[], &weights, Vec::new()).map_err(|what| wrong(node, &what))?;
    Regressor::emit(builder, node, input, ensemble, targets, aggregate, post)
}
