//! Which variant a unit gets: a hash, so that every replica and every restart gives the same answer without a word.

use std::hash::Hasher;
use std::ops::Range;

use smallvec::SmallVec;
use twox_hash::XxHash3_64;
use twox_hash::xxhash3_64::{RawHasher, SecretBuffer};

/// Slots that ranges of variants and coverage are given in.
pub const SLOTS: u32 = 1_000_000;

/// Between salt and key, which hold no such byte, so that no two pairs make the same text.
const SEPARATOR: &[u8] = b"\x1f";
/// What makes the slot of enrolment independent of that of the variant.
const ENROL: &[u8] = b"#enrol";
/// What makes the bucket of a unit independent of both.
const UNIT: &[u8] = b"#unit";
/// Salt and key that are longer together are hashed as a stream, so that no length allocates.
const SHORT: usize = 256;

/// What the hash says of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// XXH3-64 of salt, 0x1f and key, seed 0.
    pub hash: u64,
    /// The slot that chooses the variant.
    pub slot: u32,
    /// The slot that decides on enrolment.
    pub enrol_slot: u32,
    /// Whether the unit takes part.
    pub enrolled: bool,
    /// The range that holds the slot, whether enrolled or not; none where no range does.
    pub variant: Option<usize>,
}

/// Assigns a unit. More coverage only adds units; a changed range moves only the units of the slots that changed.
pub fn assign(salt: &str, key: &str, coverage: u32, ranges: &[Range<u32>]) -> Assignment {
    let hash = hash(salt, key);
    let slot = slot(hash);
    let enrol_slot = enrol_slot(salt, key);
    let variant = ranges.iter().position(|range| range.contains(&slot));
    Assignment { hash, slot, enrol_slot, enrolled: enrol_slot < coverage, variant }
}

/// XXH3-64 of salt, 0x1f and key.
#[inline]
pub fn hash(salt: &str, key: &str) -> u64 {
    xxh3(&[salt.as_bytes(), SEPARATOR, key.as_bytes()])
}

/// The slot that decides whether a unit takes part: that of the salt with `#enrol` at its end.
#[inline]
pub fn enrol_slot(salt: &str, key: &str) -> u32 {
    slot(xxh3(&[salt.as_bytes(), ENROL, SEPARATOR, key.as_bytes()]))
}

/// The hash that stands for a unit in sums: that of the salt with `#unit` at its end, which says nothing of its slots.
#[inline]
pub fn unit(salt: &str, key: &str) -> u64 {
    xxh3(&[salt.as_bytes(), UNIT, SEPARATOR, key.as_bytes()])
}

/// The hash of any bytes.
#[inline]
pub fn bytes(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// The slot of a hash, ⌊hash · 10⁶ / 2⁶⁴⌋: no division, and no slot is more than 1 in 10¹³ likelier than another.
#[inline]
pub const fn slot(hash: u64) -> u32 {
    ((hash as u128 * SLOTS as u128) >> 64) as u32
}

fn xxh3(parts: &[&[u8]]) -> u64 {
    if parts.iter().map(|part| part.len()).sum::<usize>() <= SHORT {
        let mut text = SmallVec::<[u8; SHORT]>::new();
        parts.iter().for_each(|part| text.extend_from_slice(part));
        return XxHash3_64::oneshot(&text);
    }
    let mut stream = RawHasher::new(SecretBuffer::default());
    parts.iter().for_each(|part| stream.write(part));
    stream.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn slots_reach_from_the_first_to_the_last() {
        assert_eq!([slot(0), slot(1 << 63), slot(u64::MAX)], [0, SLOTS / 2, SLOTS - 1]);
    }

    #[test]
    fn a_slot_outside_every_range_has_no_variant() {
        let found = assign("exp-a", "user-1", 0, &[0..1000, 1000..2000]);
        assert_eq!((found.slot, found.variant, found.enrolled), (705_668, None, false));
        assert!(assign("exp-a", "user-1", SLOTS, &[]).enrolled);
    }

    #[test]
    fn more_coverage_only_adds_units_and_nobody_moves() {
        let ranges = [0..500_000, 500_000..SLOTS];
        for unit in 0..5000 {
            let key = format!("user-{unit}");
            let steps =
                [10_000, 50_000, 500_000, SLOTS].map(|coverage| assign("ramp", &key, coverage, &ranges));
            assert!(steps.windows(2).all(|s| s[0].enrolled <= s[1].enrolled && s[0].variant == s[1].variant));
        }
    }

    proptest! {
        #[test]
        fn long_and_short_texts_have_one_hash(salt in "[a-z]{0,20}", length in 200..400_usize) {
            let key = "k".repeat(length);
            prop_assert_eq!(hash(&salt, &key), XxHash3_64::oneshot(format!("{salt}\x1f{key}").as_bytes()));
        }
    }
}
