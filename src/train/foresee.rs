//! What can be known of a training before a row is read: whether its parts fit each other, and what features it will have.
//!
//! `--dry-run` shows it, and a run asks once the columns are known: what would be in vain is told before hours of work.

use crate::config::{Config, TaskName};
use crate::data::Data;
use crate::data::split::{By, SplitConfig};
use crate::evaluate::Rule;
use crate::failure::Failure;
use crate::features::recipe::Make;
use crate::features::spec::Member;
use crate::features::{Features, Field, Fitter, Kind, RawBatch, RawColumn, Recipe};
use crate::learner::Learner;
use crate::registry;
use crate::rows::{kind_of, no_numbers};
use crate::spool::constrain;
use crate::table::{Batch, Column, Part, Rows, Task};

/// What a text is taken for where none was read.
const ANY: &str = "…";

/// Features without rows.
struct Unread {
    columns: Vec<Column>,
    /// Whether some rows will say when to stop.
    validated: bool,
}

impl Rows for Unread {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn count(&self, part: Part) -> usize {
        usize::from(part != Part::Validation || self.validated)
    }

    fn scan(&self, _: Part, _: &mut dyn FnMut(Batch<'_>) -> Result<(), String>) -> Result<(), String> {
        Err("no row was read yet".to_owned())
    }
}

/// Refuses what cannot come to an end well: metrics, slices, constraints and parameters that are not of this task or these
/// columns, a library that is not there.
///
/// # Errors
/// Names the key.
pub(crate) fn check(config: &Config, fields: &[Field], task: Task) -> Result<(), Failure> {
    config.gate.check(task).map_err(Failure::Config)?;
    crate::deploy::foresee(config)?;
    let by_resamples = |rule: &Rule| matches!(rule, Rule::NotWorse { .. });
    if config.evaluation.resamples == 0 && config.gate.rules.iter().any(by_resamples) {
        let text =
            "gate.champion compares by resamples, and evaluation.resamples is 0; leave one of them out";
        return Err(Failure::Config(text.into()));
    }
    config.export.check(task != Task::Regression).map_err(Failure::Config)?;
    config.evaluation.check(task).map_err(Failure::Config)?;
    if let Some(search) = &config.search {
        search.metric(task, false).map_err(Failure::Config)?;
    }
    let names = || fields.iter().map(|field| field.name.as_str());
    if let Some(gone) = config.evaluation.slices.iter().find(|slice| names().all(|name| name != *slice)) {
        let hint = sidegate::suggest::meant(gone, names());
        return Err(Failure::Config(format!("evaluation.slices: there is no column `{gone}`{hint}")));
    }
    if config.model.class_weight.is_some() && task == Task::Regression {
        return Err(Failure::Config("model.class_weight is for classes".into()));
    }
    let recipe = recipe(config, fields)?;
    // Whether features are those that rows will make, so that what is said of one by its place can be tried.
    let is_known = recipe.is_some() && unread(config).next().is_none();
    let mut columns = match recipe {
        Some(recipe) => Features::new(&recipe, fields.to_vec())?.columns().to_vec(),
        None => fields.iter().map(|field| alone(config, field)).collect(),
    };
    let mut monotone = config.model.monotone.clone();
    monotone.retain(|name, _| unread(config).all(|column| !name.starts_with(&format!("{column}_"))));
    constrain(&mut columns, &monotone)?;
    let rows = Unread { columns, validated: config.split.validation > 0.0 };
    let learner = config.learner();
    learner.is_at_hand()?;
    let corners = config.search.iter().flat_map(|search| search.corners(&learner.params));
    let corners = corners.map(|params| Learner { params, ..learner.clone() });
    for learner in std::iter::once(learner.clone()).chain(corners) {
        learner.check(&rows, task)?;
        if is_known {
            learner.rehearse(&rows, task)?;
        }
    }
    Ok(())
}

/// How features will be made, as far as no row decides it; none where rows decide too much.
fn recipe(config: &Config, fields: &[Field]) -> Result<Option<Recipe>, Failure> {
    let whole = |values: [i64; 2]| values.to_vec().into();
    let column = |field: &Field| match field.kind {
        Kind::Number => RawColumn::Numbers(vec![0.0, 1.0]),
        Kind::Integer => RawColumn::Integers(whole([0, 1])),
        Kind::Time => RawColumn::Times(whole([0, 86_400])),
        Kind::Text => RawColumn::Texts([ANY, ANY].into_iter().map(str::as_bytes).collect()),
    };
    let mut fitter = Fitter::new(config.features.clone(), fields.to_vec())?;
    let made_up = RawBatch { columns: fields.iter().map(column).collect() };
    match fitter.push(&made_up).and_then(|()| fitter.finish()) {
        Ok(recipe) => Ok(Some(recipe)),
        // Made-up values may be too few, or give two features one name: real ones will tell.
        Err(_) => Ok(None),
    }
}

/// A column as a feature of its own. What others make of a text may stand in its place.
fn alone(config: &Config, field: &Field) -> Column {
    let mut members = config.features.members.iter();
    let is_alone = !members.any(|(_, member)| member.columns().iter().any(|column| **column == field.name));
    let categories = (field.kind == Kind::Text && is_alone).then_some(1);
    Column { name: field.name.clone(), categories, monotone: 0 }
}

/// Columns whose features are called by values that nobody has read yet.
fn unread(config: &Config) -> impl Iterator<Item = &String> {
    let by_values = |member: &Member| matches!(member, Member::OneHot(spec) if spec.categories.is_none());
    let members = config.features.members.iter().filter(move |(_, member)| by_values(member));
    members.flat_map(|(_, member)| member.columns())
}

/// What `--dry-run` shows.
///
/// # Errors
/// What a run would end with before it learns, as far as that can be known.
pub(crate) fn shown(config: &Config, data: &Data) -> Result<String, Failure> {
    config.validation.schema()?;
    let classes = config.classes().unwrap_or_else(|| data.target_is_class());
    let (target, _) = data.roles();
    if !classes && data.columns().iter().any(|field| field.name == target && field.kind.is_text()) {
        return Err(no_numbers(target));
    }
    let fields = fields(data);
    if classes {
        // How many there are, the rows will say.
        let two = check(config, &fields, Task::Binary);
        two.or_else(|why| check(config, &fields, Task::Multiclass { classes: 3 }).map_err(|_| why))?;
    } else {
        check(config, &fields, Task::Regression)?;
    }
    let word = if classes { TaskName::Classification } else { TaskName::Regression };
    let columns: Vec<String> =
        data.columns().iter().map(|field| format!("{} ({})", field.name, field.kind.name())).collect();
    let features = recipe(config, &fields)?.map(|recipe| named(config, &recipe).join(", "));
    let mut lines = vec![
        format!("model {}, type {}: {} of {target}", config.name, config.kind.name(), word.name()),
        format!("rows from {}", data.origin()),
        format!("columns: {}", columns.join(", ")),
        format!("features: {}", features.unwrap_or_else(|| "as the rows will say".to_owned())),
        format!("split: {}", split(&config.split)),
    ];
    if let Some(search) = &config.search {
        lines.push(format!("search: up to {} trials of {}", search.trials, search.params.names().join(", ")));
    }
    let rules: Vec<String> = config.gate.rules.iter().map(ToString::to_string).collect();
    let rules = if rules.is_empty() { "the tests of the model".to_owned() } else { rules.join(", ") };
    lines.push(format!("gate: {rules}"));
    lines.push(format!("registry: {}", standing(config)?));
    Ok(format!(
        "{}\n\nas written:\n{}\nas it will run:\n{}\n",
        lines.join("\n"),
        data.plan().display_indent(),
        data.describe()?
    ))
}

/// The columns that features are made of.
fn fields(data: &Data) -> Vec<Field> {
    let (target, others) = data.roles();
    let columns = data.columns().iter().filter(|field| field.name != target && !others.contains(&field.name));
    let field = |field: &crate::data::Column| Field {
        name: field.name.clone(),
        kind: kind_of(field.kind),
        nullable: true,
    };
    columns.map(field).collect()
}

/// Names of features; those that values will give stand together as one.
fn named(config: &Config, recipe: &Recipe) -> Vec<String> {
    let mut all = Vec::new();
    for block in &recipe.blocks {
        match &block.make {
            Make::OneHot { of, .. } if unread(config).any(|column| column == of) => {
                all.push(format!("{of}_{ANY}"))
            }
            _ => all.extend(block.features.iter().map(|feature| feature.name.clone())),
        }
    }
    all
}

fn split(config: &SplitConfig) -> String {
    let percent = |share: f64| format!("{} %", (share * 1000.0).round() / 10.0);
    let by = match (config.by, &config.group) {
        (By::Time, _) => "the newest rows".to_owned(),
        (By::Hash, Some(group)) => format!("by a hash of {group}"),
        (By::Hash, None) => "by a hash of each row's number".to_owned(),
    };
    let validation = if config.validation > 0.0 {
        format!(", {} to stop by", percent(config.validation))
    } else {
        String::new()
    };
    format!("{} of the rows to test on{validation}, {by}, seed {}", percent(config.test), config.seed)
}

/// What the registry has of the model.
fn standing(config: &Config) -> Result<String, Failure> {
    let writer = registry::open(&config.registry)?;
    let serving = registry::in_production(&writer, &config.name)?;
    Ok(match serving {
        Some(version) => format!("version {version} of {} is in Production", config.name),
        None => format!("no version of {} is in Production", config.name),
    })
}
