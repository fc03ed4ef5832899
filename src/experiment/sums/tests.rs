use proptest::prelude::*;

use super::*;
use crate::experiment::cohort::Measured;
use crate::experiment::metric::Kind;

fn layout(horizon_millis: u64) -> Layout {
    Layout::bare(2, vec![Measured::Metric(Kind::Errors), Measured::Labelled], horizon_millis)
}

fn filled(values: &[(usize, usize, u64, f64)], horizon: u64) -> Sums {
    let mut sums = Sums::new(&layout(horizon));
    for (arm, bucket, at, value) in values {
        let place = Place { arms: &[*arm], bucket: *bucket, at: *at };
        let cell = Cell { weight: 1.0, sum: *value };
        sums.arms[*arm].units.add(*bucket, Cell { weight: 1.0, sum: 0.0 });
        sums.arms[*arm].requests += 1;
        let mut outputs = Outputs::default();
        outputs.push(*value);
        sums.add_outputs(*arm, *bucket, &outputs, Some(0.0));
        sums.arms[*arm].latency.push(value.abs() * 1e-3);
        sums.add(place, 0, cell);
        sums.add_late(place, 1, cell, 0);
    }
    sums
}

#[test]
fn outcomes_count_when_their_time_is_over_and_later_ones_never() {
    let mut sums = Sums::new(&layout(800));
    let at = |at: u64| Place { arms: &[0], bucket: 7, at };
    let one = Cell { weight: 1.0, sum: 1.0 };
    assert!(sums.add_late(at(1000), 1, one, 1000));
    sums.mature(1799);
    assert_eq!(sums.arms[0].series[1].total(), Cell::default());
    // A pane is an eighth of the horizon: what was predicted in 1000..1100 is final at 1900.
    assert!(sums.add_late(at(1000), 1, one, 1899));
    assert!(!sums.add_late(at(1000), 1, one, 1900));
    sums.mature(1900);
    assert_eq!(sums.arms[0].series[1].total(), Cell { weight: 2.0, sum: 2.0 });
    assert!(!sums.immature());
}

#[test]
fn what_is_no_sum_is_refused() {
    let sums = filled(&[(0, 1, 5, 2.0), (1, 4095, 9, -1.0)], 100);
    let bytes = sums.to_bytes();
    assert_eq!(Sums::from_bytes(&bytes, &layout(200)), Err(Unreadable::Other));
    for end in 24..bytes.len() {
        assert!(
            matches!(Sums::from_bytes(&bytes[..end], &layout(100)), Err(Unreadable::Damaged(_))),
            "{end}"
        );
    }
}

proptest! {
    #[test]
    fn sums_come_back_as_they_were_and_parts_make_the_whole(
        values in prop::collection::vec((0..2_usize, 0..BUCKETS, 0..5000_u64, -50..50_i32), 0..60), cut in 0..60_usize
    ) {
        // Whole numbers, so that sums in another order are the same to the bit.
        let values: Vec<_> = values.into_iter().map(|(arm, bucket, at, value)| (arm, bucket, at, f64::from(value))).collect();
        let cut = cut.min(values.len());
        let (whole, mut part, rest) = (filled(&values, 900), filled(&values[..cut], 900), filled(&values[cut..], 900));
        prop_assert!(part.merge(&rest));
        prop_assert_eq!(&part, &whole);
        let back = Sums::from_bytes(&whole.to_bytes(), &layout(900)).unwrap();
        let mut empty = Sums::new(&layout(900));
        prop_assert!(empty.merge(&back));
        let mut whole = whole;
        whole.mature(9000);
        empty.mature(9000);
        prop_assert_eq!(empty, whole);
    }

    #[test]
    fn no_bytes_end_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Sums::from_bytes(&bytes, &layout(100));
    }
}
