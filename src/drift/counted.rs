//! A reference with what was counted into its cells, as replicas show it: `GET /drift/MODEL/profile`.
//!
//! Counts of one reference add up, so what many replicas saw is their sum, the same in any order to the byte.

use serde::{Deserialize, Serialize};

use super::compare::{Evaluation, Limits, evaluate};
use super::reference::Reference;
use super::window::{Counts, Window};

/// What was counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    /// The model.
    pub model: String,
    /// Its version.
    pub version: String,
    /// What came when all was well.
    pub reference: Reference,
    /// What came since.
    pub window: Cells,
}

/// Rows by cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cells {
    /// Rows.
    pub rows: u64,
    /// Feature by feature, in the order of the reference.
    pub cells: Vec<Vec<u32>>,
}

// === impl Counted ===

impl Counted {
    /// What a window holds.
    pub fn of(model: &str, version: String, reference: &Reference, window: &Window) -> Self {
        let total = window.total(reference);
        let cells = total.features(reference).map(|(cells, _)| cells.to_vec()).collect();
        let window = Cells { rows: total.rows, cells };
        Self { model: model.to_owned(), version, reference: reference.clone(), window }
    }

    /// Reads what a replica showed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let read: Self =
            serde_json::from_slice(bytes).map_err(|error| format!("it cannot be read: {error}"))?;
        read.checked()
    }

    /// Itself, where it holds together.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn checked(self) -> Result<Self, String> {
        let holds = |(cells, profile): (&Vec<u32>, &super::Profile)| {
            let sum: u64 = cells.iter().map(|count| u64::from(*count)).sum();
            cells.len() == profile.cells() && sum == self.window.rows
        };
        let (cells, profiles) = (&self.window.cells, &self.reference.features);
        if cells.len() != profiles.len() || !cells.iter().zip(profiles).all(holds) {
            return Err("its counts do not fit its reference".into());
        }
        Ok(self)
    }

    /// Adds what another replica counted.
    ///
    /// # Errors
    /// Why the two do not add up, and nothing is added.
    pub fn merge(&mut self, other: &Self) -> Result<(), String> {
        let of = |counted: &Self| format!("{} {}", counted.model, counted.version);
        if of(self) != of(other) {
            return Err(format!("it is of {}, not of {}", of(other), of(self)));
        }
        if self.reference != other.reference {
            return Err("its reference is another one: replicas share one that comes with the version (profile.json), not one \
                        that each has learned"
                .into());
        }
        let rows = self.window.rows.saturating_add(other.window.rows);
        if rows > u64::from(u32::MAX) {
            return Err("there are more rows than can be counted".into());
        }
        self.window.rows = rows;
        let cells = self.window.cells.iter_mut().flatten();
        // None is larger than the number of rows.
        cells.zip(other.window.cells.iter().flatten()).for_each(|(known, more)| *known += more);
        Ok(())
    }

    /// How it differs from the reference; without the shift of means, which cells do not tell.
    pub fn evaluate(&self, limits: Limits) -> Evaluation {
        let cells = Counts::of_cells(&self.reference, self.window.rows, self.window.cells.concat());
        evaluate(&self.reference, &cells.unwrap_or_else(|| Counts::new(&self.reference)), limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::{Profile, Shape};

    fn counted(rows: u64, seed: u64) -> Counted {
        let edges: Vec<f64> = (1..8).map(f64::from).collect();
        let shape = Shape::Number {
            counts: vec![100; 8],
            mean: 4.0,
            deviation: 2.0,
            low: 0.0,
            high: 8.0,
            magnitude: None,
            edges,
        };
        let features = vec![Profile { name: "x".into(), missing: 0, shape, inflation: 1.0 }];
        let reference = Reference { rows: 800, features };
        let mut cells = vec![0; 9];
        (0..rows).for_each(|row| cells[1 + ((row * 7 + seed) % 8) as usize] += 1);
        let window = Cells { rows, cells: vec![cells] };
        Counted { model: "m".into(), version: "1".into(), reference, window }
    }

    fn merged<'a>(parts: impl IntoIterator<Item = &'a Counted>) -> String {
        let mut parts = parts.into_iter();
        let mut all = parts.next().unwrap().clone();
        parts.for_each(|part| all.merge(part).unwrap());
        serde_json::to_string(&all).unwrap()
    }

    #[test]
    fn replicas_add_up_to_the_same_bytes_in_any_order() {
        let parts: Vec<Counted> = (0..8).map(|n| counted(100 + 13 * n, n)).collect();
        let one = merged(&parts);
        assert_eq!(merged(parts.iter().rev()), one);
        assert_eq!(merged(parts[3..].iter().chain(&parts[..3])), one);
        let read = Counted::read(one.as_bytes()).unwrap();
        assert_eq!(read.window.rows, parts.iter().map(|part| part.window.rows).sum::<u64>());
        let found = read.evaluate(Limits { alpha: 1e-6 });
        assert_eq!(
            (found.rows, found.features.len(), found.prediction.is_some()),
            (read.window.rows, 0, true)
        );
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let mut all = counted(100, 0);
        let mut other = counted(50, 1);
        other.version = "2".into();
        assert!(all.merge(&other).unwrap_err().contains("it is of m 2, not of m 1"));
        let mut other = counted(50, 1);
        other.reference.rows = 801;
        assert!(all.merge(&other).unwrap_err().contains("another one"));
        assert_eq!(all, counted(100, 0));
        let mut short = counted(50, 1);
        short.window.cells[0].pop();
        assert!(Counted::read(&serde_json::to_vec(&short).unwrap()).unwrap_err().contains("do not fit"));
        assert!(Counted::read(b"{}").is_err());
    }
}
