//! Whether what is configured fits the columns that there are.

use crate::features::error::Error;
use crate::features::raw::{Field, Kind};
use crate::features::spec::{Member, Spec, Strategy};
use sidegate::suggest::meant;

/// Checks each column that is named.
pub(super) fn check(spec: &Spec, fields: &[Field]) -> Result<(), Error> {
    let made: Vec<String> = spec.members.iter().flat_map(|(_, member)| made(member)).collect();
    let mut problems = Vec::new();
    for (name, member) in &spec.members {
        for column in member.columns() {
            if let Some(problem) = problem(spec, fields, &made, member, column) {
                problems.push(format!("features.{name}: {problem}"));
            }
        }
        for column in member.dropped().iter().filter(|column| made.contains(column)) {
            problems.push(format!(
                "features.{name}: `{column}` is a feature; only columns of the data are dropped"
            ));
        }
    }
    for field in fields {
        problems.extend(twice(spec, &field.name));
    }
    problems.dedup();
    if problems.is_empty() { Ok(()) } else { Err(Error::Config(problems.join("\n"))) }
}

/// Names of the features that a member makes, as far as they can be told without data.
pub(super) fn made(member: &Member) -> Vec<String> {
    match member {
        Member::Polynomial(spec) => {
            let powers = |column: &String| {
                (2..=spec.degree).map(|d| format!("{column}_power_{d}")).collect::<Vec<_>>()
            };
            spec.columns.iter().flat_map(powers).collect()
        }
        Member::Interaction(spec) => pairs(&spec.columns).map(|(a, b)| format!("{a}_x_{b}")).collect(),
        Member::TimeBased(spec) => {
            let parts = |column: &String| {
                spec.parts.iter().map(|p| format!("{column}_{}", p.name())).collect::<Vec<_>>()
            };
            spec.all().flat_map(parts).collect()
        }
        Member::Log1p(spec) => spec.columns.iter().map(|column| format!("{column}_log1p")).collect(),
        Member::Bins(spec) => spec.columns.iter().map(|column| format!("{column}_bin")).collect(),
        Member::Impute(spec) if spec.indicator => {
            spec.columns.iter().map(|column| format!("{column}_missing")).collect()
        }
        _ => Vec::new(),
    }
}

/// Each two of them.
pub(super) fn pairs(columns: &[String]) -> impl Iterator<Item = (&String, &String)> {
    columns.iter().enumerate().flat_map(|(at, a)| columns.iter().skip(at + 1).map(move |b| (a, b)))
}

/// What is wrong with naming that column there.
fn problem(
    spec: &Spec,
    fields: &[Field],
    made: &[String],
    member: &Member,
    column: &String,
) -> Option<String> {
    let field = fields.iter().find(|field| field.name == *column);
    let takes_features =
        matches!(member, Member::Polynomial(_) | Member::Interaction(_) | Member::Log1p(_) | Member::Bins(_));
    let Some(Field { kind, .. }) = field else {
        return match () {
            () if takes_features && (made.contains(column) || is_one_hot(spec, column)) => {
                let learns = matches!(member, Member::Bins(bins) if bins.quantiles.is_some());
                learns.then(|| {
                    format!(
                        "`{column}` is a feature; quantiles are taken of columns of the data, give `edges`"
                    )
                })
            }
            () if made.contains(column) => {
                Some(format!("`{column}` is a feature; this takes columns of the data"))
            }
            () => {
                let known = fields.iter().map(|field| &field.name).chain(made).map(String::as_str);
                Some(format!("there is no column `{column}`{}", meant(column, known)))
            }
        };
    };
    let wrong = |way_out: &str| Some(format!("column `{column}` holds {}; {way_out}", kind.name()));
    match (member, kind) {
        (Member::TimeBased(_), Kind::Time) | (Member::Drop(_), _) => None,
        (Member::TimeBased(_), _) => wrong("time_based takes times, so read it as one"),
        (Member::Ordinal(_) | Member::OneHot(_) | Member::Impute(_), Kind::Time) => wrong("use time_based"),
        (Member::Ordinal(_) | Member::OneHot(_), _) => None,
        (Member::Impute(impute), Kind::Text)
            if matches!(impute.strategy, Strategy::Mean | Strategy::Median) =>
        {
            wrong("impute takes most_frequent or constant for it")
        }
        (Member::Impute(_), _) | (_, Kind::Number | Kind::Integer) => None,
        (_, Kind::Text) => wrong("encode it by ordinal or one_hot, and name the features that come of it"),
        (_, Kind::Time) => wrong("take its parts by time_based, and name those"),
    }
}

fn is_one_hot(spec: &Spec, feature: &str) -> bool {
    spec.members.iter().any(|(_, member)| match member {
        Member::OneHot(spec) => spec
            .columns
            .iter()
            .any(|column| feature.strip_prefix(column.as_str()).is_some_and(|rest| rest.starts_with('_'))),
        _ => false,
    })
}

/// A column that two members do the same thing to.
fn twice(spec: &Spec, column: &String) -> Option<String> {
    let task = |member: &Member| match member {
        Member::Impute(_) => Some("filled in"),
        Member::Standardize(_) | Member::Minmax(_) => Some("scaled"),
        Member::Ordinal(_) => Some("numbered"),
        Member::OneHot(_) => Some("one_hot"),
        _ => None,
    };
    let mut done: Vec<(&str, &String)> = Vec::new();
    for (name, member) in &spec.members {
        let Some(task) = task(member).filter(|_| member.columns().contains(&column)) else { continue };
        if let Some((_, other)) = done.iter().find(|(known, _)| *known == task) {
            return Some(format!("features.{name}: column `{column}` is already {task} by features.{other}"));
        }
        done.push((task, name));
    }
    None
}
