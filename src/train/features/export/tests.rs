use crate::learner::Linear;
use sidegate::booster::{self, Booster, Forest, Node, Source, Test, Trees};
use sidegate::config::EngineChoice;
use sidegate::engine::{Engine, LoadOptions, Scratch, trees::Trees as Runs};
use sidegate::format::{Format, Model as File};
use sidegate::tensor::{Data, Datatype, Tensor};

use super::*;
use crate::evaluate::Predictions;
use crate::features::fit::Fitter;
use crate::features::raw::{Field, Kind, RawBatch, RawColumn};
use crate::features::sample::Random;
use crate::features::spec::Spec;
use crate::served::Served;
use crate::served::tests::onnxruntime;
use crate::table::Task;

/// A recipe of so many plain numbers.
fn plain(width: usize) -> Recipe {
    let fields: Vec<Field> =
        (0..width).map(|at| Field { name: format!("f{at}"), kind: Kind::Number, nullable: false }).collect();
    let mut fitter = Fitter::new(Spec::default(), fields).unwrap();
    fitter.push(&RawBatch { columns: vec![RawColumn::Numbers(vec![0.0]); width] }).unwrap();
    fitter.finish().unwrap()
}

/// With our own interface.
fn export(recipe: &Recipe, model: &Model, answer: &Answer) -> Result<Vec<u8>, Error> {
    super::export(recipe, model, answer, &ExportConfig::default())
}

fn config(text: &str) -> ExportConfig {
    toml::from_str(text).unwrap()
}

/// The outputs of a file on columns of numbers.
fn run(file: Vec<u8>, columns: &[Vec<f32>]) -> Vec<Tensor> {
    let model = File::parse(Format::Onnx, file).unwrap();
    let session = Runs.load(&model, &LoadOptions { workers: 1 }).unwrap();
    let inputs: Vec<Tensor> =
        columns.iter().map(|column| Tensor::new(&[column.len(), 1], Data::Fp32(column.clone()))).collect();
    let mut outputs = Vec::new();
    session.run(&inputs, &mut Scratch::new(0), &mut outputs).unwrap();
    outputs
}

/// What the library's own rules give for the same rows.
fn original(booster: &Booster, columns: &[Vec<f32>]) -> Vec<f64> {
    let session = Runs.load(&File::Booster(booster.clone().into()), &LoadOptions { workers: 1 }).unwrap();
    let rows = columns[0].len();
    let values = (0..rows).flat_map(|row| columns.iter().map(move |column| column[row]));
    let shape = [rows, columns.len()];
    let input = match booster.signature.inputs[0].datatype {
        Datatype::Fp32 => Tensor::new(&shape, Data::Fp32(values.collect())),
        _ => Tensor::new(&shape, Data::Fp64(values.map(f64::from).collect())),
    };
    let mut outputs = Vec::new();
    session.run(&[input], &mut Scratch::new(0), &mut outputs).unwrap();
    (0..outputs[0].data.len()).map(|at| outputs[0].data.number(at).unwrap()).collect()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    (0..tensor.data.len()).map(|at| tensor.data.number(at).unwrap()).collect()
}

/// A random tree over `features`, of which the last one is a category below 40.
fn grow<T: Copy>(
    random: &mut Random,
    trees: &mut Trees<T>,
    features: u32,
    depth: u32,
    of: fn(f64) -> T,
    compare: fn(T) -> Test<T>,
) {
    let place = trees.nodes.len();
    if depth == 0 || random.below(8) == 0 {
        trees.nodes.push(Node::Leaf(of(random.share() - 0.5)));
        return;
    }
    let feature = random.below(features.into()) as u32;
    let test = if feature + 1 == features {
        let set = (0..40).filter(|_| random.below(3) == 0).collect();
        trees.sets.push(set);
        Test::OneOf(trees.sets.len() as u32 - 1)
    } else {
        compare(of(
            (random.share() * 20.0 - 10.0).round() / 2.0 + if random.below(2) == 0 { 0.1 } else { 0.0 }
        ))
    };
    trees.nodes.push(Node::Leaf(of(0.0)));
    let yes = trees.nodes.len() as u32;
    grow(random, trees, features, depth - 1, of, compare);
    let no = trees.nodes.len() as u32;
    grow(random, trees, features, depth - 1, of, compare);
    trees.nodes[place] = Node::Split { feature, test, missing: random.below(2) == 0, yes, no };
}

/// Rows with thresholds, their neighbours and missing values among them.
fn hard(random: &mut Random, features: usize, rows: usize) -> Vec<Vec<f32>> {
    let mut columns: Vec<Vec<f32>> = Vec::new();
    for at in 0..features {
        let mut value = || match random.below(6) {
            0 => f32::NAN,
            _ if at + 1 == features => random.below(45) as f32,
            1 => ((random.share() * 20.0 - 10.0).round() / 2.0 + 0.1) as f32,
            2 => (((random.share() * 20.0 - 10.0).round() / 2.0 + 0.1) as f32).next_up(),
            3 => f32::INFINITY,
            _ => ((random.share() * 20.0 - 10.0).round() / 2.0) as f32,
        };
        columns.push((0..rows).map(|_| value()).collect());
    }
    columns
}

fn blank() -> Booster {
    let ubj = r#"{"version":[3,0,0],"learner":{"objective":{"name":"reg:squarederror"},"learner_model_param":{"base_score":"0","num_feature":"4","num_class":"0","num_target":"1"},"gradient_booster":{"name":"gbtree","model":{"gbtree_model_param":{"num_trees":"0"},"tree_info":[],"trees":[]}}}}"#;
    booster::parse(Source::XgboostJson, ubj.as_bytes()).unwrap()
}

#[test]
fn every_row_reaches_the_leaf_that_it_reached() {
    for seed in 0..12 {
        let random = &mut Random(seed);
        let mut booster = blank();
        // One tree at a time: no sum hides a leaf.
        let columns = hard(random, 4, 700);
        if seed % 2 == 0 {
            let mut trees = Trees::<f32>::default();
            grow(random, &mut trees, 4, 7, |x| x as f32, Test::Below);
            trees.trees.push(booster::Tree { root: 0, target: 0 });
            booster.forest = Forest::Single(trees);
        } else {
            let mut trees = Trees::<f64>::default();
            grow(random, &mut trees, 4, 7, |x| x, Test::AtMost);
            trees.trees.push(booster::Tree { root: 0, target: 0 });
            booster.forest = Forest::Double(trees);
            booster.signature.inputs[0].datatype = Datatype::Fp64;
        }
        let file = export(&plain(4), &Model::Booster(booster.clone()), &Answer::Number).unwrap();
        let found = numbers(&run(file, &columns)[0]);
        let wanted = original(&booster, &columns);
        for (row, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
            assert_eq!(
                *found as f32,
                *wanted as f32,
                "seed {seed}, row {row}: {:?}",
                columns.iter().map(|c| c[row]).collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn classes_are_answered_by_name() {
    let mut booster = blank();
    booster.targets = 3;
    booster.transform = Transform::Softmax;
    let mut trees = Trees::<f32>::default();
    for target in 0..3 {
        trees.trees.push(booster::Tree { root: trees.nodes.len() as u32, target });
        let root = trees.nodes.len() as u32;
        trees.nodes.push(Node::Split {
            feature: target,
            test: Test::Below(0.0),
            missing: false,
            yes: root + 1,
            no: root + 2,
        });
        trees.nodes.extend([Node::Leaf(0.0), Node::Leaf(2.0)]);
    }
    booster.forest = Forest::Single(trees);
    let classes = Classes::Names(["setosa", "versicolor", "virginica"].map(str::to_owned).to_vec());
    let file = export(&plain(4), &Model::Booster(booster.clone()), &Answer::Classes(classes, 0.5)).unwrap();
    let columns = [vec![1.0, -1.0, -1.0], vec![-1.0, 1.0, -1.0], vec![-1.0, -1.0, 1.0], vec![0.0; 3]];
    let outputs = run(file.clone(), &columns);
    let Data::Bytes(labels) = &outputs[0].data else { panic!() };
    assert_eq!(labels.iter().collect::<Vec<_>>(), [b"setosa".as_slice(), b"versicolor", b"virginica"]);
    assert_eq!((&outputs[0].shape[..], &outputs[1].shape[..]), (&[3][..], &[3, 3][..]));
    let wanted = 2_f64.exp() / (2_f64.exp() + 2.0);
    assert!((outputs[1].data.number(0).unwrap() - wanted).abs() < 1e-6);
    let signature = File::parse(Format::Onnx, file).unwrap().signature().clone();
    let names: Vec<&str> = signature.outputs.iter().map(|output| &*output.name).collect();
    assert_eq!(names, ["label", "probabilities"]);
    assert_eq!(signature.inputs[0].shape, [-1, 1]);
}

#[test]
fn of_two_classes_the_label_is_the_one_that_the_evaluation_counts() {
    // The averages of a forest lie on thresholds, which float32 holds less than exactly.
    let shares: [f32; 9] =
        [0.1, 0.3, 0.5, 0.7, 0.9, 0.7_f32.next_down(), 0.7_f32.next_up(), 0.5_f32.next_up(), 0.499];
    let mut booster = blank();
    booster.divisor = Some(1);
    let mut trees = Trees::<f32>::default();
    trees.trees.push(booster::Tree { root: 0, target: 0 });
    for (row, share) in shares[1..].iter().enumerate() {
        let root = trees.nodes.len() as u32;
        let test = Test::Below(row as f32 + 0.5);
        trees.nodes.push(Node::Split { feature: 0, test, missing: false, yes: root + 1, no: root + 2 });
        trees.nodes.push(Node::Leaf(if row == 0 { shares[0] } else { shares[row] }));
        if row + 2 == shares.len() {
            trees.nodes.push(Node::Leaf(*share));
        }
    }
    booster.forest = Forest::Single(trees);
    let recipe = plain(4);
    let fields: Vec<Field> = recipe
        .inputs
        .iter()
        .map(|input| Field { name: input.name.clone(), kind: Kind::Number, nullable: false })
        .collect();
    let mut columns = vec![RawColumn::Numbers(vec![0.0; shares.len()]); 4];
    columns[0] = RawColumn::Numbers((0..shares.len()).map(|row| row as f32).collect());
    let engines = [EngineChoice::Trees, EngineChoice::Ort];
    for threshold in [0.5, 0.3, 0.7, 0.9, 0.05] {
        let classes = Classes::Names(["no", "yes"].map(str::to_owned).to_vec());
        let answer = Answer::Classes(classes.clone(), threshold);
        let file = export(&recipe, &Model::Booster(booster.clone()), &answer).unwrap();
        let file = File::parse(Format::Onnx, file).unwrap();
        let scores: Vec<f64> = shares.iter().map(|share| f64::from(*share)).collect();
        let counted =
            Predictions::new(Task::Binary, vec![0.0; shares.len()], scores, None).unwrap().classes(threshold);
        let second = shares
            .iter()
            .filter(|share| if threshold == 0.5 { **share > 0.5 } else { **share >= threshold as f32 });
        assert_eq!(counted.iter().sum::<usize>(), second.count(), "{threshold}");
        for engine in engines.into_iter().filter(|engine| *engine == EngineChoice::Trees || onnxruntime()) {
            let mut served = Served::of_columns(&file, engine, &fields, &[]).unwrap();
            served.ask(&RawBatch { columns: columns.clone() }).unwrap();
            assert_eq!(served.outputs[0].shape[..], [shares.len()]);
            let labels = &served.outputs[0].data;
            for (row, class) in counted.iter().enumerate() {
                assert!(
                    classes.is(*class, labels, row),
                    "{engine:?}, {threshold}: {} is not {class}",
                    shares[row]
                );
            }
        }
    }
}

#[test]
fn linear_models_are_summed_in_float64() {
    let recipe = plain(2);
    let columns = [vec![1e7, 3.0], vec![1.0, -2.0]];
    let one = Linear { weights: vec![vec![1.0, 0.5]], intercepts: vec![-1e7] };
    let file = export(&recipe, &Model::Linear(one.clone()), &Answer::Number).unwrap();
    assert_eq!(numbers(&run(file, &columns)[0]), [0.5, -9_999_998.0]);
    let classes = |numbers: &[i64]| Answer::Classes(Classes::Numbers(numbers.to_vec()), 0.5);
    let file = export(&recipe, &Model::Linear(one.clone()), &classes(&[7, 3])).unwrap();
    let outputs = run(file, &columns);
    assert_eq!(outputs[0].data, Data::Int64(vec![3, 7]));
    assert!((outputs[1].data.number(1).unwrap() - 1.0 / (1.0 + (-0.5_f64).exp())).abs() < 1e-6);
    let three =
        Linear { weights: vec![vec![1.0, 0.0], vec![0.0, 1.0], vec![0.0, 0.0]], intercepts: vec![0.0; 3] };
    let file = export(&recipe, &Model::Linear(three.clone()), &classes(&[0, 1, 2])).unwrap();
    assert_eq!(run(file, &[vec![-1.0, 2.0], vec![-2.0, 1.0]])[0].data, Data::Int64(vec![2, 0]));
}

#[test]
fn an_interface_is_taken_over() {
    let linear = Model::Linear(Linear { weights: vec![vec![1.0, 0.5]], intercepts: vec![0.25] });
    let config = config("input = 'input'\noutputs = { prediction = 'variable' }\ncolumn = true");
    config.check(false).unwrap();
    assert_eq!(config.columns(&plain(2)).unwrap(), ["f0", "f1"]);
    assert_eq!(config.prediction(false), "variable");
    let file = super::export(&plain(2), &linear, &Answer::Number, &config).unwrap();
    let model = File::parse(Format::Onnx, file).unwrap();
    let signature = model.signature();
    assert_eq!((&*signature.inputs[0].name, &signature.inputs[0].shape[..]), ("input", &[-1, 2][..]));
    assert_eq!((signature.inputs.len(), &*signature.outputs[0].name), (1, "variable"));
    let session = Runs.load(&model, &LoadOptions { workers: 1 }).unwrap();
    let mut outputs = Vec::new();
    let rows = Tensor::new(&[2, 2], Data::Fp32(vec![3.0, 4.0, -1.0, 0.0]));
    session.run(&[rows], &mut Scratch::new(0), &mut outputs).unwrap();
    assert_eq!(numbers(&outputs[0]), [5.25, -0.75]);
    assert_eq!((&signature.outputs[0].shape[..], &outputs[0].shape[..]), (&[-1, 1][..], &[2, 1][..]));
}

#[test]
fn an_interface_that_cannot_be_is_refused() {
    let [number, classes] = ["prediction", "label"].map(|ours| config(&format!("prediction = '{ours}'")));
    assert!(number.check(false).is_ok() && classes.check(true).is_ok());
    assert_eq!((number.prediction(false), classes.prediction(true)), ("prediction", "label"));
    assert_eq!(ExportConfig::default().prediction(true), "probabilities");
    let error = classes.check(false).unwrap_err();
    assert!(error.contains("export.prediction: there is no output `label`"), "{error}");
    assert!(config("column = true").check(true).unwrap_err().contains("for numbers"));
    let error = config("outputs = { labels = 'x' }").check(true).unwrap_err();
    assert!(error.contains("export.outputs") && error.contains("did you mean `label`"), "{error}");
    let mut recipe = plain(2);
    recipe.inputs[1].kind = Kind::Text;
    let error = config("input = 'all'").columns(&recipe).unwrap_err();
    assert!(error.contains("`f1` holds text") && error.contains("without this key"), "{error}");
}

#[test]
fn what_does_not_fit_is_refused() {
    #[track_caller]
    fn refused(recipe: &Recipe, model: &Model, answer: &Answer, words: &str) {
        let error = export(recipe, model, answer).unwrap_err();
        assert!(matches!(error, Error::Model(_)) && error.to_string().contains(words), "{error}");
    }
    let mut booster = blank();
    let two = Answer::Classes(Classes::Numbers(vec![0, 1]), 0.5);
    refused(&plain(3), &Model::Booster(booster.clone()), &Answer::Number, "trained on 4 features, not 3");
    let linear = Linear { weights: vec![vec![1.0]], intercepts: vec![0.0] };
    refused(&plain(3), &Model::Linear(linear.clone()), &Answer::Number, "1 weights for 3 features");
    let linear = Linear { weights: vec![vec![f64::NAN; 3]], intercepts: vec![0.0] };
    refused(&plain(3), &Model::Linear(linear.clone()), &Answer::Number, "not finite");
    booster.transform = Transform::Exp;
    refused(&plain(4), &Model::Booster(booster.clone()), &two, "predicts numbers, not classes");
    booster.transform = Transform::Softmax;
    booster.targets = 3;
    refused(&plain(4), &Model::Booster(booster.clone()), &two, "tells 3 classes apart, but 2 are named");
    let mut recipe = plain(4);
    recipe.inputs[0].name = "prediction".to_owned();
    let crate::features::recipe::Make::Number { of } = &mut recipe.blocks[0].make else { panic!() };
    *of = "prediction".to_owned();
    refused(&recipe, &Model::Booster(blank().clone()), &Answer::Number, "called `prediction`");
}
