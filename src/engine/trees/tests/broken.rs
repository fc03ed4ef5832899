//! Files whose trees contradict themselves: refused when they load, naming the tree and the node.

use super::*;
use crate::onnx::build::{self, constant, floats, ints, tensor, text, texts};

/// A regressor of two leaves under a split, with one attribute replaced.
pub(super) fn regressor(replaced: Option<Msg>, name: &str) -> Msg {
    let mut attributes = vec![
        ("nodes_treeids", ints("nodes_treeids", &[0, 0, 0])),
        ("nodes_nodeids", ints("nodes_nodeids", &[0, 1, 2])),
        ("nodes_featureids", ints("nodes_featureids", &[1, 0, 0])),
        ("nodes_modes", texts("nodes_modes", &["BRANCH_LEQ", "LEAF", "LEAF"])),
        ("nodes_values", floats("nodes_values", &[0.5, 0.0, 0.0])),
        ("nodes_truenodeids", ints("nodes_truenodeids", &[1, 0, 0])),
        ("nodes_falsenodeids", ints("nodes_falsenodeids", &[2, 0, 0])),
        ("target_treeids", ints("target_treeids", &[0, 0])),
        ("target_nodeids", ints("target_nodeids", &[1, 2])),
        ("target_ids", ints("target_ids", &[0, 0])),
        ("target_weights", floats("target_weights", &[-1.0, 1.0])),
    ];
    attributes.retain(|(key, _)| *key != name);
    let attributes = attributes.into_iter().map(|(_, attribute)| attribute).chain(replaced).collect();
    let nodes = vec![node("ml.TreeEnsembleRegressor", &["x"], &["y"], attributes)];
    model(graph(nodes, vec![value("x", 1, &[-1, 2])], vec![value("y", 1, &[-1, 1])]))
}

/// The same trees as operator set 5 writes them, with one attribute replaced.
fn newer(replaced: Option<Msg>, name: &str) -> Msg {
    let bytes = |name: &str, values: &[u8]| {
        tensor(name, Msg::default().int(1, values.len() as i64).int(2, 2).bytes(9, values))
    };
    let mut attributes = vec![
        ("tree_roots", ints("tree_roots", &[0])),
        ("nodes_featureids", ints("nodes_featureids", &[1])),
        ("nodes_modes", bytes("nodes_modes", &[0])),
        ("nodes_splits", tensor("nodes_splits", constant("", &[1], &[0.5]))),
        ("nodes_truenodeids", ints("nodes_truenodeids", &[0])),
        ("nodes_trueleafs", ints("nodes_trueleafs", &[1])),
        ("nodes_falsenodeids", ints("nodes_falsenodeids", &[1])),
        ("nodes_falseleafs", ints("nodes_falseleafs", &[1])),
        ("leaf_targetids", ints("leaf_targetids", &[0, 0])),
        ("leaf_weights", tensor("leaf_weights", constant("", &[2], &[-1.0, 1.0]))),
    ];
    attributes.retain(|(key, _)| *key != name);
    let attributes = attributes.into_iter().map(|(_, attribute)| attribute).chain(replaced).collect();
    let nodes = vec![node("ml.TreeEnsemble", &["x"], &["y"], attributes)];
    let graph = graph(nodes, vec![value("x", 1, &[-1, 2])], vec![value("y", 1, &[-1, 1])]);
    let opset = |domain: &str, version| Msg::default().bytes(1, domain).int(2, version);
    Msg::default().int(1, 8).message(7, graph).all(8, [opset("", 18), opset("ai.onnx.ml", 5)])
}

#[track_caller]
fn refused(file: Msg, code: Reason, what: &str) {
    let error = load(file).err().unwrap_or_else(|| panic!("{what}: loaded"));
    assert_eq!(error.code, code, "{what}: {error}");
    assert!(error.detail.contains(what), "{what}: {error}");
    assert!(error.detail.contains("TreeEnsemble"), "{what}: {error}");
}

#[test]
fn broken_trees_are_refused_when_they_load() {
    let (parse, unsupported) = (Reason::Parse, Reason::Unsupported);
    assert!(load(regressor(None, "")).is_ok());
    let lists: [(&str, &[i64], &str); 16] = [
        ("nodes_nodeids", &[0, 1, 1], "node 1 of tree 0 is there twice"),
        ("nodes_nodeids", &[0, 1], "`nodes_nodeids` has 2 entries, not 3"),
        ("nodes_nodeids", &[], "`nodes_nodeids` has 0 entries, not 3"),
        ("nodes_truenodeids", &[0, 0, 0], "node 0 of tree 0 is reached from itself"),
        (
            "nodes_truenodeids",
            &[i64::MAX, 0, 0],
            "node 0 of tree 0 leads to node 9223372036854775807, which is not",
        ),
        ("nodes_falsenodeids", &[7, 0, 0], "node 0 of tree 0 leads to node 7, which is not there"),
        ("nodes_falsenodeids", &[-1, 0, 0], "node 0 of tree 0 leads to node -1, which is not there"),
        ("nodes_featureids", &[-1, 0, 0], "node 0 of tree 0 reads feature -1, which cannot exist"),
        ("nodes_featureids", &[2, 0, 0], "node 0 of tree 0 reads feature 2 of rows declared 2 wide"),
        ("nodes_featureids", &[i64::MAX, 0, 0], "node 0 of tree 0 reads feature 9223372036854775807"),
        ("nodes_missing_value_tracks_true", &[1], "`nodes_missing_value_tracks_true` has 1 entries"),
        ("target_ids", &[0, 9], "a weight is for target 9 of 1"),
        ("target_ids", &[0, -1], "a weight is for target -1 of 1"),
        ("target_nodeids", &[1, 9], "a weight is for node 9 of tree 0, which is not there"),
        ("target_treeids", &[0, 3], "a weight is for node 2 of tree 3, which is not there"),
        ("nodes_treeids", &[0, 0, 1], "a weight is for node 2 of tree 0, which is not there"),
    ];
    for (name, list, what) in lists {
        refused(regressor(Some(ints(name, list)), name), parse, what);
    }
    let modes = texts("nodes_modes", &["LEAF", "BRANCH_ODD", "LEAF"]);
    refused(regressor(Some(modes), "nodes_modes"), unsupported, "`BRANCH_ODD` (node 1 of tree 0)");
    let scattered = ints("nodes_treeids", &[0, 1, 0]);
    refused(
        regressor(Some(scattered), "nodes_treeids"),
        unsupported,
        "nodes of tree 0 among those of other trees",
    );
    refused(
        regressor(Some(floats("nodes_values", &[0.5])), "nodes_values"),
        parse,
        "`nodes_values` has 1 entries",
    );
    for huge in [i64::MAX, 1 << 40, 0, -1] {
        refused(
            regressor(Some(build::int("n_targets", huge)), "n_targets"),
            parse,
            "`n_targets` is out of range",
        );
    }
    let post = text("post_transform", "LOGISTIC");
    refused(regressor(Some(post), "post_transform"), unsupported, "post_transform");
    refused(regressor(Some(floats("base_values", &[1.0, 2.0])), "base_values"), parse, "2 base values");
}

#[test]
fn broken_trees_of_operator_set_5_are_refused_too() {
    assert!(load(newer(None, "")).is_ok());
    let lists: [(&str, &[i64], &str); 9] = [
        ("tree_roots", &[], "there are no trees"),
        ("tree_roots", &[1], "a root is node 1, which is not there"),
        ("nodes_featureids", &[2], "node 0 reads feature 2 of rows declared 2 wide"),
        ("nodes_featureids", &[0, 0], "lists of nodes or leaves differ in length"),
        ("nodes_truenodeids", &[2], "node 0 leads to leaf 2, which is not there"),
        ("nodes_truenodeids", &[-5], "node 0 leads to leaf -5, which is not there"),
        ("nodes_trueleafs", &[0], "node 0 is reached from itself"),
        ("nodes_missing_value_tracks_true", &[0, 0], "lists of nodes or leaves differ in length"),
        ("leaf_targetids", &[0, 1], "a weight is for target 1 of 1"),
    ];
    for (name, list, what) in lists {
        refused(newer(Some(ints(name, list)), name), Reason::Parse, what);
    }
    refused(
        newer(Some(build::int("n_targets", i64::MAX)), "n_targets"),
        Reason::Parse,
        "`n_targets` is out of range",
    );
}

#[test]
fn a_chain_of_nodes_is_bounded() {
    // Each node leads to the next one or to the same leaf: higher than any tree that was trained.
    let levels: i64 = 5000;
    let (ids, mut modes): (Vec<i64>, Vec<&str>) = (0..levels).map(|id| (id, "BRANCH_LEQ")).unzip();
    modes[4999] = "LEAF";
    let next: Vec<i64> = ids.iter().map(|id| (id + 1).min(levels - 1)).collect();
    let zeros = vec![0; levels as usize];
    let attributes = vec![
        ints("nodes_treeids", &zeros),
        ints("nodes_nodeids", &ids),
        ints("nodes_featureids", &zeros),
        texts("nodes_modes", &modes),
        floats("nodes_values", &vec![0.0; levels as usize]),
        ints("nodes_truenodeids", &next),
        ints("nodes_falsenodeids", &vec![levels - 1; levels as usize]),
        ints("target_treeids", &[0]),
        ints("target_nodeids", &[levels - 1]),
        ints("target_ids", &[0]),
        floats("target_weights", &[1.0]),
    ];
    let nodes = vec![node("ml.TreeEnsembleRegressor", &["x"], &["y"], attributes)];
    let file = model(graph(nodes, vec![value("x", 1, &[-1, 2])], vec![value("y", 1, &[-1, 1])]));
    refused(file, Reason::Parse, "node 902 of tree 0 has more than 4096 levels below it");
}
