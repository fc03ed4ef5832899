//! Ids of changes: ULIDs, so that they sort by time.

use time::OffsetDateTime;

use crate::registry::clock::Clock;

/// Crockford's base 32.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A new id: 48 bits of time, 80 of chance.
pub(super) fn ulid(clock: &dyn Clock) -> String {
    let millis = (clock.now() - OffsetDateTime::UNIX_EPOCH).whole_milliseconds().max(0) as u128;
    let chance = u128::from(clock.random()) << 64 | u128::from(clock.random());
    let bits = millis << 80 | (chance & ((1 << 80) - 1));
    (0..26).map(|place| char::from(DIGITS[(bits >> (125 - 5 * place)) as usize & 31])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::clock::SystemClock;

    #[test]
    fn ids_are_distinct_and_begin_with_the_time() {
        let (a, b) = (ulid(&SystemClock), ulid(&SystemClock));
        assert_eq!((a.len(), a[..5] == b[..5]), (26, true), "{a} {b}");
        assert_ne!(a, b);
        assert!(a.starts_with("01"), "{a}: the 2020s begin so");
    }
}
