//! A reference as it comes with a version: `profile.json`, format 1.
//!
//! Features are found by their names, so that their order is of no importance; `prediction` is what the model predicts.
//! A category is the lower half of the XXH3-64 of its text, never 0.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::feature::{Feature, Kind, Layout};
use super::reference::{Profile, Reference, Shape};

/// What is written, and the highest that is read.
const FORMAT: u64 = 1;
/// Bins and categories of a feature, at most.
const MAX_CELLS: usize = 4096;

/// Fewer rows are no reference.
const MIN_ROWS: u64 = 50;

#[derive(Serialize, Deserialize)]
struct Stored {
    format: u64,
    rows: u64,
    features: Vec<Profile>,
}

#[derive(Deserialize)]
struct Head {
    format: u64,
}

impl Reference {
    /// The bytes of a `profile.json`.
    pub fn to_stored(&self) -> Vec<u8> {
        let stored = Stored { format: FORMAT, rows: self.rows, features: self.features.clone() };
        let mut bytes = serde_json::to_vec(&stored).expect("numbers and names can be written");
        bytes.push(b'\n');
        bytes
    }

    /// Reads a `profile.json` of these features.
    ///
    /// # Errors
    /// What is wrong with it: it cannot be read, is of a later format, contradicts itself, or is of other features.
    pub fn from_stored(bytes: &[u8], layout: &Layout) -> Result<Self, String> {
        let broken = |error: serde_json::Error| format!("it cannot be read: {error}");
        let Head { format } = serde_json::from_slice(bytes).map_err(broken)?;
        if format != FORMAT {
            return Err(format!("it has format {format}, this sidegate reads {FORMAT}"));
        }
        let Stored { rows, mut features, .. } = serde_json::from_slice(bytes).map_err(broken)?;
        if rows < MIN_ROWS {
            return Err(format!("it was made from {rows} rows, {MIN_ROWS} are needed"));
        }
        // The last one that is called so is what is predicted, whatever columns are called.
        let mut known: HashMap<String, Vec<Profile>> = HashMap::new();
        features
            .drain(..)
            .rev()
            .for_each(|profile| known.entry(profile.name.clone()).or_default().push(profile));
        let features = layout.features.iter().map(|feature| {
            let profile = known
                .get_mut(&feature.name)
                .and_then(Vec::pop)
                .ok_or_else(|| format!("it has no feature `{}`, which the model has", feature.name))?;
            check(&profile, feature, rows).map_err(|why| format!("feature `{}`: {why}", feature.name))?;
            Ok(profile)
        });
        Ok(Self { rows, features: features.collect::<Result<_, String>>()? })
    }
}

fn check(profile: &Profile, feature: &Feature, rows: u64) -> Result<(), String> {
    if !(1.0..=f64::MAX).contains(&profile.inflation) {
        return Err("its inflation must be 1 or more".into());
    }
    let ascending = |sorted: bool, what: &str| {
        if sorted { Ok(()) } else { Err(format!("its {what} do not ascend")) }
    };
    let (cells, counts) = match (&profile.shape, feature.kind) {
        (Shape::Number { edges, counts, mean, deviation, low, high, magnitude }, Kind::Number) => {
            let numbers = [*mean, *deviation, *low, *high, magnitude.unwrap_or(0.0)];
            if !numbers.iter().chain(edges).all(|number| number.is_finite()) || *deviation < 0.0 {
                return Err("its mean, deviation, range and edges must be finite".into());
            }
            ascending(edges.is_sorted_by(|a, b| a < b), "edges")?;
            (edges.len() + 1, counts)
        }
        (Shape::Category { known, counts }, Kind::Category) => {
            ascending(known.is_sorted_by(|a, b| a < b) && known.first() != Some(&0), "categories")?;
            (known.len() + 1, counts)
        }
        (Shape::Number { .. }, _) => return Err("it holds numbers, the model has categories there".into()),
        (Shape::Category { .. }, _) => return Err("it holds categories, the model has numbers there".into()),
    };
    if counts.len() != cells || cells > MAX_CELLS {
        let found = counts.len();
        return Err(format!("it has {found} counts for {cells} cells, of which {MAX_CELLS} are possible"));
    }
    let sum = counts.iter().try_fold(profile.missing, |sum, count| sum.checked_add(*count));
    if sum == Some(rows) { Ok(()) } else { Err(format!("its counts do not add up to {rows} rows")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &[u8] = include_bytes!("../../tests/fixtures/formats/profile.json");

    fn layout() -> Layout {
        let feature = |(name, kind): (&str, Kind)| Feature { name: name.into(), kind };
        let features = [("age", Kind::Number), ("city", Kind::Category), ("prediction", Kind::Number)];
        Layout { features: features.map(feature).into(), widths: vec![1, 1], left_out: 0 }
    }

    #[test]
    fn the_first_format_is_read_whatever_its_order() {
        let read = Reference::from_stored(FIRST, &layout()).unwrap();
        assert_eq!(
            read.features.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(),
            ["age", "city", "prediction"]
        );
        assert!(read.fits(&layout()));
        assert_eq!(Reference::from_stored(&read.to_stored(), &layout()), Ok(read));
    }

    #[test]
    fn what_does_not_hold_together_is_refused_with_a_reason() {
        let text = std::str::from_utf8(FIRST).unwrap();
        for (from, to, why) in [
            (r#""format": 1"#, r#""format": 2"#, "format 2"),
            (r#""age""#, r#""height""#, "no feature `age`"),
            (r#""edges": [30.0, 40.5]"#, r#""edges": [40.5, 30.0]"#, "do not ascend"),
            (r#""missing": 3"#, r#""missing": 4"#, "do not add up to 100 rows"),
            (r#""known": [7, 9]"#, r#""known": [0, 9]"#, "do not ascend"),
            (r#""known": [7, 9]"#, r#""known": [7]"#, "3 counts for 2 cells"),
            (r#""mean": 35.0"#, r#""mean": 1e999"#, "cannot be read"),
            (r#""deviation": 9.5"#, r#""deviation": -1"#, "must be finite"),
            ("{", "[", "cannot be read"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            let error = Reference::from_stored(changed.as_bytes(), &layout()).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        let mut other = layout();
        other.features[1].kind = Kind::Number;
        assert!(Reference::from_stored(FIRST, &other).unwrap_err().contains("it holds categories"));
    }
}
