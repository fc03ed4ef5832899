//! Random numbers that are the same everywhere.

/// SplitMix64 (Steele, Lea and Flood, 2014): a counter whose every step is mixed.
pub(crate) struct Random(u64);

impl Random {
    /// The stream with this number, of a seed.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut start = Self(seed);
        Self(start.next() ^ stream.wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0; the bias of at most 2^-32 is nothing here.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }

    /// So many different numbers below `end`, in ascending order.
    pub(crate) fn choose(&mut self, mut wanted: usize, end: usize) -> Vec<u32> {
        let mut chosen = Vec::with_capacity(wanted.min(end));
        for number in 0..end {
            if self.below(end - number) < wanted {
                chosen.push(number as u32);
                wanted -= 1;
            }
        }
        chosen
    }
}
