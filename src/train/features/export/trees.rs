//! Trees as TreeEnsembleRegressor, whose sums every engine adds alike: what happens to them stands in nodes of its own.

mod nodes;
#[cfg(test)]
mod tests;

use sidegate::booster::{Booster, Forest, Trees};
use sidegate::onnx::write::{self, GraphBuilder, Message, Value};
use sidegate::tensor::Data;

use self::nodes::{Number, Step, steps};
use crate::features::error::{Error, model};

/// Nodes of all trees: what the reader of sidegate itself takes.
const MAX_NODES: usize = 1 << 26;

/// Appends the trees; gives their scores, [rows, targets].
pub(super) fn write(
    builder: &mut GraphBuilder,
    features: &Value,
    width: usize,
    booster: &Booster,
) -> Result<Value, Error> {
    let expected = booster.signature.inputs.first().and_then(|input| input.shape.last()).copied();
    if expected != Some(width as i64) {
        return Err(model!(
            "the model was trained on {} features, not {width}",
            expected.unwrap_or_default()
        ));
    }
    let attributes = match &booster.forest {
        Forest::Single(trees) => attributes(trees, booster.targets, width)?,
        Forest::Double(trees) => attributes(trees, booster.targets, width)?,
    };
    let scores = builder.node("ml.TreeEnsembleRegressor", &[features], attributes);
    let Some(divisor) = booster.divisor else { return Ok(scores) };
    let divisor = builder.scalar(Data::Fp32(vec![divisor as f32]));
    Ok(builder.node("Div", &[&scores, &divisor], vec![]))
}

/// The lists that the operator's attributes are.
#[derive(Default)]
struct Lists {
    trees: Vec<i64>,
    ids: Vec<i64>,
    features: Vec<i64>,
    modes: Vec<&'static str>,
    values: Vec<f32>,
    yes: Vec<i64>,
    no: Vec<i64>,
    missing: Vec<i64>,
    leaf_trees: Vec<i64>,
    leaf_ids: Vec<i64>,
    leaf_targets: Vec<i64>,
    leaf_weights: Vec<f32>,
}

fn attributes<T: Number>(trees: &Trees<T>, targets: usize, width: usize) -> Result<Vec<Message>, Error> {
    let mut lists = Lists::default();
    for (number, tree) in trees.trees.iter().enumerate() {
        let nodes = steps(trees.of(number), tree.root, &trees.sets);
        lists.push(
            nodes.map_err(|what| model!("tree {number} {what}"))?,
            width,
            tree.target as usize,
            targets,
        )?;
        if lists.ids.len() > MAX_NODES {
            return Err(model!(
                "more than {MAX_NODES} nodes; splits of many categories take many: let trees be smaller"
            ));
        }
    }
    if lists.ids.is_empty() {
        lists.push(vec![Step::Leaf(0.0)], width, 0, targets)?;
    }
    Ok(lists.attributes(targets))
}

impl Lists {
    fn push(&mut self, steps: Vec<Step>, width: usize, target: usize, targets: usize) -> Result<(), Error> {
        let tree = self.trees.last().map_or(0, |last| last + 1);
        if target >= targets {
            return Err(model!("tree {tree} adds to target {target} of {targets}"));
        }
        for (id, step) in steps.into_iter().enumerate() {
            let id = id as i64;
            self.trees.push(tree);
            self.ids.push(id);
            let (feature, mode, value, yes, no, missing) = match step {
                Step::Leaf(weight) => {
                    self.leaf_trees.push(tree);
                    self.leaf_ids.push(id);
                    self.leaf_targets.push(target as i64);
                    self.leaf_weights.push(weight);
                    (0, "LEAF", 0.0, 0, 0, false)
                }
                Step::Branch { feature, .. } if feature as usize >= width => {
                    return Err(model!("tree {tree} asks feature {feature} of {width}"));
                }
                Step::Branch { feature, mode, value, yes, no, missing } => {
                    (feature, mode.name(), value, yes, no, missing)
                }
            };
            self.features.push(feature.into());
            self.modes.push(mode);
            self.values.push(value);
            self.yes.push(yes as i64);
            self.no.push(no as i64);
            self.missing.push(missing.into());
        }
        Ok(())
    }

    fn attributes(&self, targets: usize) -> Vec<Message> {
        let mut attributes = vec![
            write::int("n_targets", targets as i64),
            write::ints("nodes_treeids", &self.trees),
            write::ints("nodes_nodeids", &self.ids),
            write::ints("nodes_featureids", &self.features),
            write::texts("nodes_modes", &self.modes),
            write::floats("nodes_values", &self.values),
            write::ints("nodes_truenodeids", &self.yes),
            write::ints("nodes_falsenodeids", &self.no),
            write::ints("target_treeids", &self.leaf_trees),
            write::ints("target_nodeids", &self.leaf_ids),
            write::ints("target_ids", &self.leaf_targets),
            write::floats("target_weights", &self.leaf_weights),
        ];
        if self.missing.contains(&1) {
            attributes.push(write::ints("nodes_missing_value_tracks_true", &self.missing));
        }
        attributes
    }
}
