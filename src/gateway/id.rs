//! Request ids for clients that send none: UUIDv7 (RFC 9562), so that they sort by time.

use std::time::{SystemTime, UNIX_EPOCH};

/// One worker's source of ids.
pub(super) struct Ids {
    state: u64,
}

impl Ids {
    /// A source that starts somewhere random.
    pub(super) fn new() -> Self {
        Self { state: rand::random() }
    }

    /// SplitMix64 (Steele, Lea, Flood, 2014): ids need to be distinct, not secret.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Appends a new id in its text form.
    pub(super) fn push(&mut self, out: &mut Vec<u8>) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let high = millis << 16 | 0x7000 | (self.next() & 0x0fff);
        let low = (self.next() & !(3 << 62)) | 2 << 62;
        let bits = u128::from(high) << 64 | u128::from(low);
        for position in 0..32 {
            if matches!(position, 8 | 12 | 16 | 20) {
                out.push(b'-');
            }
            out.push(HEX[(bits >> (124 - 4 * position)) as usize & 15]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_and_distinct() {
        let mut ids = Ids::new();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            let mut id = Vec::new();
            ids.push(&mut id);
            let id = String::from_utf8(id).unwrap();
            assert_eq!((id.len(), &id[14..15]), (36, "7"), "{id}");
            assert!("89ab".contains(&id[19..20]), "{id}");
            assert!(seen.insert(id));
        }
    }
}
