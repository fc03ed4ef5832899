use super::*;
use crate::features::raw::RawColumn;
use crate::features::recipe::{Keys, Make};
use crate::features::sample::{batch, fields, rows};

fn fitted(spec: &str) -> Result<Recipe, Error> {
    let mut fitter = Fitter::new(Spec::parse(&spec.parse().unwrap())?, fields())?;
    rows(3_000, 1, false).chunks(700).try_for_each(|rows| fitter.push(&batch(rows)))?;
    fitter.finish()
}

#[track_caller]
fn refused(spec: &str, words: &str) {
    let error = fitted(spec).unwrap_err();
    assert!(error.to_string().contains(words), "`{words}` is not in: {error}");
}

#[test]
fn what_does_not_fit_the_columns_is_refused_by_name() {
    refused(
        "p = { type = 'polynomial', columns = ['xx'] }",
        "features.p: there is no column `xx`; did you mean `x`?",
    );
    refused("p = { type = 'polynomial', columns = ['c'] }", "column `c` holds text; encode it");
    refused("p = { type = 'polynomial', columns = ['t'] }", "column `t` holds a time");
    refused("p = { type = 'time_based', date_column = 'x' }", "column `x` holds a number");
    refused("p = { type = 'impute', columns = ['c'], strategy = 'mean' }", "most_frequent or constant");
    refused(
        "p = { type = 'impute', columns = ['x'], strategy = 'constant', value = 'a' }",
        "which the `value`",
    );
    refused(
        "p = { type = 'standardize', columns = ['x_power_2'] }\nq = { type = 'polynomial', columns = ['x'] }",
        "`x_power_2` is a feature",
    );
    refused(
        "p = { type = 'standardize', columns = ['x'] }\nq = { type = 'minmax', columns = ['x'] }",
        "already scaled by features.p",
    );
    refused(
        "p = { type = 'standardize', columns = ['x'] }\nq = { type = 'drop', columns = ['x'] }",
        "to be scaled, but is dropped",
    );
    refused("p = { type = 'ordinal', columns = ['c'], unknown = -1 }", "none of 0 to 5");
    refused(
        "p = { type = 'polynomial', columns = ['c_delta'] }\nq = { type = 'one_hot', columns = ['c'] }",
        "neither a column nor made of columns",
    );
    refused(
        "p = { type = 'log1p', columns = ['x'] }\nq = { type = 'log1p', columns = ['x'] }",
        "two are called `x_log1p`",
    );
    refused(
        "p = { type = 'drop', columns = ['x', 'y', 'n', 'm', 'c', 't', 'u'] }",
        "all columns are dropped",
    );
}

#[test]
fn nothing_to_learn_from_is_the_datas_fault() {
    let spec = |text: &str| Spec::parse(&text.parse().unwrap()).unwrap();
    let fit = |text: &str, batches: &[RawBatch]| {
        let mut fitter = Fitter::new(spec(text), fields()).unwrap();
        batches.iter().try_for_each(|batch| fitter.push(batch)).and_then(|()| fitter.finish())
    };
    let mut bare = rows(10, 1, false);
    bare.iter_mut().for_each(|row| {
        row.x = f32::NAN;
        row.c.clear();
    });
    let bare = batch(&bare);
    for (text, batches) in [
        ("", &[][..]),
        ("", &[batch(&[])]),
        ("", std::slice::from_ref(&bare)),
        (
            "c = { type = 'drop', columns = ['c'] }\np = { type = 'impute', columns = ['x'], strategy = 'median' }",
            std::slice::from_ref(&bare),
        ),
        (
            "c = { type = 'drop', columns = ['c'] }\np = { type = 'minmax', columns = ['x'] }",
            std::slice::from_ref(&bare),
        ),
        (
            "c = { type = 'drop', columns = ['c'] }\np = { type = 'bins', columns = ['x'], quantiles = 4 }",
            std::slice::from_ref(&bare),
        ),
    ] {
        let error = fit(text, batches).unwrap_err();
        assert!(matches!(error, Error::Data(_)), "{text}: {error}");
    }
    let mut fitter = Fitter::new(Spec::default(), fields()).unwrap();
    let mut swapped = batch(&rows(3, 1, false));
    swapped.columns.swap(0, 2);
    assert!(fitter.push(&swapped).unwrap_err().to_string().contains("column `x` holds an integer"));
    let mut torn = batch(&rows(3, 1, false));
    torn.columns[1] = RawColumn::Numbers(vec![1.0]);
    assert!(fitter.push(&torn).unwrap_err().to_string().contains("column `y` has 1 rows"));
}

#[test]
fn columns_that_nothing_is_said_of_become_what_learners_take() {
    let recipe = fitted("").unwrap();
    let names: Vec<&str> = recipe.features().map(|feature| feature.name.as_str()).collect();
    assert_eq!(names, ["x", "y", "n", "m", "c", "t", "u"]);
    let Make::Code { keys: Keys::Texts(keys), .. } = &recipe.blocks[4].make else { panic!() };
    assert_eq!(keys[..], ["a longer text", "alpha", "beta", "gamma", "ü"]);
    assert_eq!(recipe.blocks[4].features[0].categories, Some(5));
    let nullable: Vec<bool> = recipe.inputs.iter().map(|input| input.nullable).collect();
    assert_eq!(nullable, [false, false, false, true, false, false, true]);
}

#[test]
fn only_what_is_used_is_an_input() {
    let recipe = fitted(
        "d = { type = 'drop', columns = ['y', 'n', 'c'] }\np = { type = 'polynomial', columns = ['n'] }",
    )
    .unwrap();
    let inputs: Vec<&str> = recipe.inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(inputs, ["x", "n", "m", "t", "u"]);
}

#[test]
fn the_most_frequent_categories_are_kept() {
    let recipe = fitted("o = { type = 'one_hot', columns = ['c', 'n'], max_categories = 2 }").unwrap();
    let counted = |name: &str| recipe.features().filter(|feature| feature.name.starts_with(name)).count();
    assert_eq!((counted("c_"), counted("n_")), (2, 2));
    assert!(recipe.features().any(|feature| feature.name == "n"), "numbers stay beside");
    assert!(recipe.features().all(|feature| feature.name != "c"), "texts do not");
}

#[test]
fn a_recipe_is_stored_and_read() {
    let recipe = fitted(
        "a = { type = 'one_hot', columns = ['m'] }
         b = { type = 'ordinal', columns = ['c'], unknown = 'other' }
         i = { type = 'impute', columns = ['x', 'm'], strategy = 'most_frequent', indicator = true }
         s = { type = 'standardize', columns = ['x', 'y'] }
         z = { type = 'bins', columns = ['y'], quantiles = 7 }",
    )
    .unwrap();
    let text = serde_json::to_string(&recipe).unwrap();
    assert_eq!(serde_json::from_str::<Recipe>(&text).unwrap(), recipe);
    assert_eq!(recipe.features_file(None).unwrap(), recipe.clone().features_file(None).unwrap());
}
