//! Sets of categories.

/// Sets of categories as bits; each is a range of `words`.
#[derive(Debug, Default)]
pub(in crate::engine::trees) struct Sets {
    /// The number of the last bit, which is never set and stands for every category beyond, then the bits:
    /// bit 0 for NaN, bit 1 for what is no category, then category 0 and so on.
    pub(in crate::engine::trees) words: Vec<u32>,
}

/// Bits in front of category 0.
pub(in crate::engine::trees) const CATEGORY_OFFSET: u32 = 2;
/// Categories are below this number: float32 counts no further.
pub(in crate::engine::trees) const MAX_CATEGORY: u32 = 1 << 24;
/// Words of all sets: 64 MiB. A file can name a high category with few bytes.
const MAX_SET_WORDS: usize = 1 << 24;

impl Sets {
    /// Adds a set and gives its place.
    pub(super) fn add(&mut self, members: &[u32], missing: bool) -> Result<u32, String> {
        let end = members.iter().max().map_or(0, |most| most.saturating_add(1));
        if end > MAX_CATEGORY {
            return Err(format!("names category {}, above {MAX_CATEGORY}", end - 1));
        }
        let (at, last) = (self.words.len(), end + CATEGORY_OFFSET);
        let words = last as usize / 32 + 1;
        if at + 1 + words > MAX_SET_WORDS {
            return Err("is where the categories of all splits come to more than 64 MiB".to_owned());
        }
        self.words.push(last);
        self.words.resize(at + 1 + words, 0);
        let missing = missing.then_some(0);
        for bit in members.iter().map(|category| category + CATEGORY_OFFSET).chain(missing) {
            self.words[at + 1 + bit as usize / 32] |= 1 << (bit % 32);
        }
        Ok(at as u32)
    }

    /// Whether the set at a place has a column's bit.
    #[inline]
    pub(in crate::engine::trees) fn contains(&self, at: usize, bit: usize) -> bool {
        let bit = bit.min(self.words[at] as usize);
        self.words[at + 1 + bit / 32] >> (bit % 32) & 1 != 0
    }
}
