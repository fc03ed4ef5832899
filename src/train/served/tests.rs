use std::path::Path;
use std::sync::Once;

use sidegate::config::EngineChoice;
use sidegate::format::{Format, Model};
use sidegate::tensor::{Data, Datatype, Strings};

use super::Served;
use super::fill::fill;
use crate::features::{Field, Kind, RawBatch, RawColumn};

/// Whether ONNX Runtime is there: `lib/libonnxruntime.so`, which scripts/onnxruntime.sh brings. Without it what is tested
/// of it passes unseen, unless `SIDEGATE_TEST_REQUIRE_ORT` is set.
#[expect(clippy::disallowed_methods, reason = "what is asked of the tests is no configuration")]
pub(crate) fn onnxruntime() -> bool {
    static PREPARED: Once = Once::new();
    // As `main` does, before the library is loaded.
    PREPARED.call_once(sidegate::native::prepare_environment);
    let found = sidegate::engine::onnxruntime_library().is_some();
    assert!(found || std::env::var_os("SIDEGATE_TEST_REQUIRE_ORT").is_none(), "there is no ONNX Runtime");
    found
}

fn fixture(name: &str) -> Model {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    Model::parse(Format::of(&path).unwrap(), std::fs::read(path).unwrap()).unwrap()
}

fn fields(names: &[&str]) -> Vec<Field> {
    names.iter().map(|name| Field { name: (*name).to_owned(), kind: Kind::Number, nullable: false }).collect()
}

fn numbers(columns: &[&[f32]]) -> RawBatch {
    RawBatch { columns: columns.iter().map(|values| RawColumn::Numbers(values.to_vec())).collect() }
}

#[test]
fn a_matrix_takes_its_columns_by_name_wherever_they_stand() {
    let model = fixture("boosters/lgb-penguins.txt");
    let names = model.columns().to_vec();
    assert!(names.len() > 2, "{names:?}");
    let answers = |order: &[usize]| {
        // Columns that the model does not ask for stand in between.
        let asked = order.iter().map(|at| names[*at].as_str());
        let fields = fields(&std::iter::once("other").chain(asked).collect::<Vec<_>>());
        let mut served = Served::of_columns(&model, EngineChoice::Auto, &fields, model.columns()).unwrap();
        let value = |at: usize| vec![10.0 + at as f32, 180.0 - at as f32];
        let columns =
            std::iter::once(9.0_f32).map(|value| vec![value; 2]).chain(order.iter().map(|at| value(*at)));
        served.ask(&RawBatch { columns: columns.map(RawColumn::Numbers).collect() }).unwrap();
        assert_eq!(served.inputs[0].shape.as_slice(), [2, names.len()]);
        (served.inputs.clone(), served.outputs.clone())
    };
    let inorder: Vec<usize> = (0..names.len()).collect();
    let reversed: Vec<usize> = inorder.iter().rev().copied().collect();
    assert_eq!(answers(&inorder), answers(&reversed));
    let Data::Fp64(values) = &answers(&inorder).0[0].data else { panic!("no FP64") };
    assert_eq!(values[..2], [10.0, 11.0], "row after row");
}

#[test]
fn what_a_model_asks_for_and_is_not_there_is_named() {
    let model = fixture("boosters/lgb-penguins.txt");
    let refused = |fields: &[Field], columns: &[String]| {
        Served::of_columns(&model, EngineChoice::Auto, fields, columns).err().unwrap()
    };
    let missing = refused(&fields(&["x"]), model.columns());
    assert!(missing.starts_with("it asks for `") && missing.ends_with("which is no column of the data"));
    let few = refused(&fields(&["x"]), &["x".to_owned()]);
    assert!(few.contains(&format!("takes {} columns, and 1 are named", model.columns().len())), "{few}");
    let unnamed = refused(&fields(&["x"]), &[]);
    assert!(unnamed.ends_with("and nothing names them"), "{unnamed}");
}

#[test]
fn values_are_written_as_the_type_has_them_or_refused() {
    let filled = |columns: &[RawColumn], datatype| {
        let mut data = Data::empty(datatype);
        let columns: Vec<&RawColumn> = columns.iter().collect();
        fill(&columns, 2, &mut data).map(|()| data)
    };
    let whole = RawColumn::Integers([Some(7), None].into_iter().collect());
    let full = RawColumn::Times(vec![1, 255].into());
    let halves = RawColumn::Numbers(vec![0.5, 2.0]);
    let text = RawColumn::Texts(["a", ""].iter().map(|text| text.as_bytes()).collect::<Strings>());
    assert_eq!(
        filled(&[full.clone(), halves.clone()], Datatype::Fp32),
        Ok(Data::Fp32(vec![1.0, 0.5, 255.0, 2.0]))
    );
    let Ok(Data::Fp64(values)) = filled(std::slice::from_ref(&whole), Datatype::Fp64) else { panic!() };
    assert!(values[0] == 7.0 && values[1].is_nan());
    assert_eq!(filled(std::slice::from_ref(&full), Datatype::Uint8), Ok(Data::Uint8(vec![1, 255])));
    assert_eq!(filled(&[text.clone(), text.clone()], Datatype::Bytes).unwrap().len(), 4);
    for (columns, datatype, at) in [
        (vec![full.clone(), whole], Datatype::Int64, 1),
        (vec![halves.clone()], Datatype::Int32, 0),
        (vec![full.clone()], Datatype::Int8, 0),
        (vec![full.clone()], Datatype::Bool, 0),
        (vec![full.clone(), text], Datatype::Fp32, 1),
        (vec![halves], Datatype::Bytes, 0),
    ] {
        assert_eq!(filled(&columns, datatype).unwrap_err().0, at, "{datatype}");
    }
}

#[test]
fn inputs_of_one_column_each_are_found_by_their_names() {
    let model = fixture("boosters/lgb-penguins.txt");
    let mut served = Served::of_columns(
        &model,
        EngineChoice::Auto,
        &fields(&["a", "b"]),
        &vec!["b".to_owned(); model.columns().len()],
    )
    .unwrap();
    served.ask(&numbers(&[&[1.0], &[2.0]])).unwrap();
    let Data::Fp64(values) = &served.inputs[0].data else { panic!("no FP64") };
    assert!(values.iter().all(|value| *value == 2.0), "a column may be taken more than once");
    assert!(served.predict_by("nothing").unwrap_err().starts_with("it has no output `nothing`; it has "));
}
