use std::cell::Cell;

use super::measure::Judge;
use super::space::Space;
use super::trials::{Plan, Record, Tried};
use super::{SearchConfig, Trained, merged};
use crate::data::split::SplitConfig;
use crate::evaluate::{Random, metrics};
use crate::learner::{FitError, Fitted, Kind, Learner, Linear, Model};
use crate::table::{Batch, Column, Part, Rows, Task};

fn space(text: &str) -> Result<Space, String> {
    let table: toml::Table = text.parse().unwrap();
    Space::try_from(table)
}

fn config(text: &str) -> Result<SearchConfig, String> {
    toml::from_str(text).map_err(|error| error.to_string())
}

fn trained(rounds: u32) -> Trained {
    let model = Model::Linear(Linear::default());
    let fitted = Fitted { model, importance: Vec::new(), rounds, file: None };
    Trained { fitted, rounds: Vec::new(), params: toml::Table::new() }
}

fn plan(metric: &str, trials: u32, budget_seconds: Option<f64>) -> Plan {
    let all = metrics(Task::Regression);
    let metric = all.iter().find(|known| known.name == metric).unwrap();
    Plan { trials, budget_seconds, seed: 7, metric }
}

#[test]
fn draws_stay_in_their_ranges_and_reach_their_ends() {
    let space = space(
        "whole = [1, 3]\nreal = [0.5, 2]\nlog = { low = 0.001, high = 1, log = true }\nword = [\"a\", \"b\", \"c\"]\n\
         wide = { low = 1, high = 1000, log = true }\ntwo = { choices = [3, 9] }",
    )
    .unwrap();
    let draws: Vec<toml::Table> = (0..2000).map(|trial| space.draw(&mut Random::new(3, trial))).collect();
    let whole = |name: &str| draws.iter().map(|draw| draw[name].as_integer().unwrap()).collect::<Vec<_>>();
    let real = |name: &str| draws.iter().map(|draw| draw[name].as_float().unwrap()).collect::<Vec<_>>();
    for (name, values) in [("whole", &[1, 2, 3][..]), ("two", &[3, 9])] {
        let mut found = whole(name);
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, values, "{name}");
    }
    let third = whole("whole").iter().filter(|value| **value == 3).count();
    assert!((550..790).contains(&third), "{third}: as many as of 1 and of 2");
    assert!(real("real").iter().all(|value| (0.5..=2.0).contains(value)));
    assert!(real("log").iter().all(|value| (0.001..=1.0).contains(value)));
    // Half of them lie below the geometric mean of the ends, not below their mean.
    for below in [
        real("log").iter().filter(|value| **value < 0.001_f64.sqrt()).count(),
        whole("wide").iter().filter(|value| **value <= 31).count(),
    ] {
        assert!((880..1120).contains(&below), "{below}");
    }
    assert!(["a", "b", "c"].iter().all(|word| draws.iter().any(|draw| draw["word"].as_str() == Some(word))));
}

#[test]
fn a_seed_draws_the_same_and_another_one_others() {
    let space = space("num_leaves = [2, 255]\nlearning_rate = [0.01, 0.5]").unwrap();
    let draws = |seed| (2..9).map(|trial| space.draw(&mut Random::new(seed, trial))).collect::<Vec<_>>();
    assert_eq!(draws(1), draws(1));
    assert_ne!(draws(1), draws(2));
    assert_ne!(draws(1)[0], draws(1)[1]);
}

#[test]
fn what_is_no_range_is_refused_with_its_name() {
    for (text, expected) in [
        ("", "search.params names no parameter"),
        ("a = 3", "search.params.a: `3` is no range"),
        ("a = [3, 3]", "search.params.a: 3 is not below 3; { choices = [3, 3] }"),
        ("a = []", "nothing to choose from"),
        ("a = { low = 0, high = 1, log = true }", "search.params.a: low is 0; with log = true it is above 0"),
        ("a = { low = 1 }", "either `low` and `high`, or `choices`"),
        ("a = { low = 1, high = 2, choices = [1] }", "either `low` and `high`, or `choices`"),
        ("a = { low = 1, hihg = 2 }", "`hihg` is not known"),
    ] {
        let error = space(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_configuration_that_cannot_be_is_refused() {
    let check = |text: &str, validation: f64| {
        let split = SplitConfig { validation, ..SplitConfig::default() };
        config(text).and_then(|config| config.check(&split))
    };
    let params = "params = { num_leaves = [2, 9] }\n";
    assert_eq!(check(params, 0.1), Ok(()));
    for (text, validation, expected) in [
        (format!("trials = 0\n{params}"), 0.1, "search.trials is 0"),
        (format!("budget_seconds = 0.0\n{params}"), 0.1, "search.budget_seconds"),
        (format!("metric = \"rsme\"\n{params}"), 0.1, "there is no metric `rsme`"),
        (format!("trails = 3\n{params}"), 0.1, "unknown field `trails`"),
        (params.to_owned(), 0.0, "split.validation = 0.1"),
        (String::new(), 0.1, "missing field `params`"),
    ] {
        let error = check(&text, validation).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let auc = config(&format!("metric = \"auc\"\n{params}")).unwrap();
    assert_eq!(auc.metric(Task::Binary, false).unwrap().name, "auc");
    assert!(auc.metric(Task::Regression, false).unwrap_err().contains("no metric of this task; it has rmse"));
    let own = config(params).unwrap();
    assert_eq!(own.metric(Task::Regression, true).unwrap().name, "pinball_loss");
    assert_eq!(own.metric(Task::Multiclass { classes: 3 }, false).unwrap().name, "log_loss");
}

/// What it found, with the rounds of each trial that was told.
type Searched = (Result<(u32, Record), FitError>, Vec<Option<u32>>);

/// What a search finds, told from the number of rounds: trial n gives a model of n rounds.
fn search(plan: &Plan, seconds_each: &[f64], tried: impl Fn(u32) -> Result<f64, FitError>) -> Searched {
    let (space, now, trial) = (space("a = [0, 9]").unwrap(), Cell::new(0.0), Cell::new(0_u32));
    let mut train = |_: &toml::Table| -> Tried {
        let number = trial.get() + 1;
        trial.set(number);
        now.set(now.get() + seconds_each[(number as usize - 1) % seconds_each.len()]);
        tried(number).map(|value| (trained(number), Ok(value)))
    };
    let mut told = Vec::new();
    let found = plan.run(&space, &|| now.get(), &mut train, &mut |record| told.push(record.best));
    (found.map(|(trained, record)| (trained.fitted.rounds, record)), told)
}

#[test]
fn the_best_trial_is_kept_whichever_way_is_better() {
    let values = [5.0, 3.0, 3.0, 9.0];
    let (found, told) = search(&plan("rmse", 4, None), &[1.0], |trial| Ok(values[trial as usize - 1]));
    let (rounds, record) = found.unwrap();
    // Of two equals the earlier one.
    assert_eq!((rounds, record.best, record.ended), (2, Some(2), Some("trials")));
    assert_eq!(told, [Some(1), Some(2), Some(2), Some(2)]);
    assert!(record.trials[0].params.is_empty(), "the first trial is the configuration as it stands");
    assert!(record.trials[1..].iter().all(|trial| trial.params.contains_key("a")));
    let (found, _) = search(&plan("r2", 4, None), &[1.0], |trial| Ok(values[trial as usize - 1]));
    assert_eq!(found.unwrap().0, 4);
}

#[test]
fn the_budget_is_kept() {
    let ended = |budget, seconds: &[f64]| {
        let (found, told) = search(&plan("rmse", 50, Some(budget)), seconds, |_| Ok(1.0));
        (told.len(), found.unwrap().1.ended)
    };
    assert_eq!(ended(10.0, &[2.0]), (5, Some("budget")));
    // The longest so far would not fit any more.
    assert_eq!(ended(10.0, &[4.0, 1.0]), (3, Some("budget")));
    // One model there is in any case.
    assert_eq!(ended(1.0, &[30.0]), (1, Some("budget")));
    assert_eq!(ended(1000.0, &[2.0]), (50, Some("trials")));
}

#[test]
fn a_trial_that_fails_does_not_end_a_search() {
    let wrong = || FitError::Library("num_leaves must be above 1".to_owned());
    let (found, _) =
        search(&plan("rmse", 3, None), &[1.0], |trial| if trial == 2 { Err(wrong()) } else { Ok(1.0) });
    let (rounds, record) = found.unwrap();
    assert_eq!((rounds, record.trials.len()), (1, 3));
    assert_eq!(record.trials[1].error.as_deref(), Some("num_leaves must be above 1"));
    let (found, told) = search(&plan("rmse", 3, None), &[1.0], |_| Err(wrong()));
    assert_eq!((found.unwrap_err(), told.len()), (wrong(), 3));
    let gone = || FitError::Data("the disk is gone".to_owned());
    let (found, told) = search(&plan("rmse", 3, None), &[1.0], |_| Err(gone()));
    assert_eq!((found.unwrap_err(), told.len()), (gone(), 0));
}

/// y = 2x in training; what the parts hold besides says who looked at them.
struct Parts(Vec<Column>);

impl Rows for Parts {
    fn columns(&self) -> &[Column] {
        &self.0
    }

    fn count(&self, part: Part) -> usize {
        if part == Part::Test { 3 } else { 2 }
    }

    fn scan(&self, part: Part, each: &mut dyn FnMut(Batch<'_>) -> Result<(), String>) -> Result<(), String> {
        let target: &[f32] = match part {
            Part::Train => &[2.0, 4.0],
            Part::Validation => &[5.0, 8.0],
            Part::Test => return Err("the test part was looked at".to_owned()),
        };
        each(Batch { values: &[1.0, 2.0], target, weight: None })
    }
}

fn parts() -> Parts {
    Parts(vec![Column { name: "x".to_owned(), categories: None, monotone: 0 }])
}

#[test]
fn trials_are_judged_on_the_validation_part_alone() {
    let rows = parts();
    let model = Model::Linear(Linear { weights: vec![vec![2.0]], intercepts: vec![0.0] });
    let judge = Judge { rows: &rows, task: Task::Regression, threshold: None, quantile: Some(0.9) };
    let value = |name: &str| {
        let metric = metrics(Task::Regression).iter().find(|metric| metric.name == name).unwrap();
        judge.value(&model, metric).unwrap()
    };
    assert!((value("rmse") - 12.5_f64.sqrt()).abs() < 1e-9, "{}", value("rmse"));
    assert!((value("pinball_loss") - 0.9 * 3.5).abs() < 1e-9, "{}", value("pinball_loss"));
}

#[test]
fn every_learner_refuses_what_it_does_not_know_before_it_learns() {
    for (kind, known) in [
        ("builtin", "num_leaves"),
        ("lightgbm", "num_leaves"),
        ("xgboost", "max_leaves"),
        ("random_forest", "max_depth"),
        ("linear", "alpha"),
        ("logistic", "C"),
    ] {
        let task = if kind == "logistic" { Task::Binary } else { Task::Regression };
        let check = |name: &str| {
            let params = [(name.to_owned(), toml::Value::Integer(7))].into_iter().collect();
            let kind = Kind::named(kind).unwrap();
            Learner { kind, params, library: None, seed: 1, threads: 1 }.check(&parts(), task)
        };
        assert_eq!(check(known), Ok(()), "{kind}");
        assert!(matches!(check("nun_leavs"), Err(FitError::Parameters(_))), "{kind}");
    }
}

#[test]
fn what_is_drawn_stands_in_the_place_of_what_is_configured() {
    let table = |text: &str| text.parse::<toml::Table>().unwrap();
    assert_eq!(merged(&table("a = 1\nb = 2"), &table("b = 3\nc = 4")), table("a = 1\nb = 3\nc = 4"));
    let corners = space("a = [1, 5]\nb = [\"x\", \"y\"]").unwrap().corners();
    let expected = ["a = 1\nb = \"x\"", "a = 5\nb = \"y\"", "a = 1\nb = \"x\"", "a = 1\nb = \"y\""];
    assert_eq!(corners, expected.map(table));
}
