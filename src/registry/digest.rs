//! SHA-256 digests, written `sha256:` + lower-case hex.

use std::fmt;
use std::io;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// Bytes hashed between two calls of `pace`: well under a millisecond.
const SLICE: usize = 256 << 10;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

/// Passes bytes on and takes their digest on the way.
pub struct Hashing<W> {
    to: W,
    hasher: Sha256,
    bytes: u64,
}

/// A text that is no digest.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a digest (`sha256:` and 64 hexadecimal digits)")]
pub struct InvalidDigest(String);

impl Digest {
    /// The digest of `bytes`; `pace` is called after each slice.
    pub fn of(bytes: &[u8], pace: &mut (impl FnMut() + ?Sized)) -> Self {
        let mut hasher = Sha256::new();
        for slice in bytes.chunks(SLICE) {
            hasher.update(slice);
            pace();
        }
        Self(hasher.finalize().into())
    }

    /// The digest as a number from 0 to below 1, evenly spread.
    pub fn share(&self) -> f64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        (u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

// === impl Hashing ===

impl<W: io::Write> Hashing<W> {
    /// A writer before `to`.
    pub fn new(to: W) -> Self {
        Self { to, hasher: Sha256::new(), bytes: 0 }
    }

    /// The digest and the number of the bytes that went through.
    pub fn finish(self) -> (Digest, u64) {
        (Digest(self.hasher.finalize().into()), self.bytes)
    }
}

impl<W: io::Write> io::Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

// === impl Digest ===

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    /// Reads a digest with or without its prefix.
    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let invalid = || InvalidDigest(crate::model::shorten(text));
        let hex = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        if hex.len() != 64 {
            return Err(invalid());
        }
        let digit = |b: u8| (b as char).to_digit(16).filter(|_| !b.is_ascii_uppercase()).ok_or_else(invalid);
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_chunks::<2>().0) {
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_round_trip() {
        let digest = Digest::of(b"abc", &mut || ());
        let mut hasher = Hashing::new(std::io::sink());
        io::copy(&mut &b"abc"[..], &mut hasher).unwrap();
        assert_eq!(hasher.finish(), (digest, 3));
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse::<Digest>().unwrap(), digest);
        for bad in ["", "sha256:", "sha256:AB", &text[..70], &text.to_uppercase()] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
