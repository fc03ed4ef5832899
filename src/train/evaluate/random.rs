//! Numbers drawn by a seed, the same on every machine and with every version of a library.

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) struct Random(u64);

impl Random {
    /// The stream with this number; streams of one seed are apart.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut start = Self(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        Self(start.next())
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 on and below 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number below `n`.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Brings a list into any order (Fisher and Yates).
    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at + 1));
        }
    }

    /// So many of the numbers below `n`, ascending; all of them where there are no more.
    pub(super) fn sample(&mut self, n: usize, count: usize) -> Vec<usize> {
        let mut wanted = count.min(n);
        let mut taken = Vec::with_capacity(wanted);
        for at in 0..n {
            // Each of those left is taken with the chance that is left for it (Knuth's algorithm S).
            if wanted > 0 && self.below(n - at) < wanted {
                taken.push(at);
                wanted -= 1;
            }
        }
        taken
    }
}
