//! Which requests were predicted: what became known of others is not copied, however long a log goes back.

use twox_hash::XxHash3_64;

/// Bits, by the hash of a key: 16 MiB. Of ten million requests one in thirteen others is taken for one of them.
const BITS: u64 = 1 << 27;

/// The keys of some requests, and a few others: what is taken for one of them meets none when it is joined.
pub(super) struct Asked(Vec<u64>);

impl Asked {
    /// None.
    pub(super) fn new() -> Self {
        Self(vec![0; (BITS / 64) as usize])
    }

    fn place(key: &str) -> (usize, u64) {
        let bit = XxHash3_64::oneshot(key.as_bytes()) % BITS;
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    /// Takes one in.
    pub(super) fn add(&mut self, key: &str) {
        let (at, bit) = Self::place(key);
        if let Some(word) = self.0.get_mut(at) {
            *word |= bit;
        }
    }

    /// Whether it is one of them, or taken for one.
    pub(super) fn has(&self, key: &str) -> bool {
        let (at, bit) = Self::place(key);
        self.0.get(at).is_some_and(|word| word & bit != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_is_known_and_most_of_the_rest_is_not() {
        let mut asked = Asked::new();
        let keys = |from: u32| (from..from + 100_000).map(|number| format!("{number:016x}"));
        keys(0).for_each(|key| asked.add(&key));
        assert!(keys(0).all(|key| asked.has(&key)));
        let others = keys(1_000_000).filter(|key| asked.has(key)).count();
        assert!(others < 300, "{others} of 100000");
    }
}
