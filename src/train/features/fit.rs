//! Fits a recipe in one pass over the data: batches in, what the features need to know out.

mod check;
mod encode;
mod resolve;
mod sketch;
mod summary;
#[cfg(test)]
mod tests;

use self::summary::{Summary, Wanted};
use crate::features::error::{Error, data};
use crate::features::raw::{Field, Kind, RawBatch};
use crate::features::recipe::Recipe;
use crate::features::spec::{Member, Spec, Strategy};

/// Collects what features need to know of the data. Feed it the rows of training only: what it learns of others leaks.
#[derive(Clone, Debug)]
pub(crate) struct Fitter {
    spec: Spec,
    fields: Vec<Field>,
    wanted: Vec<Wanted>,
    /// One for each column, from the first batch on.
    summaries: Vec<Summary>,
}

impl Fitter {
    /// For raw columns announced in the order in which batches bring them; without the target, weights and keys.
    ///
    /// # Errors
    /// [`Error::Config`] with every problem: a column that is named and not there, or holds what the feature cannot
    /// take.
    pub(crate) fn new(spec: Spec, fields: Vec<Field>) -> Result<Self, Error> {
        check::check(&spec, &fields)?;
        let wanted = fields.iter().map(|field| wanted(&spec, field)).collect();
        Ok(Self { spec, fields, wanted, summaries: Vec::new() })
    }

    /// Takes some rows.
    ///
    /// # Errors
    /// [`Error::Data`] for a batch of other columns, and for columns with too many categories.
    pub(crate) fn push(&mut self, batch: &RawBatch) -> Result<(), Error> {
        if batch.check(&self.fields)? == 0 {
            return Ok(());
        }
        if self.summaries.is_empty() {
            let pairs = batch.columns.iter().zip(&self.wanted);
            self.summaries = pairs.map(|(column, wanted)| Summary::new(column, *wanted)).collect();
        }
        for ((column, summary), field) in batch.columns.iter().zip(&mut self.summaries).zip(&self.fields) {
            summary.push(&field.name, column)?;
        }
        Ok(())
    }

    /// The recipe.
    ///
    /// # Errors
    /// [`Error::Data`] without rows, or where a column has no value to learn from; [`Error::Config`] where two
    /// features would have one name, or none is left.
    pub(crate) fn finish(self) -> Result<Recipe, Error> {
        if self.summaries.is_empty() {
            return Err(data!("there are no rows to fit features on"));
        }
        resolve::resolve(&self.spec, &self.fields, &self.summaries)
    }
}

/// What must be known of a column.
fn wanted(spec: &Spec, field: &Field) -> Wanted {
    let mut wanted =
        Wanted { categories: field.kind == Kind::Text && !dropped(spec, &field.name), ..Wanted::default() };
    for (_, member) in &spec.members {
        if !member.columns().contains(&&field.name) {
            continue;
        }
        match member {
            Member::Standardize(_) | Member::Minmax(_) => wanted.moments = true,
            Member::Bins(bins) => wanted.quantiles |= bins.quantiles.is_some(),
            Member::Ordinal(spec) => wanted.categories |= spec.order.is_none(),
            Member::OneHot(spec) => wanted.categories |= spec.categories.is_none(),
            Member::Impute(impute) => match impute.strategy {
                Strategy::Mean => wanted.moments = true,
                Strategy::Median => wanted.quantiles = true,
                Strategy::MostFrequent => wanted.categories = true,
                Strategy::Constant => {}
            },
            _ => {}
        }
    }
    wanted
}

/// Whether a column is left out by a member of type `drop`, and of no use to others.
fn dropped(spec: &Spec, name: &String) -> bool {
    let names = |member: &Member| member.columns().contains(&name);
    let mut naming = spec.members.iter().map(|(_, member)| member).filter(|member| names(member)).peekable();
    naming.peek().is_some() && naming.all(|member| matches!(member, Member::Drop(_)))
}
