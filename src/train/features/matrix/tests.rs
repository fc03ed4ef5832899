//! Every kind of feature, computed by the graph, beside a plain computation of the same.

use sidegate::config::EngineChoice;

use super::*;
use crate::features::fit::Fitter;
use crate::features::raw::Kind;
use crate::features::sample::{Row, batch, civil, fields, rows};
use crate::features::spec::Spec;
use crate::served::Served;
use crate::served::tests::onnxruntime;

fn recipe(spec: &str) -> Recipe {
    let mut fitter = Fitter::new(Spec::parse(&spec.parse().unwrap()).unwrap(), fields()).unwrap();
    rows(3_000, 1, false).chunks(512).for_each(|rows| fitter.push(&batch(rows)).unwrap());
    fitter.finish().unwrap()
}

/// A feature's name, and what it must be.
type Wanted<'a> = (&'a str, &'a dyn Fn(&Row) -> f32);

fn same(a: f32, b: f32) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

/// The graph of features in ONNX Runtime, where that is there.
fn in_onnxruntime(recipe: &Recipe, matrix: Option<&str>, fields: &[Field]) -> Option<Served> {
    let file = Model::parse(Format::Onnx, recipe.features_file(matrix).unwrap()).unwrap();
    let names: Vec<String> =
        matrix.iter().flat_map(|_| fields.iter().map(|field| field.name.clone())).collect();
    onnxruntime().then(|| Served::of_columns(&file, EngineChoice::Ort, fields, &names).unwrap())
}

/// Compares what it makes with what `trees` made: in all bits, but for logarithms.
#[track_caller]
fn alike(served: &mut Served, rows: &RawBatch, wanted: &[f32], exact: bool) {
    served.ask(rows).unwrap();
    let Data::Fp32(found) = &served.outputs[0].data else { panic!() };
    assert_eq!(found.len(), wanted.len());
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let near = !exact && (found - wanted).abs() <= 1e-6 * wanted.abs().max(1.0);
        assert!(near || same(*found, *wanted), "value {at}: {found} is not {wanted}");
    }
}

/// Compares each feature that is listed, on rows that are unlike those of the fit.
#[track_caller]
fn check(spec: &str, wanted: &[Wanted<'_>]) {
    let recipe = recipe(spec);
    let mut features = Features::new(&recipe, fields()).unwrap();
    let mut theirs = in_onnxruntime(&recipe, None, &fields());
    let names: Vec<String> = features.columns().iter().map(|column| column.name.clone()).collect();
    for rows in rows(4_000, 2, true).chunks(900) {
        let found = features.of(&batch(rows)).unwrap();
        assert_eq!(found.len(), rows.len() * names.len());
        if let Some(served) = &mut theirs {
            alike(served, &batch(rows), found, recipe.is_exact());
        }
        for (name, wanted) in wanted {
            let at = names
                .iter()
                .position(|known| known == name)
                .unwrap_or_else(|| panic!("no {name} in {names:?}"));
            for (row, found) in rows.iter().zip(found.chunks(names.len())) {
                assert!(
                    same(found[at], wanted(row)),
                    "{name}: {} is not {} of {row:?}",
                    found[at],
                    wanted(row)
                );
            }
        }
    }
}

fn number(value: Option<i64>) -> f32 {
    value.map_or(f32::NAN, |value| value as f32)
}

#[test]
fn columns_themselves() {
    check(
        "",
        &[
            ("x", &|row| row.x),
            ("y", &|row| row.y),
            ("n", &|row| row.n as f32),
            ("m", &|row| number(row.m)),
            ("t", &|row| row.t as f32),
            ("u", &|row| number(row.u)),
        ],
    );
}

#[test]
fn polynomials_and_interactions() {
    check(
        "a = { type = 'interaction', columns = ['x', 'm_power_2', 'n'] }
         p = { type = 'polynomial', columns = ['x', 'm'], degree = 4 }",
        &[
            ("x", &|row| row.x),
            ("x_power_2", &|row| row.x * row.x),
            ("x_power_3", &|row| row.x * row.x * row.x),
            ("x_power_4", &|row| row.x * row.x * row.x * row.x),
            ("m_power_2", &|row| number(row.m) * number(row.m)),
            ("x_x_m_power_2", &|row| row.x * (number(row.m) * number(row.m))),
            ("x_x_n", &|row| row.x * row.n as f32),
        ],
    );
}

#[test]
fn parts_of_times() {
    let part = |time: Option<i64>, of: fn(i64) -> i64| time.map_or(f32::NAN, |time| of(time) as f32);
    let day_of_week = |t: i64| (t.div_euclid(86_400) + 3).rem_euclid(7);
    check(
        "a = { type = 'time_based', date_column = 't', columns = ['u'], parts = ['minute', 'hour', 'dayofweek', 'day', 'month', 'year'] }",
        &[
            ("t_minute", &|row| (row.t.rem_euclid(3_600) / 60) as f32),
            ("t_hour", &|row| (row.t.rem_euclid(86_400) / 3_600) as f32),
            ("t_dayofweek", &|row| day_of_week(row.t) as f32),
            ("t_day", &|row| civil(row.t)[2] as f32),
            ("t_month", &|row| civil(row.t)[1] as f32),
            ("t_year", &|row| civil(row.t)[0] as f32),
            ("u_hour", &|row| part(row.u, |t| t.rem_euclid(86_400) / 3_600)),
            ("u_dayofweek", &|row| part(row.u, |t| (t.div_euclid(86_400) + 3).rem_euclid(7))),
            ("u_month", &|row| part(row.u, |t| civil(t)[1])),
        ],
    );
}

/// What [`crate::features::sample::rows`] knows, ascending.
const TEXTS: [&str; 5] = ["a longer text", "alpha", "beta", "gamma", "ü"];

fn place(text: &str) -> Option<usize> {
    TEXTS.iter().position(|known| *known == text)
}

#[test]
fn categories_by_number() {
    let of_m = |m: Option<i64>| m.map_or(f32::NAN, |m| (m / 100_000_007) as f32);
    check("", &[("c", &|row| place(&row.c).map_or(f32::NAN, |place| place as f32))]);
    check(
        "a = { type = 'ordinal', columns = ['c', 'n', 'm'], unknown = 'other' }",
        &[
            ("c", &|row| {
                if row.c.is_empty() { f32::NAN } else { place(&row.c).map_or(5.0, |place| place as f32) }
            }),
            ("n", &|row| if (-3..6).contains(&row.n) { (row.n + 3) as f32 } else { 9.0 }),
            ("m", &|row| of_m(row.m)),
        ],
    );
    check(
        "a = { type = 'ordinal', columns = ['x'], order = [2.5, 1, 0], unknown = -1 }",
        &[("x", &|row| match row.x {
            x if x.is_nan() => f32::NAN,
            2.5 => 0.0,
            1.0 => 1.0,
            0.0 => 2.0,
            _ => -1.0,
        })],
    );
    check(
        "a = { type = 'ordinal', columns = ['c'], unknown = 'other' }
         b = { type = 'impute', columns = ['c'], strategy = 'constant', value = 'beta' }",
        &[("c", &|row| if row.c.is_empty() { 2.0 } else { place(&row.c).map_or(5.0, |place| place as f32) })],
    );
    check(
        "a = { type = 'ordinal', columns = ['m', 'x'], unknown = 'other', order = [0, 300000021] }
         b = { type = 'impute', columns = ['m', 'x'], strategy = 'constant', value = 0 }",
        &[
            ("m", &|row| match row.m {
                None | Some(0) => 0.0,
                Some(300_000_021) => 1.0,
                _ => 2.0,
            }),
            ("x", &|row| if row.x.is_nan() || row.x == 0.0 { 0.0 } else { 2.0 }),
        ],
    );
}

#[test]
fn a_column_for_each_category() {
    let is = |yes: bool| f32::from(u8::from(yes));
    check(
        "a = { type = 'one_hot', columns = ['c', 'm', 'n'] }",
        &[
            ("c_alpha", &|row| is(row.c == "alpha")),
            ("c_ü", &|row| is(row.c == "ü")),
            ("m_100000007", &|row| is(row.m == Some(100_000_007))),
            ("m_0", &|row| is(row.m == Some(0))),
            ("n_-3", &|row| is(row.n == -3)),
        ],
    );
    check(
        "a = { type = 'one_hot', columns = ['c'] }
         b = { type = 'impute', columns = ['c'], strategy = 'constant', value = 'zz', indicator = true }
         p = { type = 'interaction', columns = ['c_beta', 'y'] }",
        &[
            ("c_zz", &|row| is(row.c.is_empty())),
            ("c_missing", &|row| is(row.c.is_empty())),
            ("c_beta_x_y", &|row| is(row.c == "beta") * row.y),
        ],
    );
    check(
        "a = { type = 'one_hot', columns = ['x'], categories = [1, -3] }",
        &[("x_1", &|row| is(row.x == 1.0)), ("x_-3", &|row| is(row.x == -3.0))],
    );
}

#[test]
fn missing_values_are_filled_in_before_all_else() {
    let train = rows(3_000, 1, false);
    let mut known: Vec<f32> = train.iter().map(|row| row.x).filter(|x| !x.is_nan()).collect();
    let mean = (known.iter().map(|x| f64::from(*x)).sum::<f64>() / known.len() as f64) as f32;
    known.sort_by(f32::total_cmp);
    let middle = known.len() / 2;
    let median = if known.len() % 2 == 1 {
        known[middle]
    } else {
        ((f64::from(known[middle - 1]) + f64::from(known[middle])) / 2.0) as f32
    };
    let filled = |x: f32, fill: f32| if x.is_nan() { fill } else { x };
    let recipe = recipe("i = { type = 'impute', columns = ['x'], strategy = 'mean' }");
    // A mean depends on the order of the sum; all else is exact.
    let found = recipe.inputs[0].fill.unwrap();
    assert!((found - mean).abs() < 1e-5 * mean.abs(), "{found} {mean}");
    check(
        "i = { type = 'impute', columns = ['x'], strategy = 'median', indicator = true }
         j = { type = 'impute', columns = ['m', 'n'], strategy = 'constant', value = 7 }
         p = { type = 'polynomial', columns = ['x'] }",
        &[
            ("x", &|row| filled(row.x, median)),
            ("x_power_2", &|row| filled(row.x, median) * filled(row.x, median)),
            ("x_missing", &|row| f32::from(u8::from(row.x.is_nan()))),
            ("m", &|row| filled(number(row.m), 7.0)),
            ("n", &|row| row.n as f32),
            ("u", &|row| number(row.u)),
        ],
    );
}

#[test]
fn scales() {
    let spec = "i = { type = 'impute', columns = ['x'], strategy = 'constant', value = 50 }
         p = { type = 'polynomial', columns = ['x'] }
         s = { type = 'standardize', columns = ['x', 'm'] }
         t = { type = 'minmax', columns = ['y', 'n'] }";
    let recipe = recipe(spec);
    let scale = |at: usize| recipe.blocks[at].features[0].scale.unwrap();
    let filled = |x: f32| if x.is_nan() { 50.0 } else { x };
    let train = rows(3_000, 1, false);
    let mean = train.iter().map(|row| f64::from(filled(row.x))).sum::<f64>() / 3_000.0;
    let square = train.iter().map(|row| (f64::from(filled(row.x)) - mean).powi(2)).sum::<f64>() / 3_000.0;
    assert!((f64::from(scale(0).offset) - mean).abs() < 1e-4);
    assert!((f64::from(scale(0).divisor) - square.sqrt()).abs() < 1e-4);
    assert_eq!((scale(2).offset, scale(2).divisor), (-3.0, 8.0));
    let (x, y, m) = (scale(0), scale(1), scale(3));
    check(
        spec,
        &[
            ("x", &|row| (filled(row.x) - x.offset) / x.divisor),
            ("x_power_2", &|row| filled(row.x) * filled(row.x)),
            ("y", &|row| (row.y - y.offset) / y.divisor),
            ("m", &|row| (number(row.m) - m.offset) / m.divisor),
            ("t", &|row| row.t as f32),
        ],
    );
}

#[test]
fn logarithms_and_bins() {
    let edges = [-3.0, 0.0, 2.5, 100.0];
    let bin = |x: f32| if x.is_nan() { x } else { edges.iter().filter(|edge| x >= **edge).count() as f32 };
    check(
        "a = { type = 'log1p', columns = ['x', 'y'] }
         b = { type = 'bins', columns = ['x', 'x_power_2'], edges = [-3.0, 0.0, 2.5, 100.0] }
         p = { type = 'polynomial', columns = ['x'], drop = true }",
        &[
            ("x_log1p", &|row| if row.x > -1.0 { (f64::from(row.x) + 1.0).ln() as f32 } else { f32::NAN }),
            ("x_bin", &|row| bin(row.x)),
            ("x_power_2_bin", &|row| bin(row.x * row.x)),
        ],
    );
    let recipe = recipe("b = { type = 'bins', columns = ['y'], quantiles = 4, categorical = true }");
    let mut features = Features::new(&recipe, fields()).unwrap();
    let train = rows(3_000, 1, false);
    let width = features.columns().len();
    assert_eq!(features.columns().last().unwrap().categories, Some(4));
    let bins: Vec<f32> =
        features.of(&batch(&train)).unwrap().chunks(width).map(|row| row[width - 1]).collect();
    for bin in [0.0, 1.0, 2.0, 3.0] {
        assert_eq!(bins.iter().filter(|found| **found == bin).count(), 750);
    }
}

#[test]
fn columns_in_one_matrix_make_the_same_features() {
    let four = |mut batch: RawBatch| {
        batch.columns.truncate(4);
        batch
    };
    let numbers = fields()[..4].to_vec();
    for spec in [
        "",
        "p = { type = 'polynomial', columns = ['x'] }\no = { type = 'one_hot', columns = ['n'], drop = true }\n\
         i = { type = 'impute', columns = ['m', 'x'], strategy = 'median', indicator = true }\n\
         s = { type = 'standardize', columns = ['y'] }",
    ] {
        let mut fitter = Fitter::new(Spec::parse(&spec.parse().unwrap()).unwrap(), numbers.clone()).unwrap();
        fitter.push(&four(batch(&rows(2_000, 1, false)))).unwrap();
        let recipe = fitter.finish().unwrap();
        let model = Model::parse(Format::Onnx, recipe.features_file(Some("all")).unwrap()).unwrap();
        assert_eq!(model.signature().inputs[0].shape, [-1, 4]);
        let session = Trees.load(&model, &LoadOptions { workers: 1 }).unwrap();
        let asked = rows(3_000, 2, true);
        let all = asked.iter().flat_map(|row| [row.x, row.y, row.n as f32, number(row.m)]).collect();
        let mut outputs = Vec::new();
        session
            .run(&[Tensor::new(&[asked.len(), 4], Data::Fp32(all))], &mut Scratch::new(0), &mut outputs)
            .unwrap();
        let mut features = Features::new(&recipe, numbers.clone()).unwrap();
        let wanted = features.of(&four(batch(&asked))).unwrap();
        let Data::Fp32(found) = &outputs[0].data else { panic!() };
        assert_eq!(found.len(), wanted.len());
        assert!(found.iter().zip(wanted).all(|(found, wanted)| same(*found, *wanted)), "{spec}");
        if let Some(mut served) = in_onnxruntime(&recipe, Some("all"), &numbers) {
            alike(&mut served, &four(batch(&asked)), wanted, true);
        }
    }
}

#[test]
fn data_that_changed_is_refused_by_name() {
    let recipe = recipe("");
    let mut fewer = fields();
    fewer.remove(3);
    let Err(error) = Features::new(&recipe, fewer) else { panic!() };
    assert!(error.to_string().contains("column `m` is no longer in the data"), "{error}");
    let mut other = fields();
    other[4].kind = Kind::Number;
    let Err(error) = Features::new(&recipe, other) else { panic!() };
    assert!(error.to_string().contains("column `c` holds a number, but held text"), "{error}");
    let mut features = Features::new(&recipe, fields()).unwrap();
    let mut batch = batch(&rows(2, 1, false));
    batch.columns[2] = RawColumn::Integers(Whole { values: vec![1, 2], missing: Some(vec![false, true]) });
    let error = features.of(&batch).unwrap_err();
    assert!(error.to_string().contains("column `n` lacks a value"), "{error}");
    assert_eq!(features.of(&sample_of_none()).unwrap(), &[] as &[f32]);
}

fn sample_of_none() -> RawBatch {
    batch(&[])
}
