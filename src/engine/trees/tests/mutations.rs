//! Fixtures damaged at random: whatever is loaded or refused, nothing panics, and what runs ends.

use super::fixtures;

/// What the fuzz target does with bytes.
#[path = "../../../../fuzz/load.rs"]
mod load;

use crate as sidegate;

/// Numbers of a fixed sequence (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}

/// One small change: a bit, a byte, a piece gone or twice, a piece of another file, or the end missing.
fn damage(bytes: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(bytes.len());
    let end = (at + 1 + random.below(16)).min(bytes.len());
    match random.below(7) {
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = [0, 1, 2, 0x7f, 0x80, 0xff][random.below(6)],
        3 => drop(bytes.drain(at..end)),
        4 => {
            let piece = bytes[at..end].to_vec();
            bytes.splice(at..at, piece);
        }
        5 => {
            let from = random.below(other.len());
            let piece = &other[from..(from + 1 + random.below(16)).min(other.len())];
            bytes.splice(at..end, piece.iter().copied());
        }
        _ if random.below(4) == 0 => bytes.truncate(at),
        _ => bytes[at] = bytes[at].wrapping_add(1),
    }
}

#[test]
fn damaged_models_neither_panic_nor_hang() {
    const LARGEST: usize = 6 << 10;
    const EACH: usize = 16;
    let files = fixtures().into_iter().map(|path| std::fs::read(path).unwrap());
    let files: Vec<Vec<u8>> = files.filter(|bytes| bytes.len() <= LARGEST).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut loaded = 0;
    for file in &files {
        for _ in 0..EACH {
            let mut bytes = file.clone();
            for _ in 0..1 + random.below(3) {
                let other = &files[random.below(files.len())];
                damage(&mut bytes, other, &mut random);
                if bytes.is_empty() {
                    break;
                }
            }
            loaded += usize::from(load::load(&bytes));
        }
    }
    let tried = files.len() * EACH;
    assert!(tried > 3000 && loaded > tried / 20, "{loaded} of {tried} still load: too few to show anything");
}
