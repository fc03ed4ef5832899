//! Numbers of JSON text: exact integers, and floats by a fast path that proves itself or falls back.
//!
//! A float is the `f64` nearest to the text and, for `f32`, that value rounded once more, as every Python
//! client sees it. Fast path for `f64`: W. D. Clinger, "How to read floating point numbers accurately"
//! (PLDI 1990): a mantissa below 2^53 and a power of ten up to 10^22 are both exact. For `f32` the product
//! of an inexact `u64` mantissa and an exact power is within two units of the `f64` nearest to the text, so
//! the `f32` is certain unless those units straddle a rounding boundary; then the standard library decides.

/// A number as written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// No sign, fraction or exponent, and it fits.
    Unsigned(u64),
    /// A minus sign, no fraction or exponent, and it fits.
    Negative(i64),
    /// Anything else: the nearest `f64`, infinite when out of range. `literal` is false for `NaN` and the infinities.
    Float {
        /// The value.
        value: f64,
        /// Whether it was written with digits.
        literal: bool,
    },
}

/// Powers of ten that are exact in an `f64`.
const POW10: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

const POW10_U64: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The `f64` nearest to each power.
const NEGATIVE_POW10: [f64; 17] = [
    1e0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15,
    1e-16,
];

/// The parts of a literal: value = ±mantissa × 10^exponent, if `exact`.
struct Parts {
    mantissa: u64,
    exponent: i32,
    negative: bool,
    integer: bool,
    /// All digits are in the mantissa and the exponent did not overflow.
    exact: bool,
    length: usize,
}

impl Number {
    /// The value as `f64`, rounded when an integer has more than 53 bits.
    pub fn to_f64(self) -> f64 {
        match self {
            Self::Unsigned(n) => n as f64,
            Self::Negative(n) => n as f64,
            Self::Float { value, .. } => value,
        }
    }

    /// Whether it was one of the tokens `NaN`, `Infinity`, `-Infinity`.
    pub const fn is_token(self) -> bool {
        matches!(self, Self::Float { literal: false, .. })
    }
}

/// The number at the start of `text` and its length in bytes.
pub(super) fn scan(text: &[u8]) -> Option<(Number, usize)> {
    let Some(parts) = split(text) else {
        let token = |token: &[u8], value| {
            text.starts_with(token).then_some((Number::Float { value, literal: false }, token.len()))
        };
        return token(b"NaN", f64::NAN)
            .or_else(|| token(b"Infinity", f64::INFINITY))
            .or_else(|| token(b"-Infinity", f64::NEG_INFINITY));
    };
    if parts.integer && parts.exact {
        if !parts.negative {
            return Some((Number::Unsigned(parts.mantissa), parts.length));
        }
        // -0 stays a float, so that its sign survives.
        if parts.mantissa != 0 && parts.mantissa <= 1 << 63 {
            return Some((Number::Negative((parts.mantissa as i64).wrapping_neg()), parts.length));
        }
    }
    let value = to_f64(&parts, &text[..parts.length]);
    Some((Number::Float { value, literal: true }, parts.length))
}

/// The `f64` nearest to the literal at the start of `text`, and the literal's length.
#[inline]
pub fn parse_f64(text: &[u8]) -> Option<(f64, usize)> {
    let parts = split(text)?;
    Some((to_f64(&parts, &text[..parts.length]), parts.length))
}

/// The `f32` nearest to the `f64` nearest to the literal at the start of `text`, and the literal's length.
#[inline]
pub fn parse_f32(text: &[u8]) -> Option<(f32, usize)> {
    if let Some(found) = plain_f32(text) {
        return Some(found);
    }
    let parts = split(text)?;
    let value = match guess(&parts) {
        // The discarded 29 bits lie at least 4 units from the middle, and the value is a normal f32.
        Some(near) if certain(near, 4) => near as f32,
        _ => to_f64(&parts, &text[..parts.length]) as f32,
    };
    Some((value, parts.length))
}

/// [`parse_f32`] for what nearly all numbers look like, digits with a point, without a branch that depends on how
/// many digits there are. `None` for anything else, or where two `f32` are about as near.
#[inline]
fn plain_f32(text: &[u8]) -> Option<(f32, usize)> {
    let text: &[u8; 40] = text.first_chunk()?;
    let start = usize::from(text[0] == b'-');
    let sign = if text[0] == b'-' { -1.0 } else { 1.0 };
    // Most numbers have one digit before the point.
    let digit = text[start].wrapping_sub(b'0');
    let (whole, point) = if text[start + 1] == b'.' && digit < 10 {
        (f64::from(digit), start + 1)
    } else {
        let word = word(text, start);
        let whole_digits = count(word);
        let point = start + whole_digits;
        if whole_digits == 0 || whole_digits == 8 || (digit == 0 && whole_digits > 1) {
            return None;
        }
        // Signed, because processors convert those in one step.
        let whole = number(word, whole_digits).cast_signed() as f64;
        if text[point] != b'.' {
            let ends = !matches!(text[point], b'e' | b'E');
            return ends.then_some(((sign * whole) as f32, point));
        }
        (whole, point)
    };
    let from = point + 1;
    let (first, second) = (word(text, from), word(text, from + 8));
    let first_digits = count(first);
    // A mask, not a branch: how many digits there are is as good as random.
    let second_digits = count(second) & 0_usize.wrapping_sub(first_digits / 8);
    let digits = first_digits + second_digits;
    let fraction = number(first, first_digits) * POW10_U64[second_digits] + number(second, second_digits);
    let mut end = from + digits;
    if digits == 16 && text[end].is_ascii_digit() {
        // What is cut off weighs less than 1 in 10^15, if there are no zeros in front.
        if fraction < 1_000_000_000_000_000 {
            return None;
        }
        let more = text[end..].iter().position(|byte| !byte.is_ascii_digit())?;
        end += more;
    }
    if digits == 0 || matches!(text[end], b'e' | b'E') {
        return None;
    }
    // Three roundings and the cut: at most 12 units away from the `f64` nearest to the text.
    let near = sign * (whole + fraction.cast_signed() as f64 * NEGATIVE_POW10[digits]);
    certain(near, 64).then_some((near as f32, end))
}

/// Eight bytes; the first is the lowest.
#[inline]
fn word(text: &[u8; 40], at: usize) -> u64 {
    let bytes = text.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
    u64::from_le_bytes(bytes.unwrap_or_default())
}

/// How many bytes from the first on are digits. A byte that is none may disturb those after it, never those before.
#[inline]
fn count(word: u64) -> usize {
    let other = word.wrapping_sub(0x3030_3030_3030_3030) | word.wrapping_add(0x4646_4646_4646_4646);
    // One bit per byte, and one behind them all: without it, "none" would be a branch on older processors.
    let marks = ((other >> 7) & 0x0101_0101_0101_0101) | 1 << 63;
    (marks.trailing_zeros() as usize).div_ceil(8)
}

/// The first `digits` bytes, all of them digits, as a number.
#[inline]
fn number(word: u64, digits: usize) -> u64 {
    // In two steps, since a shift by all 64 bits is none. What comes in from below are leading zeros.
    let half = 32 - 4 * digits;
    combine(((word ^ 0x3030_3030_3030_3030) << half) << half)
}

/// Mantissa times power of ten with at most 1.5 units of error.
#[inline]
fn guess(parts: &Parts) -> Option<f64> {
    if !parts.exact {
        return None;
    }
    let mantissa = parts.mantissa as f64;
    let value = if parts.exponent == 0 {
        mantissa
    } else {
        let power = *POW10.get(parts.exponent.unsigned_abs() as usize)?;
        if parts.exponent < 0 { mantissa / power } else { mantissa * power }
    };
    Some(if parts.negative { -value } else { value })
}

#[inline]
fn certain(value: f64, margin: u64) -> bool {
    const DISCARDED: u64 = (1 << 29) - 1;
    const MIDDLE: u64 = 1 << 28;
    let bits = value.to_bits();
    let exponent = (bits >> 52) & 0x7ff;
    // Normal f32 numbers that cannot round up to infinity; zero is exact.
    let normal = exponent > 1023 - 126 && exponent < 1023 + 127;
    (normal && (bits & DISCARDED).abs_diff(MIDDLE) > margin) || bits << 1 == 0
}

#[inline]
fn to_f64(parts: &Parts, literal: &[u8]) -> f64 {
    if parts.exact
        && parts.mantissa < 1 << 53
        && let Some(value) = guess(parts)
    {
        return value;
    }
    // The literal was checked byte by byte; it is ASCII and what Rust's parser takes.
    std::str::from_utf8(literal).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

/// Eight ASCII digits at once (D. Lemire, "Quickly parsing eight digits", 2018).
#[inline]
fn eight_digits(text: &[u8], at: usize) -> Option<u64> {
    let chunk: [u8; 8] = text.get(at..at + 8)?.try_into().ok()?;
    let word = u64::from_le_bytes(chunk);
    let low = word.wrapping_sub(0x3030_3030_3030_3030);
    let high = word.wrapping_add(0x4646_4646_4646_4646);
    if (low | high) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    Some(combine(low))
}

/// Eight decimal digits, one per byte and the first in the lowest, as a number.
#[inline]
fn combine(digits: u64) -> u64 {
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let left = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let right = ((pairs >> 16) & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    left.wrapping_add(right) >> 32
}

/// Appends digits from `at` to the mantissa; returns where they end and whether all fitted.
#[inline]
fn digits(text: &[u8], mut at: usize, mantissa: &mut u64) -> (usize, bool) {
    let start = at;
    let mut fits = true;
    while *mantissa < 100_000_000_000 {
        let Some(eight) = eight_digits(text, at) else { break };
        *mantissa = *mantissa * 100_000_000 + eight;
        at += 8;
    }
    while let Some(digit) = text.get(at).map(|b| b.wrapping_sub(b'0')).filter(|d| *d < 10) {
        match mantissa.checked_mul(10).and_then(|m| m.checked_add(u64::from(digit))) {
            Some(more) if fits => *mantissa = more,
            _ => fits = false,
        }
        at += 1;
    }
    debug_assert!(at >= start);
    (at, fits)
}

/// Splits a literal by JSON's grammar; `None` where none starts.
#[inline]
fn split(text: &[u8]) -> Option<Parts> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut mantissa = 0;
    let (mut at, mut exact) = digits(text, start, &mut mantissa);
    // At least one digit, and no leading zero before another.
    if at == start || (text[start] == b'0' && at > start + 1) {
        return None;
    }
    let mut exponent = 0;
    let mut integer = true;
    if text.get(at) == Some(&b'.') {
        integer = false;
        let fraction = at + 1;
        let (end, fits) = digits(text, fraction, &mut mantissa);
        if end == fraction {
            return None;
        }
        exact &= fits;
        exponent = -i32::try_from(end - fraction).unwrap_or_else(|_| {
            exact = false;
            0
        });
        at = end;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        integer = false;
        let sign = text.get(at + 1);
        let from = at + 1 + usize::from(matches!(sign, Some(b'+' | b'-')));
        let mut power = 0;
        let (end, fits) = digits(text, from, &mut power);
        if end == from {
            return None;
        }
        match i32::try_from(power) {
            Ok(power) if fits && power < 10_000 && exponent > -10_000 => {
                exponent += if sign == Some(&b'-') { -power } else { power };
            }
            _ => exact = false,
        }
        at = end;
    }
    Some(Parts { mantissa, exponent, negative, integer, exact, length: at })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str) {
        let wide: f64 = text.parse().unwrap();
        let (got, length) = parse_f64(text.as_bytes()).unwrap();
        assert_eq!((got.to_bits(), length), (wide.to_bits(), text.len()), "{text} as f64");
        // At the end of a document, and within one, where whole words can be loaded.
        for after in ["", ", 0.5, 9999999999999999999999999999999999999999"] {
            let (got, length) = parse_f32(format!("{text}{after}").as_bytes()).unwrap();
            assert_eq!((got.to_bits(), length), ((wide as f32).to_bits(), text.len()), "{text} as f32");
        }
    }

    #[test]
    fn hard_cases() {
        for text in [
            "0",
            "-0",
            "-0.0",
            "0.1",
            "0.10000000149011612",
            "3.4028234663852886e+38",
            "3.4028235677973366e+38",
            "1e999",
            "-1e999",
            "1e-999",
            "1.401298464324817e-45",
            "7.006492321624085e-46",
            "1.1754943508222875e-38",
            "16777217",
            "16777217.0000001",
            "9007199254740993",
            "18446744073709551615",
            "18446744073709551616",
            "123456789012345678901234567890",
            "0.000000000000000000000000000000123456789012345678901",
            "2.2250738585072014e-308",
            "4.9e-324",
            "8.589973e9",
            "0.5000000298023224",
            "1e00000000000000000001",
            "1e22",
            "1e23",
            "179769313486231580793e289",
            "33554433.0",
            "0.00000000000000000000000000000000000000000000001e47",
            "-1234567.12345678",
            "12345678.5",
            "0.1234567890123456",
            "0.12345678901234567890123456789",
            "0.00000000000000012345",
            "16777217.00000000000000000000001",
            "8388608.5000000000000001",
            "1.00000005960464477539062500001",
        ] {
            check(text);
        }
    }

    #[test]
    fn integers_stay_exact() {
        let number = |text: &str| scan(text.as_bytes()).unwrap().0;
        assert_eq!(number("18446744073709551615"), Number::Unsigned(u64::MAX));
        assert_eq!(number("-9223372036854775808"), Number::Negative(i64::MIN));
        assert!(matches!(number("18446744073709551616"), Number::Float { literal: true, .. }));
        assert!(matches!(number("-0"), Number::Float { value, .. } if value.is_sign_negative()));
    }

    proptest! {
        #[test]
        fn any_f32_printed_as_f64(bits in any::<u32>()) {
            let value = f32::from_bits(bits);
            prop_assume!(value.is_finite());
            check(&format!("{:?}", f64::from(value)));
            check(&format!("{value:?}"));
        }

        #[test]
        fn any_f64(bits in any::<u64>()) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            check(&format!("{value:?}"));
            check(&format!("{value:e}"));
        }

        #[test]
        fn any_plain_number(text in "-?(0|[1-9][0-9]{0,8})(\\.[0-9]{1,20})?") {
            check(&text);
        }

        #[test]
        fn any_literal(text in "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?") {
            check(&text);
        }
    }
}
