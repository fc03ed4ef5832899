use super::uniform;
use crate::learner::builtin::bins::sketch::{Entry, Sketch};
use crate::learner::builtin::bins::{Census, Kind, greedy};
use crate::learner::builtin::random::Random;

fn ends(values: &[f32], most: usize, least: u64) -> Vec<f32> {
    let mut census = Census::new(None);
    values.chunks(1000).for_each(|chunk| census.absorb(&mut chunk.to_vec()));
    match census.bins(most, least).kind {
        Kind::Numbers(ends) => ends,
        Kind::Categories { .. } => panic!(),
    }
}

#[test]
fn few_values_get_a_bin_each() {
    assert_eq!(ends(&[3.0, 1.0, f32::NAN, 2.0, 1.0], 255, 1), [1.5, 2.5]);
    assert_eq!(ends(&[3.0, 1.0, 2.0, 1.0], 255, 3), [2.5]);
    assert_eq!(ends(&[-0.0, 0.0, 1.0], 255, 1), [0.5]);
    assert!(ends(&[f32::NAN; 9], 255, 1).is_empty());
}

#[test]
fn ends_lie_between_neighbours_whatever_they_are() {
    let values =
        [f32::NEG_INFINITY, -f32::MAX, -1.0, (-1f32).next_up(), 0.0, 1e-45, 1.0, f32::MAX, f32::INFINITY];
    let ends = ends(&values, 255, 1);
    assert_eq!(ends.len(), values.len() - 1);
    for (pair, end) in values.windows(2).zip(ends) {
        assert!(pair[0] <= end && end < pair[1], "{pair:?} {end}");
    }
}

#[test]
fn a_frequent_value_has_its_own_bin_and_the_tail_is_not_starved() {
    let mut random = Random::new(1, 1);
    let values: Vec<f32> = (0..100_000)
        .map(|row| if row % 10 < 9 { (row % 5) as f32 } else { 10.0 + 1000.0 * uniform(&mut random).powi(3) })
        .collect();
    let ends = ends(&values, 64, 3);
    for value in 0..5u8 {
        assert!(ends.contains(&(f32::from(value) + 0.5)) || value == 4, "{ends:?}");
    }
    let tail = ends.iter().filter(|end| **end > 5.0).count();
    assert!(tail > 50, "{tail}");
}

#[test]
fn a_sketch_keeps_ranks_within_its_bound_and_frequent_values_whole() {
    let mut random = Random::new(2, 2);
    let mut values: Vec<f32> =
        (0..300_000).map(|row| if row % 20 == 0 { 0.25 } else { uniform(&mut random) }).collect();
    let mut sketch = Sketch::default();
    values.chunks(8192).for_each(|chunk| sketch.absorb(&mut chunk.to_vec()));
    assert!(sketch.entries.len() <= 2 * 4096);
    values.sort_by(f32::total_cmp);
    let (mut rank, mut worst) = (0, 0);
    for Entry { high, count, .. } in &sketch.entries {
        rank += *count as usize;
        worst = worst.max(rank.abs_diff(values.partition_point(|value| value <= high)));
    }
    assert_eq!(rank, values.len());
    assert!(worst < 300_000 / 1024, "{worst}");
    let whole = sketch.entries.iter().map(|entry| entry.count).max().unwrap();
    assert!(whole >= 14_900, "{whole}");
    assert_eq!(greedy::ends(&sketch.entries, 255, 3).len(), 254);
}

#[test]
fn rare_and_unknown_categories_share_a_bin() {
    let mut census = Census::new(Some(4));
    census.absorb(&mut vec![2.0, 2.0, 2.0, 0.0, 0.0, 1.0, f32::NAN, 9.0]);
    let bins = census.bins(2, 3);
    let of = |value| bins.of(value);
    assert_eq!([2.0, 0.0, 1.0, 3.0, 9.0, -1.0, f32::INFINITY, 2.9].map(of), [0, 1, 2, 2, 2, 2, 2, 0]);
    assert_eq!((of(f32::NAN), bins.count()), (3, 4));
}
