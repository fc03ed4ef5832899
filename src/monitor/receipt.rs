//! Receipts: what an answer was, signed, so that any replica accepts its outcome days later without having kept a thing.
//!
//! A receipt is base64url (RFC 4648, 5) of a body and the first 16 bytes of its keyed BLAKE3. Only who has the key can make
//! one; it holds no unit, just the unit's hash.

use subtle::ConstantTimeEq;

use super::record::{MAX_ROWS, Predictions};
use crate::experiment::Predicted;

/// The first byte of the body.
const FORMAT: u8 = 1;
const TAG_BYTES: usize = 16;
/// The phase in receipts of answers that took part in no experiment.
pub(super) const NO_PHASE: u64 = 0;
/// What keys of this use are derived for.
const CONTEXT: &str = "sidegate 2026-11 receipt of a prediction";

/// What a receipt says.
#[derive(Clone, Debug, PartialEq)]
pub struct Receipt {
    /// The phase of the experiment; 0 where there is none.
    pub phase: u64,
    /// The variant, by its number.
    pub variant: u8,
    /// The version that answered.
    pub version: u64,
    /// The slot of the unit.
    pub slot: u32,
    /// The hash of the unit.
    pub unit: u64,
    /// The hash of the request's id.
    pub id: u64,
    /// When it was predicted, in milliseconds since 1970.
    pub at: u64,
    /// The share of all units that the variant gets: its propensity.
    pub propensity: f32,
    /// What was predicted, row by row.
    pub predictions: Predictions,
    /// The model.
    pub model: String,
}

/// Signs and reads receipts.
#[derive(Default)]
pub struct Receipts {
    /// The first signs; a receipt of any counts.
    keys: Vec<[u8; 32]>,
}

/// Why a receipt is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// No key makes that of it.
    Forged,
    /// Too old.
    Expired,
}

// === impl Receipts ===

impl Receipts {
    /// Keys from texts: the first signs, the others are those of before.
    pub fn new<T: AsRef<str>>(keys: &[T]) -> Self {
        Self { keys: keys.iter().map(|key| blake3::derive_key(CONTEXT, key.as_ref().as_bytes())).collect() }
    }

    /// Whether receipts can be made.
    pub const fn is_on(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Appends a signed receipt; nothing without a key.
    pub fn push(&self, receipt: &Receipt, out: &mut Vec<u8>) {
        let Some(key) = self.keys.first() else { return };
        let mut bytes = receipt.to_bytes();
        let tag = blake3::keyed_hash(key, &bytes);
        bytes.extend_from_slice(&tag.as_bytes()[..TAG_BYTES]);
        push_base64(&bytes, out);
    }

    /// Reads a receipt that is no older than `max_age` milliseconds, with a hash of it.
    ///
    /// # Errors
    /// [`Invalid`]
    pub fn open(&self, text: &str, now: u64, max_age: u64) -> Result<(Receipt, u64), Invalid> {
        let bytes = from_base64(text).ok_or(Invalid::Forged)?;
        let body = bytes.len().checked_sub(TAG_BYTES).ok_or(Invalid::Forged)?;
        let (body, tag) = bytes.split_at(body);
        let made = self.keys.iter().fold(subtle::Choice::from(0), |made, key| {
            made | blake3::keyed_hash(key, body).as_bytes()[..TAG_BYTES].ct_eq(tag)
        });
        if !bool::from(made) {
            return Err(Invalid::Forged);
        }
        let receipt = Receipt::from_bytes(body).ok_or(Invalid::Forged)?;
        if receipt.at.saturating_add(max_age) < now {
            return Err(Invalid::Expired);
        }
        let hash = tag.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        Ok((receipt, hash))
    }
}

// === impl Receipt ===

impl Receipt {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + self.model.len() + 9 * self.predictions.rows().len());
        bytes.push(FORMAT);
        bytes.push(self.variant);
        for word in [self.phase, self.version, self.unit, self.at, self.id] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(&self.slot.to_le_bytes());
        bytes.extend_from_slice(&self.propensity.to_le_bytes());
        let rows = self.predictions.rows();
        let rows = &rows[..rows.len().min(MAX_ROWS)];
        bytes.extend_from_slice(&(rows.len() as u16).to_le_bytes());
        for row in rows {
            let (kind, number) = match row {
                Predicted::Value(number) => (0, number),
                Predicted::Probability(number) => (1, number),
            };
            bytes.push(kind);
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(self.model.as_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let [format, variant] = take(&mut rest)?;
        if format != FORMAT {
            return None;
        }
        let mut word = || take(&mut rest).map(u64::from_le_bytes);
        let (phase, version, unit, at, id) = (word()?, word()?, word()?, word()?, word()?);
        let slot = u32::from_le_bytes(take(&mut rest)?);
        let propensity = f32::from_le_bytes(take(&mut rest)?);
        let count = usize::from(u16::from_le_bytes(take(&mut rest)?));
        let mut rows = Vec::new();
        for _ in 0..count {
            let [kind] = take(&mut rest)?;
            let number = f64::from_le_bytes(take(&mut rest)?);
            rows.push(if kind == 1 { Predicted::Probability(number) } else { Predicted::Value(number) });
        }
        let model = String::from_utf8(rest.to_vec()).ok()?;
        let predictions = rows.into_iter().collect();
        Some(Self { phase, variant, version, slot, unit, id, at, propensity, predictions, model })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*first)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digit = |position: usize| ALPHABET[(bits >> (18 - 6 * position)) as usize & 63];
        out.extend((0..=chunk.len()).map(digit));
    }
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for chunk in text.as_bytes().chunks(4) {
        let digit = |byte: &u8| ALPHABET.iter().position(|known| known == byte);
        let mut bits = 0_u32;
        for byte in chunk {
            bits = bits << 6 | digit(byte)? as u32;
        }
        bits <<= 6 * (4 - chunk.len());
        let whole = chunk.len().checked_sub(1).filter(|whole| *whole > 0)?;
        bytes.extend_from_slice(&bits.to_be_bytes()[1..=whole]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn receipt(rows: usize) -> Receipt {
        Receipt {
            phase: 0x0123_4567_89ab_cdef,
            variant: 1,
            version: 7,
            slot: 999_999,
            unit: u64::MAX,
            id: 3,
            at: 1000,
            propensity: 0.5,
            predictions: (0..rows)
                .map(
                    |row| {
                        if row % 2 == 0 { Predicted::Value(row as f64) } else { Predicted::Probability(0.25) }
                    },
                )
                .collect(),
            model: "wine".into(),
        }
    }

    fn signed(receipts: &Receipts, receipt: &Receipt) -> String {
        let mut out = Vec::new();
        receipts.push(receipt, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_receipt_is_read_by_who_has_the_key_while_it_is_young() {
        let (ours, rotated, theirs) = (
            Receipts::new(&["a key of our own"]),
            Receipts::new(&["the next of the keys", "a key of our own"]),
            Receipts::new(&["another one's key"]),
        );
        for rows in [0, 1, 2, MAX_ROWS] {
            let text = signed(&ours, &receipt(rows));
            for reader in [&ours, &rotated] {
                assert_eq!(reader.open(&text, 2000, 1000).map(|(read, _)| read), Ok(receipt(rows)));
            }
            assert_eq!(ours.open(&text, 2001, 1000), Err(Invalid::Expired));
            assert_eq!(theirs.open(&text, 2000, 1000), Err(Invalid::Forged));
        }
        assert_eq!(signed(&Receipts::default(), &receipt(1)), "");
        assert_eq!(Receipts::default().open(&signed(&ours, &receipt(1)), 0, 0), Err(Invalid::Forged));
    }

    #[test]
    fn no_bit_of_a_receipt_can_be_changed() {
        let ours = Receipts::new(&["a key of our own"]);
        let text = signed(&ours, &receipt(2));
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last digit may hold bits that are no part of a byte.
            if from_base64(&changed) != from_base64(&text) {
                assert_eq!(ours.open(&changed, 0, 0), Err(Invalid::Forged), "{at}");
            }
        }
    }

    proptest! {
        #[test]
        fn base64_comes_back_and_nothing_ends_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..90), text in "\\PC{0,90}") {
            let mut out = Vec::new();
            push_base64(&bytes, &mut out);
            prop_assert_eq!(from_base64(std::str::from_utf8(&out).unwrap()), Some(bytes.clone()));
            let _ = Receipt::from_bytes(&bytes);
            prop_assert_eq!(Receipts::new(&["a key of our own"]).open(&text, 0, 0), Err(Invalid::Forged));
        }
    }
}
