//! What is exported is tampered with, and has to be found out.

use sidegate::booster::{Booster, Forest, Node, Test, Transform, Tree, Trees};
use sidegate::format::Format;

use super::*;
use crate::features::{Classes, Fitter, Kind, RawColumn, Spec, export};
use crate::served::tests::onnxruntime;

/// A model of two classes on two columns, the second of which is scaled.
struct Made {
    fields: Vec<Field>,
    recipe: Recipe,
    model: Model,
    answer: Answer,
    export: ExportConfig,
}

fn rows() -> RawBatch {
    let x: Vec<f32> = (0..600).map(|row| row as f32 / 100.0 - 3.0).collect();
    let z = x.iter().map(|x| x * x - 2.0).collect();
    RawBatch { columns: vec![RawColumn::Numbers(x), RawColumn::Numbers(z)] }
}

/// So many trees that ask a column each; `leaf` says what the sides of a tree add.
fn booster(trees: usize, transform: Transform, leaf: impl Fn(usize) -> [f64; 2]) -> Booster {
    let mut forest = Trees::<f64>::default();
    for tree in 0..trees {
        let root = forest.nodes.len() as u32;
        forest.trees.push(Tree { root, target: 0 });
        let (feature, at) = ((tree % 2) as u32, Test::AtMost(tree as f64 / trees as f64 * 2.0 - 1.0));
        forest.nodes.push(Node::Split { feature, test: at, missing: false, yes: root + 1, no: root + 2 });
        forest.nodes.extend(leaf(tree).map(Node::Leaf));
    }
    Booster::new(Forest::Double(forest), 2, Vec::new(), 1, None, transform).unwrap()
}

fn logistic(last: f64) -> Model {
    let leaf = |tree| [-0.2, if tree == 19 { last } else { 0.15 }];
    Model::Booster(booster(20, Transform::Logistic { slope: 1.0 }, leaf))
}

fn classes(names: [&str; 2], threshold: f64) -> Answer {
    Answer::Classes(Classes::Names(names.map(str::to_owned).to_vec()), threshold)
}

fn file(recipe: &Recipe, model: &Model, answer: &Answer) -> File {
    File::parse(Format::Onnx, export(recipe, model, answer, &ExportConfig::default()).unwrap()).unwrap()
}

fn features(recipe: &Recipe) -> File {
    File::parse(Format::Onnx, recipe.features_file(None).unwrap()).unwrap()
}

impl Made {
    fn new(model: Model, answer: Answer) -> Self {
        let field = |name: &str| Field { name: name.to_owned(), kind: Kind::Number, nullable: false };
        let fields = ["x", "z"].map(field).to_vec();
        let spec = "s = { type = 'standardize', columns = ['z'] }".parse().unwrap();
        let mut fitter = Fitter::new(Spec::parse(&spec).unwrap(), fields.clone()).unwrap();
        fitter.push(&rows()).unwrap();
        Self { fields, recipe: fitter.finish().unwrap(), model, answer, export: ExportConfig::default() }
    }

    fn whole(&self) -> File {
        file(&self.recipe, &self.model, &self.answer)
    }

    fn prover<'a>(&'a self, whole: &'a File, alone: &'a File) -> Prover<'a> {
        // Before any engine looks for it.
        onnxruntime();
        let answer = &self.answer;
        let task = if *answer == Answer::Number { Task::Regression } else { Task::Binary };
        let Self { fields, recipe, model, export, .. } = self;
        Prover::new(&Subject { whole, alone, model, recipe, fields, task, answer, export }).unwrap()
    }

    /// What is found of these files.
    fn prove(&self, whole: &File, alone: &File) -> Result<Vec<Proof>, String> {
        let mut prover = self.prover(whole, alone);
        prover.push(&rows())?;
        prover.finish()
    }

    #[track_caller]
    fn refused(&self, whole: &File, alone: &File, why: &str) {
        let error = self.prove(whole, alone).unwrap_err();
        assert!(error.contains(why) && error.ends_with("nothing is registered"), "{error}");
    }
}

#[test]
fn what_was_exported_is_proven_in_every_engine_that_is_there() {
    for threshold in [0.5, 0.3] {
        let made = Made::new(logistic(0.15), classes(["no", "yes"], threshold));
        let proof = made.prove(&made.whole(), &features(&made.recipe)).unwrap();
        let engines: Vec<&str> = proof.iter().map(|proof| &*proof.engine).collect();
        assert_eq!(engines, if onnxruntime() { vec!["trees", "ort"] } else { vec!["trees"] });
        let versions = proof.iter().map(|proof| proof.version.is_some());
        assert!(versions.eq(engines.iter().map(|engine| *engine == "ort")), "{proof:?}");
        assert!(
            proof.iter().all(|proof| proof.rows == 600 && proof.flips == 0 && proof.rounded == 0),
            "{proof:?}"
        );
        assert!(proof.iter().all(|proof| proof.largest < 1e-6), "{proof:?}");
    }
}

#[test]
fn an_engine_that_does_not_run_it_is_told_with_the_reason() {
    let made = Made::new(logistic(0.15), classes(["no", "yes"], 0.5));
    let (whole, alone) = (made.whole(), features(&made.recipe));
    let prover = made.prover(&whole, &alone);
    let told = prover.left_out().iter().find(|(engine, _)| *engine == EngineKind::Tract);
    assert!(
        told.is_some_and(|(_, why)| why.contains("tract is not used for BYTES")),
        "{:?}",
        prover.left_out()
    );
}

#[test]
fn sums_of_leaves_that_cancel_are_held_against_float64() {
    // LightGBM adds in float64, and what is served in float32.
    let large = |last: f64| {
        let leaf = move |tree: usize| match tree {
            40 => [0.1, last],
            tree if tree % 4 == 3 => [-3e5, -3e5],
            _ => [1e5 + tree as f64 / 100.0, 1e5 - tree as f64 / 300.0],
        };
        Model::Booster(booster(41, Transform::Identity, leaf))
    };
    let made = Made::new(large(0.2), Answer::Number);
    let proof = made.prove(&made.whole(), &features(&made.recipe)).unwrap();
    assert!(proof.iter().all(|proof| proof.rounded > 100 && proof.largest > 1e-4), "{proof:?}");
    let other = file(&made.recipe, &large(400.0), &made.answer);
    made.refused(
        &other,
        &features(&made.recipe),
        "trees answers otherwise than the trained model: by up to ",
    );
}

#[test]
fn another_leaf_is_another_answer() {
    let made = Made::new(logistic(0.15), classes(["no", "yes"], 0.5));
    let other = file(&made.recipe, &logistic(0.151), &made.answer);
    made.refused(
        &other,
        &features(&made.recipe),
        "trees answers otherwise than the trained model: by up to ",
    );
}

#[test]
fn other_labels_of_the_same_probabilities_are_flips() {
    let made = Made::new(logistic(0.15), classes(["no", "yes"], 0.5));
    for other in [classes(["no", "yes"], 0.3), classes(["yes", "no"], 0.5), classes(["no", "yes!"], 0.5)] {
        let other = file(&made.recipe, &made.model, &other);
        made.refused(&other, &features(&made.recipe), " of 600 labels are others");
    }
    let numbers = Made::new(logistic(0.15), Answer::Classes(Classes::Numbers(vec![0, 1]), 0.5));
    let turned = Answer::Classes(Classes::Numbers(vec![1, 0]), 0.5);
    let turned = file(&numbers.recipe, &numbers.model, &turned);
    numbers.refused(&turned, &features(&numbers.recipe), "600 of 600 labels are others");
}

#[test]
fn features_are_those_of_training_to_the_bit() {
    let made = Made::new(logistic(0.15), classes(["no", "yes"], 0.5));
    let mut other = made.recipe.clone();
    let scale =
        other.blocks.iter_mut().flat_map(|block| &mut block.features).find_map(|made| made.scale.as_mut());
    let offset = &mut scale.unwrap().offset;
    *offset = offset.next_up();
    made.refused(&made.whole(), &features(&other), "trees makes other features: value ");
}
