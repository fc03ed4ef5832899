//! How dependent the rows of a reference are on those before them.

use super::super::reference::Profile;
use super::scores::Scores;
use crate::stats::dependence;

/// How many rows of a feature are worth one that comes independently of those before it, by its words in the order in
/// which they came.
pub(crate) fn inflation(profile: &Profile, words: &[u32]) -> f64 {
    let scores = Scores::new(profile);
    let cells = words.iter().map(|word| profile.cell(*word)).filter(|cell| *cell > 0).map(|cell| cell - 1);
    if let Some(map) = &scores.groups {
        let left_out = scores.counts.len().saturating_sub(1);
        let groups: Vec<usize> =
            cells.map(|cell| usize::from(map[cell])).filter(|group| *group != left_out).collect();
        let shares = scores.counts.iter().map(|count| f64::from(*count) / scores.total);
        let same: f64 = shares.map(|share| share * share).sum();
        // How much more often than by chance two values are of one group.
        return dependence::inflation(groups.len(), |lag| {
            let equal = groups.iter().zip(&groups[lag.min(groups.len())..]).filter(|(a, b)| a == b).count();
            (equal as f64 / (groups.len() - lag.min(groups.len())) as f64 - same) / (1.0 - same)
        });
    }
    let cells: Vec<usize> = cells.collect();
    let of = |score: usize| {
        let values: Vec<f32> = cells.iter().map(|cell| scores.worth[*cell][score]).collect();
        dependence::inflation(values.len(), |lag| {
            let later = &values[lag.min(values.len())..];
            let products: f32 = values.iter().zip(later).map(|(a, b)| a * b).sum();
            f64::from(products) / values.len() as f64
        })
    };
    of(0).max(of(1))
}
