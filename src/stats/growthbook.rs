//! GrowthBook's hash, so that its SDKs and a sidegate put a unit into the same bucket.

/// Its first version, in thousandths: 0 ≤ v < 1. Kept for experiments that began with it; units of different
/// experiments are correlated.
pub fn hash_v1(seed: &str, value: &str) -> f64 {
    f64::from(fnv1a32(&[value.as_bytes(), seed.as_bytes()]) % 1000) / 1000.0
}

/// Its second version, in ten-thousandths: 0 ≤ v < 1.
pub fn hash_v2(seed: &str, value: &str) -> f64 {
    let mut digits = [0; 10];
    let first = decimal(fnv1a32(&[seed.as_bytes(), value.as_bytes()]), &mut digits);
    f64::from(fnv1a32(&[first]) % 10_000) / 10_000.0
}

/// FNV-1a of 32 bits over the bytes of UTF-8.
fn fnv1a32(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().copied().flatten();
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn decimal(mut number: u32, digits: &mut [u8; 10]) -> &[u8] {
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[start..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 7, 10, 4_294_967_295, 1_000_000_000] {
            assert_eq!(decimal(number, &mut [0; 10]), number.to_string().as_bytes());
        }
    }

    #[test]
    fn the_hash_is_fnv() {
        // The published test vectors of FNV-1a.
        assert_eq!(
            [fnv1a32(&[]), fnv1a32(&[b"a"]), fnv1a32(&[b"foo", b"bar"])],
            [0x811c_9dc5, 0xe40c_292c, 0xbf9c_f968]
        );
    }
}
