//! Which variant a unit gets: a hash, so that every replica and every restart gives the same answer without a word.

use std::hash::Hasher;
use std::ops::Range;

use twox_hash::XxHash3_64;
use twox_hash::xxhash3_64::{RawHasher, SecretBuffer};

/// Slots that ranges of variants and coverage are given in.
pub const SLOTS: u32 = 1_000_000;

/// Between salt and key: no two pairs make the same text as long as salts hold no such byte.
const SEPARATOR: &str = "\x1f";
/// What makes the slot of enrolment independent of that of the variant.
const ENROL: &str = "#enrol";
/// Salt and key that are longer together are hashed as a stream, so that no length allocates.
const SHORT: usize = 128;

/// The salt of an experiment, made ready once: a unit then costs a copy and a hash.
#[derive(Clone, Debug)]
pub struct Salt {
    variant: Prefix,
    enrol: Prefix,
}

/// What stands before the key.
#[derive(Clone, Debug)]
struct Prefix {
    bytes: Box<[u8]>,
    /// The same at the start of the room for a short text.
    text: [u8; SHORT],
}

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

// === impl Salt ===

impl Salt {
    /// Of any text.
    pub fn new(salt: &str) -> Self {
        let [variant, enrol] =
            [[salt, "", SEPARATOR], [salt, ENROL, SEPARATOR]].map(|parts| Prefix::new(&parts.concat()));
        Self { variant, enrol }
    }

    /// Assigns a unit. More coverage only adds units; a changed range moves only the units of slots that changed.
    pub fn assign(&self, key: &str, coverage: u32, ranges: &[Range<u32>]) -> Assignment {
        let hash = self.hash(key);
        let slot = slot(hash);
        let enrol_slot = self.enrol_slot(key);
        let variant = ranges.iter().position(|range| range.contains(&slot));
        Assignment { hash, slot, enrol_slot, enrolled: enrol_slot < coverage, variant }
    }

    /// XXH3-64 of salt, 0x1f and key, of which [`slot`] chooses the variant.
    #[inline]
    pub fn hash(&self, key: &str) -> u64 {
        self.variant.hash(key)
    }

    /// The slot that decides whether a unit takes part: that of the salt with `#enrol` at its end.
    #[inline]
    pub fn enrol_slot(&self, key: &str) -> u32 {
        slot(self.enrol.hash(key))
    }
}

/// The slot of a hash, ⌊hash · 10⁶ / 2⁶⁴⌋: no division, and no slot is more than 1 in 10¹³ likelier than another.
#[inline]
pub const fn slot(hash: u64) -> u32 {
    ((hash as u128 * SLOTS as u128) >> 64) as u32
}

// === impl Prefix ===

impl Prefix {
    fn new(prefix: &str) -> Self {
        let mut text = [0; SHORT];
        let length = prefix.len().min(SHORT);
        text[..length].copy_from_slice(&prefix.as_bytes()[..length]);
        Self { bytes: prefix.as_bytes().into(), text }
    }

    #[inline]
    fn hash(&self, key: &str) -> u64 {
        let (start, end) = (self.bytes.len(), self.bytes.len() + key.len());
        if end > SHORT {
            return self.stream(key);
        }
        let mut text = self.text;
        copy(&mut text[start..end], key.as_bytes());
        XxHash3_64::oneshot(&text[..end])
    }

    #[cold]
    fn stream(&self, key: &str) -> u64 {
        let mut stream = RawHasher::new(SecretBuffer::default());
        stream.write(&self.bytes);
        stream.write(key.as_bytes());
        stream.finish()
    }
}

/// Copies without a call, which costs more than the few moves of a short key.
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    const STEP: usize = 16;
    let Some(last) = from.len().checked_sub(STEP) else {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        return;
    };
    to.chunks_exact_mut(STEP).zip(from.chunks_exact(STEP)).for_each(|(to, from)| to.copy_from_slice(from));
    to[last..].copy_from_slice(&from[last..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::srm;

    #[test]
    fn slots_reach_from_the_first_to_the_last() {
        assert_eq!([slot(0), slot(1 << 63), slot(u64::MAX)], [0, SLOTS / 2, SLOTS - 1]);
    }

    #[test]
    fn a_slot_outside_every_range_has_no_variant() {
        let salt = Salt::new("exp-a");
        let found = salt.assign("user-1", 0, &[0..1000, 1000..2000]);
        assert_eq!((found.slot, found.variant, found.enrolled), (705_668, None, false));
        assert!(salt.assign("user-1", SLOTS, &[]).enrolled);
    }

    #[test]
    fn more_coverage_only_adds_units_and_nobody_moves() {
        let (salt, ranges) = (Salt::new("ramp"), [0..500_000, 500_000..SLOTS]);
        for unit in 0..5000 {
            let key = format!("user-{unit}");
            let steps = [10_000, 50_000, 500_000, SLOTS].map(|coverage| salt.assign(&key, coverage, &ranges));
            assert!(steps.windows(2).all(|s| s[0].enrolled <= s[1].enrolled && s[0].variant == s[1].variant));
        }
    }

    #[test]
    fn slots_are_uniform_and_enrolment_is_independent_of_them() {
        for form in [
            |i: u32| i.to_string(),
            |i| format!("{i:08x}-0000-4000-8000-000000000000"),
            |i| format!("user{i}@example.org"),
        ] {
            let (salt, mut cells) = (Salt::new("uniform"), [0_u64; 64]);
            for unit in 0..64_000 {
                let found = salt.assign(&form(unit), SLOTS, &[]);
                cells[(found.slot / 125_000 * 8 + found.enrol_slot / 125_000) as usize] += 1;
            }
            let p = srm::mismatch(&cells, &[1.0; 64]).unwrap().p;
            assert!((0.001..0.999).contains(&p), "{}: {p}", form(1));
        }
    }

    proptest! {
        #[test]
        fn long_and_short_texts_have_one_hash(salt in "[a-z]{0,200}", length in 0..300_usize) {
            let key = "k".repeat(length);
            prop_assert_eq!(Salt::new(&salt).hash(&key), XxHash3_64::oneshot(format!("{salt}\x1f{key}").as_bytes()));
        }
    }
}
