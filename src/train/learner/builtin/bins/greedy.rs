//! Where to cut a feature's values into bins. After LightGBM's `GreedyFindBin`: a value that is more frequent than the
//! average bin gets a bin of its own, and what is left is shared evenly; plain quantiles would starve a heavy tail.

use super::sketch::Entry;

/// The ends of all bins but the last, ascending: a value belongs to the first whose end it does not exceed.
pub(crate) fn ends(entries: &[Entry], most: usize, least_count: u64) -> Vec<f32> {
    let cuts =
        if entries.len() <= most { all(entries, least_count) } else { even(entries, most, least_count) };
    let mut ends: Vec<f32> = cuts.into_iter().map(|cut| between(entries[cut], entries[cut + 1])).collect();
    ends.dedup();
    ends
}

/// A cut after every value, as long as bins do not get too light.
fn all(entries: &[Entry], least_count: u64) -> Vec<usize> {
    let (mut cuts, mut count) = (Vec::new(), 0);
    for (at, entry) in entries.iter().enumerate().take(entries.len().saturating_sub(1)) {
        count += entry.count;
        if count >= least_count {
            cuts.push(at);
            count = 0;
        }
    }
    cuts
}

fn even(entries: &[Entry], most: usize, least_count: u64) -> Vec<usize> {
    let total: u64 = entries.iter().map(|entry| entry.count).sum();
    let most = (most as u64).min(total / least_count.max(1)).max(1) as usize;
    let mean = total as f64 / most as f64;
    let big = |entry: &Entry| entry.count as f64 >= mean;
    let frequent = entries.iter().filter(|entry| big(entry));
    let (mut bins, mut rest) =
        frequent.fold((most, total), |(bins, rest), entry| (bins - 1, rest - entry.count));
    let share = |rest: u64, bins: usize| rest as f64 / bins.max(1) as f64;
    let mut mean_rest = share(rest, bins);
    let (mut cuts, mut count) = (Vec::new(), 0);
    for (at, pair) in entries.windows(2).enumerate() {
        let (this, next) = (&pair[0], &pair[1]);
        count += this.count;
        if !big(this) {
            rest -= this.count;
        }
        let full = count as f64 >= mean_rest || big(next) && count as f64 >= (mean_rest * 0.5).max(1.0);
        if big(this) || full {
            cuts.push(at);
            if cuts.len() + 1 >= most {
                break;
            }
            count = 0;
            if !big(this) {
                bins = bins.saturating_sub(1);
                mean_rest = share(rest, bins);
            }
        }
    }
    cuts
}

/// A number midway that the lower does not exceed and the upper does.
fn between(lower: Entry, upper: Entry) -> f32 {
    let middle = ((f64::from(lower.high) + f64::from(upper.low)) / 2.0) as f32;
    if middle >= lower.high && middle < upper.low { middle } else { lower.high }
}
