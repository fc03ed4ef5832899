//! Printing JSON values into a byte buffer.

/// Appends the shortest text that reads back as the same `f32`; `null` when it is not finite and `tokens`
/// is false, else `NaN`, `Infinity` or `-Infinity`.
#[inline]
pub fn push_f32(out: &mut Vec<u8>, value: f32, tokens: bool) {
    if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else {
        push_non_finite(out, f64::from(value), tokens);
    }
}

/// As [`push_f32`] for `f64`.
#[inline]
pub fn push_f64(out: &mut Vec<u8>, value: f64, tokens: bool) {
    if value.is_finite() {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else {
        push_non_finite(out, value, tokens);
    }
}

#[cold]
fn push_non_finite(out: &mut Vec<u8>, value: f64, tokens: bool) {
    let text: &[u8] = match (tokens, value) {
        (false, _) => b"null",
        (true, v) if v.is_nan() => b"NaN",
        (true, v) if v > 0.0 => b"Infinity",
        (true, _) => b"-Infinity",
    };
    out.extend_from_slice(text);
}

/// Appends an unsigned integer.
#[inline]
pub fn push_u64(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a signed integer.
#[inline]
pub fn push_i64(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    push_u64(out, value.unsigned_abs());
}

/// Appends a quoted string; bytes that are not UTF-8 become U+FFFD, since JSON cannot carry them.
pub fn push_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        push_escaped(out, chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

fn push_escaped(out: &mut Vec<u8>, mut text: &[u8]) {
    while let Some(plain) = text.iter().position(|&b| b == b'"' || b == b'\\' || b < b' ') {
        out.extend_from_slice(&text[..plain]);
        match text[plain] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(control >> 4)]);
                out.push(HEX[usize::from(control & 15)]);
            }
        }
        text = &text[plain + 1..];
    }
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn printed(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn non_finite_values_are_null_unless_asked_for() {
        assert_eq!(printed(|o| push_f32(o, f32::NAN, false)), "null");
        assert_eq!(printed(|o| push_f32(o, f32::NEG_INFINITY, true)), "-Infinity");
        assert_eq!(printed(|o| push_f64(o, f64::NAN, true)), "NaN");
    }

    #[test]
    fn integers_of_every_size() {
        for value in [0, 1, -1, 10, i64::MAX, i64::MIN] {
            assert_eq!(printed(|o| push_i64(o, value)), value.to_string());
        }
        assert_eq!(printed(|o| push_u64(o, u64::MAX)), u64::MAX.to_string());
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(text in any::<String>(), narrow in any::<f32>(), wide in any::<f64>()) {
            let string: String = serde_json::from_str(&printed(|o| push_string(o, text.as_bytes()))).unwrap();
            prop_assert_eq!(string, text);
            if narrow.is_finite() && wide.is_finite() {
                prop_assert_eq!(printed(|o| push_f32(o, narrow, false)).parse::<f32>().unwrap(), narrow);
                prop_assert_eq!(printed(|o| push_f64(o, wide, false)).parse::<f64>().unwrap(), wide);
            }
        }
    }
}
