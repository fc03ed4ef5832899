//! Files that are not sound, and files that say the same in different forms.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::*;

const UBJ: Source = Source::XgboostUbj;
const JSON: Source = Source::XgboostJson;
const TEXT: Source = Source::LightgbmText;

fn fixture(name: &str) -> Vec<u8> {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/boosters").join(name);
    fs::read(path).unwrap()
}

/// A model of two trees: a split by number, and one by category.
fn document() -> Value {
    let tree = |id: u64, kind: u8| {
        let categories = if kind == 1 {
            [json!([2, 5]), json!([0]), json!([0]), json!([2])]
        } else {
            [(); 4].map(|()| json!([]))
        };
        let [categories, nodes, segments, sizes] = categories;
        json!({"id": id, "tree_param": {"num_nodes": "3", "size_leaf_vector": "1", "num_feature": "2"},
            "left_children": [1, -1, -1], "right_children": [2, -1, -1], "parents": [2147483647, 0, 0],
            "split_indices": [id, 0, 0], "split_conditions": [0.5, -1.0, 2.0], "default_left": [1, 0, 0],
            "split_type": [kind, 0, 0], "categories": categories, "categories_nodes": nodes,
            "categories_segments": segments, "categories_sizes": sizes, "base_weights": [0, 0, 0]})
    };
    json!({"version": [3, 2, 0], "learner": {"attributes": {}, "feature_names": [], "feature_types": [],
        "gradient_booster": {"name": "gbtree", "model": {
            "gbtree_model_param": {"num_trees": "2", "num_parallel_tree": "1"},
            "tree_info": [0, 0], "trees": [tree(0, 0), tree(1, 1)]}},
        "learner_model_param": {"base_score": "[5E-1]", "num_class": "0", "num_feature": "2", "num_target": "1"},
        "objective": {"name": "reg:squarederror"}}})
}

/// The document in UBJSON, with lists of numbers packed as XGBoost packs them.
fn ubj(value: &Value) -> Vec<u8> {
    let text = |text: &str| [b"L".as_slice(), &(text.len() as i64).to_be_bytes(), text.as_bytes()].concat();
    match value {
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| [text(key), ubj(value)].concat());
            [b"{".to_vec(), members.collect::<Vec<_>>().concat(), b"}".to_vec()].concat()
        }
        Value::Array(values) => {
            let count = (values.len() as i64).to_be_bytes();
            let floats = values.iter().any(Value::is_f64);
            if !values.is_empty() && values.iter().all(Value::is_number) {
                let wide =
                    values.iter().any(|value| value.as_i64().is_some_and(|n| i32::try_from(n).is_err()));
                let packed = values.iter().map(|value| match (floats, wide) {
                    (true, _) => (value.as_f64().unwrap() as f32).to_be_bytes().to_vec(),
                    (_, true) => value.as_i64().unwrap().to_be_bytes().to_vec(),
                    _ => (value.as_i64().unwrap() as i32).to_be_bytes().to_vec(),
                });
                let letter = match (floats, wide) {
                    (true, _) => b"[$d#L",
                    (_, true) => b"[$L#L",
                    _ => b"[$l#L",
                };
                return [letter.as_slice(), &count, &packed.collect::<Vec<_>>().concat()].concat();
            }
            [b"[#L".as_slice(), &count, &values.iter().map(ubj).collect::<Vec<_>>().concat()].concat()
        }
        Value::String(string) => [b"S".to_vec(), text(string)].concat(),
        Value::Number(number) => [b"i".as_slice(), &[number.as_i64().unwrap() as u8]].concat(),
        Value::Bool(truth) => vec![if *truth { b'T' } else { b'F' }],
        Value::Null => vec![b'Z'],
    }
}

/// A model as text: equal models have equal ones.
fn shown(booster: &Booster) -> String {
    format!("{booster:?}")
}

#[track_caller]
fn refused(source: Source, bytes: &[u8], code: Reason, what: &str) {
    let error = parse(source, bytes).err().unwrap_or_else(|| panic!("not refused: {what}"));
    assert_eq!(error.code, code, "{error}");
    assert!(error.detail.contains(what), "`{what}` is not in: {error}");
}

const TREES: &str = "/learner/gradient_booster/model/trees";

/// What is refused of XGBoost's models: where what is put in place, why, and the words for it.
fn contradictions() -> Vec<(String, Value, Reason, &'static str)> {
    let (parse, unsupported, large) = (Reason::Parse, Reason::Unsupported, Reason::TooLarge);
    let tree = |rest: &str| format!("{TREES}{rest}");
    let learner = |rest: &str| format!("/learner/{rest}");
    vec![
        (
            tree("/0/left_children"),
            json!([7, -1, -1]),
            parse,
            "tree 0: node 0 leads to node 7, which is not there",
        ),
        (tree("/1/right_children"), json!([-2, -1, -1]), parse, "tree 1: node 0 leads to node -2"),
        (tree("/0/left_children"), json!([0, -1, -1]), parse, "tree 0: node 0 leads back to the root"),
        (tree("/0/left_children"), json!([2, -1, -1]), parse, "not the only one that leads to node 2"),
        (tree("/0/left_children"), json!([1, 1, -1]), parse, "tree 0: node 1"),
        (tree("/0/left_children"), json!([1, -1]), parse, "tree 0: `left_children` has 2 entries"),
        (tree("/0/split_conditions"), json!([0.5]), parse, "`split_conditions` says 1"),
        (tree("/0/default_left"), json!([]), parse, "`default_left` says 0"),
        (tree("/0/tree_param/num_nodes"), json!("4"), parse, "`num_nodes` says 4"),
        (tree("/0/tree_param/num_nodes"), json!("-4"), parse, "tree 0: `num_nodes` is `-4`"),
        (tree("/0/tree_param/size_leaf_vector"), json!("3"), unsupported, "tree 0: leaves of several values"),
        (tree("/0/split_indices"), json!([2, 0, 0]), parse, "tree 0, node 0: there is no feature 2"),
        (tree("/0/split_indices"), json!([-1, 0, 0]), parse, "tree 0: node 0: there is no feature -1"),
        (tree("/0/split_indices"), json!([4_294_967_296_i64, 0, 0]), parse, "there is no feature"),
        (tree("/0/split_type"), json!([2, 0, 0]), parse, "tree 0: node 0: its `split_type` is 2"),
        (tree("/0/split_type"), json!([1, 0, 0]), parse, "tree 0: node 0: its categories are not there"),
        (tree("/1/id"), json!(0), parse, "tree 1: its `id` is 0"),
        (tree("/1/categories"), json!([2]), parse, "tree 1: node 0: its categories are not there"),
        (tree("/1/categories"), json!([2, 16_777_216]), parse, "tree 1: node 0: category 16777216"),
        (tree("/1/categories"), json!([-1, 2]), parse, "category -1"),
        (tree("/1/categories_nodes"), json!([3]), parse, "tree 1"),
        (tree("/1/categories_nodes"), json!([1, 0]), parse, "tree 1"),
        (tree("/1/categories_segments"), json!([i64::MAX]), parse, "categories are not there"),
        (tree("/1/categories_sizes"), json!([0]), parse, "categories are not there"),
        (tree("/1"), json!({}), parse, "tree 1: there are no nodes"),
        (TREES.into(), json!([]), parse, "there are 0 trees, but `num_trees` is 2"),
        (learner("gradient_booster/model/tree_info"), json!([0]), parse, "`tree_info` has 1 entries"),
        (learner("gradient_booster/model/tree_info"), json!([0, 1]), parse, "tree 1 adds to output 1 of 1"),
        (learner("gradient_booster/name"), json!("gblinear"), unsupported, "`gblinear` is a linear model"),
        (learner("gradient_booster/name"), json!("gbnew"), unsupported, "booster `gbnew` is not known"),
        (learner("objective/name"), json!("reg:new"), unsupported, "objective `reg:new` is not known"),
        (learner("objective"), json!({}), parse, "`objective` has no name"),
        (learner("feature_names"), json!(["a"]), parse, "1 feature names for 2 features"),
        (learner("learner_model_param/base_score"), json!("[5E-1,1E0]"), parse, "`base_score` has 2 entries"),
        (learner("learner_model_param/base_score"), json!("nan"), parse, "`base_score` is `nan`"),
        (learner("learner_model_param/base_score"), json!(""), parse, "`base_score`"),
        (learner("learner_model_param/num_class"), json!("70000"), large, "70000 outputs per row"),
        (learner("learner_model_param/num_class"), json!("18446744073709551615"), large, "outputs per row"),
        (learner("learner_model_param/num_feature"), json!("2000000"), large, "2000000 features"),
        ("/version".into(), json!([]), parse, "`version` is missing"),
        ("/learner".into(), json!([]), parse, "expected an object"),
    ]
}

#[test]
fn contradictions_in_xgboost_s_models_are_refused() {
    assert!(parse(JSON, document().to_string().as_bytes()).is_ok());
    assert!(parse(UBJ, &ubj(&document())).is_ok());
    for (place, value, code, what) in contradictions() {
        let mut document = document();
        *document.pointer_mut(&place).unwrap_or_else(|| panic!("{place}")) = value;
        refused(JSON, document.to_string().as_bytes(), code, what);
        refused(UBJ, &ubj(&document), code, what);
    }
    refused(JSON, b"{\"name\": \"tree\"}", Reason::Parse, "no `learner`");
    refused(JSON, b"tree\nversion=v4\n", Reason::Parse, "not a JSON model");
    refused(UBJ, document().to_string().as_bytes(), Reason::Parse, "not a UBJSON model");
    refused(JSON, &ubj(&document()), Reason::Parse, "not a JSON model");
    refused(JSON, format!("{} 1", document()).as_bytes(), Reason::Parse, "after the JSON document");
    refused(UBJ, &[ubj(&document()), vec![0]].concat(), Reason::Parse, "after the model");
}

#[test]
fn what_is_not_served_is_named() {
    let refused =
        |name: &str, source, code, what| refused(source, &fixture(&format!("refused/{name}")), code, what);
    for (ending, source) in [("ubj", UBJ), ("json", JSON)] {
        refused(&format!("gblinear.{ending}"), source, Reason::Unsupported, "`gblinear` is a linear model");
        refused(
            &format!("vector-leaves.{ending}"),
            source,
            Reason::Unsupported,
            "tree 0: leaves of several values",
        );
    }
    refused("linear-trees.txt", TEXT, Reason::Unsupported, "tree 0: linear trees are not supported");
    refused("dump.json", JSON, Reason::Parse, "LightGBM's models are read as text");
}

#[test]
fn claims_of_ubjson_allocate_nothing() {
    let lists = |head: &[u8], tail: &[u8]| {
        let key = |key: &str| [b"L".as_slice(), &(key.len() as i64).to_be_bytes(), key.as_bytes()].concat();
        [b"{".as_slice(), &key("version"), head, &i64::MAX.to_be_bytes(), tail].concat()
    };
    let beyond = "a length is beyond the end of the file";
    for head in [b"[$l#L".as_slice(), b"[$L#L", b"[#L", b"[$U#L"] {
        refused(UBJ, &lists(head, &[]), Reason::Parse, beyond);
    }
    refused(UBJ, &lists(b"SL", &[]), Reason::Parse, "expected a list");
    refused(UBJ, b"{L\x7f\xff\xff\xff\xff\xff\xff\xff", Reason::Parse, beyond);
    refused(UBJ, b"{L\xff\xff\xff\xff\xff\xff\xff\xff", Reason::Parse, beyond);
    refused(UBJ, b"{i\x01a[$Z#i\x01", Reason::Parse, "a list of an unknown type");
    refused(UBJ, b"{i\x01aH", Reason::Parse, "an unknown type");
    refused(UBJ, b"", Reason::Parse, "expected an object");
    let deep = [b"{i\x01a".as_slice(), &[b'['; 100_000]].concat();
    refused(UBJ, &deep, Reason::Parse, "nested too deep");
    let deep = [b"{".as_slice(), &b"i\x01a{".repeat(100_000)].concat();
    refused(UBJ, &deep, Reason::Parse, "nested too deep");
}

#[test]
fn json_and_ubjson_say_the_same() {
    let both = |a: &[u8], b: &[u8]| {
        let [a, b] = [parse(JSON, a).unwrap(), parse(UBJ, b).unwrap()];
        assert_eq!(shown(&a), shown(&b));
        a
    };
    let booster = both(&fixture("xgb-penguins-json.json"), &fixture("xgb-penguins-ubj.ubj"));
    assert_eq!(booster.columns[0], "island");
    assert_eq!(
        (&booster.signature.inputs[0].shape, &booster.signature.outputs[0].shape),
        (&vec![-1, 6], &vec![-1, 3])
    );
    both(document().to_string().as_bytes(), &ubj(&document()));
    // Lists of values, and truth in place of numbers, as older versions wrote them.
    let mut old = document();
    old["version"] = json!([1, 0, 0]);
    *old.pointer_mut(&format!("{TREES}/0/default_left")).unwrap() = json!([true, false, false]);
    *old.pointer_mut("/learner/learner_model_param/base_score").unwrap() = json!("0.500000");
    assert_eq!(
        shown(&both(old.to_string().as_bytes(), &ubj(&old))),
        shown(&parse(JSON, document().to_string().as_bytes()).unwrap())
    );
}

#[test]
fn the_base_score_counts_as_its_version_meant_it() {
    let first = |version: Value, objective: &str, base: &str| {
        let mut document = document();
        document["version"] = version;
        *document.pointer_mut("/learner/objective/name").unwrap() = json!(objective);
        *document.pointer_mut("/learner/learner_model_param/base_score").unwrap() = json!(base);
        let Forest::Single(trees) = parse(JSON, document.to_string().as_bytes()).unwrap().forest else {
            panic!()
        };
        match trees.nodes[1..3] {
            // The second tree has its own leaves.
            [Node::Leaf(left), Node::Leaf(right)]
                if trees.nodes[4] == Node::Leaf(-1.0) && right - left == 3.0 =>
            {
                left + 1.0
            }
            ref other => panic!("{other:?}"),
        }
    };
    assert_eq!(first(json!([3, 2, 0]), "reg:squarederror", "[2E0]"), 2.0);
    assert_eq!(first(json!([1, 6, 0]), "reg:squarederror", "2E0"), 2.0);
    assert_eq!(first(json!([3, 2, 0]), "binary:logistic", "5E-1"), 0.0);
    assert_eq!(first(json!([3, 2, 0]), "binary:logitraw", "5E-1"), 0.5);
    assert_eq!(first(json!([1, 7, 6]), "binary:logitraw", "5E-1"), 0.5);
    assert_eq!(first(json!([1, 3, 0]), "binary:logitraw", "5E-1"), 0.0);
    assert_eq!(first(json!([3, 2, 0]), "count:poisson", "1E0"), 0.0);
}

/// A model of LightGBM: a split by number and one by category.
fn text() -> String {
    let head = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\n\
        objective=regression\nfeature_names=a b\nfeature_infos=[0:1] 0:1:2\ntree_sizes=1 2\n\n";
    let tree = |number: u8, decision: u8, more: &str| {
        format!(
            "Tree={number}\nnum_leaves=2\nnum_cat={decision}\nsplit_feature={number}\nsplit_gain=1\nthreshold=0\n\
            decision_type={decision}\nleft_child=-1\nright_child=-2\nleaf_value=-1 2.5\n{more}is_linear=0\nshrinkage=1\n\n\n"
        )
    };
    let sets = "cat_boundaries=0 2\ncat_threshold=5 1\n";
    format!("{head}{}{}end of trees\n\nparameters:\n", tree(0, 0, ""), tree(1, 1, sets))
}

#[test]
fn contradictions_in_lightgbm_s_models_are_refused() {
    let booster = parse(TEXT, text().as_bytes()).unwrap();
    assert_eq!(booster.columns, ["a", "b"]);
    let Forest::Double(trees) = &booster.forest else { panic!() };
    assert_eq!(trees.sets, [[0, 2, 32]]);
    // Other ends of lines change nothing.
    assert_eq!(shown(&parse(TEXT, text().replace('\n', "\r\n").as_bytes()).unwrap()), shown(&booster));
    let (parse, unsupported, large) = (Reason::Parse, Reason::Unsupported, Reason::TooLarge);
    for (from, to, code, what) in [
        ("tree\n", "{\"name\": \"tree\"}\n", parse, "does not start with the line `tree`"),
        ("end of trees", "", parse, "expected `Tree=2`, found `parameters:`"),
        ("Tree=1", "Tree=7", parse, "expected `Tree=1`, found `Tree=7`"),
        ("tree_sizes=1 2", "tree_sizes=1", parse, "`tree_sizes` has another number"),
        (
            "num_tree_per_iteration=1",
            "num_tree_per_iteration=3",
            parse,
            "2 trees do not make whole rounds of 3",
        ),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=0", large, "0 outputs per row"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=99999999", large, "outputs per row"),
        ("max_feature_idx=1", "max_feature_idx=0", parse, "tree 1, node 0: there is no feature 1"),
        ("max_feature_idx=1", "max_feature_idx=9", parse, "2 feature names for 10 features"),
        ("max_feature_idx=1", "max_feature_idx=18446744073709551615", parse, "out of range"),
        ("max_feature_idx=1\n", "", parse, "`max_feature_idx` is missing"),
        ("feature_names=a b\n", "", parse, "`feature_names` is missing"),
        ("objective=regression", "objective=newest", unsupported, "objective `newest` is not known"),
        ("objective=regression", "objective=binary sigmoid:x", parse, "sigmoid is `x`"),
        ("is_linear=0", "is_linear=1", unsupported, "tree 0: linear trees are not supported"),
        ("num_leaves=2", "num_leaves=3", parse, "tree 0: `leaf_value` has 2 entries, not 3"),
        ("num_leaves=2", "num_leaves=18446744073709551615", parse, "tree 0: `leaf_value` has 2 entries"),
        ("num_leaves=2", "num_leaves=x", parse, "tree 0: `num_leaves` is `x`"),
        ("left_child=-1", "left_child=0", parse, "tree 0: node 0 leads back to the root"),
        ("left_child=-1", "left_child=-2", parse, "not the only one"),
        ("left_child=-1", "left_child=-9", parse, "tree 0: node 0 leads to node 9, which is not there"),
        ("left_child=-1", "left_child=-9223372036854775808", parse, "left_child"),
        ("left_child=-1", "left_child=-1 0", parse, "`left_child` has 2 entries, not 1"),
        ("leaf_value=-1 2.5", "leaf_value=-1 2,5", parse, "`leaf_value` holds `2,5`"),
        ("split_feature=0", "split_feature=-1", parse, "`split_feature` holds `-1`"),
        ("decision_type=0", "decision_type=12", parse, "tree 0: node 0: `decision_type` is 12"),
        ("decision_type=0", "decision_type=1", parse, "tree 0: node 0: there is no set 0"),
        ("cat_boundaries=0 2", "cat_boundaries=0 3", parse, "tree 1: `cat_threshold` has 2 entries, not 3"),
        ("cat_boundaries=0 2", "cat_boundaries=3 2", parse, "`cat_boundaries` does not ascend"),
        ("cat_threshold=5 1\n", "", parse, "tree 1: `cat_threshold` is missing"),
        ("num_cat=1", "num_cat=18446744073709551615", parse, "`num_cat` is out of range"),
    ] {
        let changed = text().replacen(from, to, 1);
        assert_ne!(changed, text(), "{from}");
        refused(TEXT, changed.as_bytes(), code, what);
    }
    refused(TEXT, b"tree\n\xff", parse, "UTF-8");
}

#[test]
fn what_is_cut_off_is_refused() {
    let check = |source: Source, bytes: &[u8], complete: usize| {
        assert!(parse(source, bytes).is_ok());
        for length in 0..complete {
            assert!(parse(source, &bytes[..length]).is_err(), "{source:?} of {length} bytes");
        }
        for length in complete..bytes.len() {
            drop(parse(source, &bytes[..length]));
        }
    };
    let documents = [ubj(&document()), fixture("xgb-penguins-ubj.ubj")];
    documents.iter().for_each(|bytes| check(UBJ, bytes, bytes.len()));
    let documents = [document().to_string().into_bytes(), fixture("xgb-categories-partition.json")];
    documents.iter().for_each(|bytes| check(JSON, bytes, bytes.len()));
    for bytes in [text().into_bytes(), fixture("lgb-penguins.txt")] {
        let end = "end of trees";
        let complete = std::str::from_utf8(&bytes).unwrap().find(end).unwrap() + end.len();
        check(TEXT, &bytes, complete);
    }
}

#[test]
fn names_that_the_library_made_up_are_none() {
    assert_eq!(parse(TEXT, &fixture("lgb-regression.txt")).unwrap().columns, [""; 0]);
    assert_eq!(parse(TEXT, &fixture("lgb-flights.txt")).unwrap().columns[..2], ["carrier", "origin"]);
    assert_eq!(parse(UBJ, &fixture("xgb-flights.ubj")).unwrap().columns[..2], ["carrier", "origin"]);
}
