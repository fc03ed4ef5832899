//! Which variant a unit gets: a hash, so that every replica and every restart gives the same answer without a word.

use std::fmt;
use std::hash::Hasher;
use std::ops::Range;

use twox_hash::XxHash3_64;
use twox_hash::xxhash3_64::{RawHasher, SecretBuffer};

/// Slots that ranges of variants and coverage are given in.
pub const SLOTS: u32 = 1_000_000;

/// Between salt and key, which hold no such byte, so that no two pairs make the same text.
const SEPARATOR: &[u8] = b"\x1f";
/// What makes the slot of enrolment independent of that of the variant.
const ENROL: &str = "#enrol";
/// Salt and key that are longer together are hashed as a stream, so that no length allocates.
const SHORT: usize = 128;

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

/// What the hashes of an experiment start from, laid out so that hashing a unit is one copy and one hash.
#[derive(Clone, PartialEq, Eq)]
pub struct Salt {
    /// Salt and separator, and room for a unit.
    text: [u8; SHORT],
    /// Where the room begins; beyond the text where there is none.
    end: usize,
    /// The salt, for units that find no room.
    salt: Box<str>,
}

impl Salt {
    /// The salt of a text.
    pub fn new(salt: &str) -> Self {
        let end = salt.len() + SEPARATOR.len();
        let mut text = [0; SHORT];
        if let Some(head) = text.get_mut(..end) {
            head[..salt.len()].copy_from_slice(salt.as_bytes());
            head[salt.len()..].copy_from_slice(SEPARATOR);
        }
        Self { text, end, salt: salt.into() }
    }

    /// Its text.
    pub const fn as_str(&self) -> &str {
        &self.salt
    }

    /// XXH3-64 of salt, 0x1f and unit, seed 0.
    #[inline]
    pub fn hash(&self, unit: &str) -> u64 {
        let mut text = self.text;
        let end = self.end + unit.len();
        let Some(room) = text.get_mut(self.end..end) else { return self.long(unit) };
        room.copy_from_slice(unit.as_bytes());
        XxHash3_64::oneshot(&text[..end])
    }

    #[cold]
    fn long(&self, unit: &str) -> u64 {
        let mut stream = RawHasher::new(SecretBuffer::default());
        [self.salt.as_bytes(), SEPARATOR, unit.as_bytes()].iter().for_each(|part| stream.write(part));
        stream.finish()
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Salt").field(&self.salt).finish()
    }
}

/// The salt of enrolment that belongs to a salt.
pub fn enrol(salt: &str) -> Salt {
    Salt::new(&format!("{salt}{ENROL}"))
}

/// Assigns a unit. More coverage only adds units; a changed range moves only the units of the slots that changed.
pub fn assign(salt: &str, key: &str, coverage: u32, ranges: &[Range<u32>]) -> Assignment {
    let hash = Salt::new(salt).hash(key);
    let slot = slot(hash);
    let enrol_slot = self::slot(enrol(salt).hash(key));
    let variant = ranges.iter().position(|range| range.contains(&slot));
    Assignment { hash, slot, enrol_slot, enrolled: enrol_slot < coverage, variant }
}

/// What stands for a unit in sums, of its [`Salt::hash`]: the finalizer of SplitMix64 (Steele, Lea, Flood, 2014), so that its
/// bits say nothing of the slot and no two units become one by it. A third hash of the text would cost ten times as much.
#[inline]
pub const fn unit(hash: u64) -> u64 {
    let mut z = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
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

    #[test]
    fn what_stands_for_a_unit_says_nothing_of_its_slot() {
        // Two hundred cells of slots by two hundred of units, ten units each by chance.
        const SIDE: usize = 200;
        let (salt, mut cells) = (Salt::new("sums"), vec![0_u32; SIDE * SIDE]);
        for n in 0..10 * SIDE * SIDE {
            let hash = salt.hash(&format!("user-{n}"));
            let column = ((u128::from(unit(hash)) * SIDE as u128) >> 64) as usize;
            cells[slot(hash) as usize * SIDE / SLOTS as usize * SIDE + column] += 1;
        }
        let chi2: f64 = cells.iter().map(|count| (f64::from(*count) - 10.0).powi(2) / 10.0).sum();
        let cells = (SIDE * SIDE) as f64;
        // Its standard deviation is that of chi-square.
        assert!((chi2 - cells).abs() < 4.0 * (2.0 * cells).sqrt(), "{chi2}");
    }

    proptest! {
        #[test]
        fn long_and_short_texts_have_one_hash(salt in "[a-z]{0,20}|[a-z]{120,140}", length in 90..200_usize) {
            let key = "k".repeat(length);
            prop_assert_eq!(Salt::new(&salt).hash(&key), XxHash3_64::oneshot(format!("{salt}\x1f{key}").as_bytes()));
        }
    }
}
