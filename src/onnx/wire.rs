//! Protobuf wire format: a reader that only borrows, and the few lines of writer that rewriting needs.
//!
//! Nothing here allocates by a claimed size: a length is checked against the bytes that are there.

use std::ops::Range;

/// Where and why bytes are not protobuf.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub(super) struct WireError {
    pub(super) what: &'static str,
    pub(super) at: usize,
}

/// A message inside the whole file; positions are absolute, so that ranges stay meaningful outside.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    whole: &'a [u8],
    at: usize,
    end: usize,
}

/// One field: its number, its payload, and the bytes it occupies with its tag.
#[derive(Debug)]
pub(super) struct Field<'a> {
    pub(super) number: u64,
    pub(super) value: Value<'a>,
    pub(super) span: Range<usize>,
}

/// A payload by wire type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(Message<'a>),
    Fixed32(u32),
}

/// How the elements of a repeated scalar are encoded; they come packed or one field each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Varint,
    Fixed32,
    Fixed64,
}

impl<'a> Message<'a> {
    pub(super) const fn new(whole: &'a [u8]) -> Self {
        Self { whole, at: 0, end: whole.len() }
    }

    /// The part of the file that this message is.
    pub(super) const fn range(self) -> Range<usize> {
        self.at..self.end
    }

    pub(super) fn bytes(self) -> &'a [u8] {
        &self.whole[self.at..self.end]
    }

    /// The next field, or `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Field<'a>>, WireError> {
        if self.at == self.end {
            return Ok(None);
        }
        let start = self.at;
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || tag > u64::from(u32::MAX) {
            return Err(WireError { what: "impossible field number", at: start });
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let len = self.varint()?;
                let len = usize::try_from(len).ok().filter(|len| *len <= self.end - self.at);
                let Some(len) = len else {
                    return Err(WireError { what: "field longer than what holds it", at: start });
                };
                let inner = Self { end: self.at + len, ..*self };
                self.at += len;
                Value::Bytes(inner)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            // Groups are long out of use; ONNX has none.
            _ => {
                return Err(WireError { what: "unsupported wire type", at: start });
            }
        };
        Ok(Some(Field { number, value, span: start..self.at }))
    }

    pub(super) fn varint(&mut self) -> Result<u64, WireError> {
        let start = self.at;
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let Some(&byte) = self.whole[..self.end].get(self.at) else {
                return Err(WireError { what: "truncated number", at: start });
            };
            self.at += 1;
            // The tenth byte may hold one bit only.
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError { what: "number too long", at: start })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let chunk = self.whole[self.at..self.end].first_chunk::<N>();
        let Some(chunk) = chunk else {
            return Err(WireError { what: "truncated number", at: self.at });
        };
        self.at += N;
        Ok(*chunk)
    }
}

impl<'a> Field<'a> {
    fn mismatch(&self) -> WireError {
        WireError { what: "field of another type than ONNX declares", at: self.span.start }
    }

    /// The payload as a message or bytes.
    pub(super) fn message(&self) -> Result<Message<'a>, WireError> {
        match self.value {
            Value::Bytes(message) => Ok(message),
            _ => Err(self.mismatch()),
        }
    }

    pub(super) fn text(&self) -> Result<&'a str, WireError> {
        let bytes = self.message()?.bytes();
        std::str::from_utf8(bytes)
            .map_err(|_| WireError { what: "text that is not UTF-8", at: self.span.start })
    }

    /// A varint in its two's complement meaning.
    #[expect(clippy::cast_possible_wrap, reason = "int64 fields are two's complement in a varint")]
    pub(super) fn int(&self) -> Result<i64, WireError> {
        match self.value {
            Value::Varint(value) => Ok(value as i64),
            _ => Err(self.mismatch()),
        }
    }

    pub(super) fn float(&self) -> Result<f32, WireError> {
        match self.value {
            Value::Fixed32(bits) => Ok(f32::from_bits(bits)),
            _ => Err(self.mismatch()),
        }
    }

    /// Calls `each` with every element of a repeated scalar as raw bits.
    pub(super) fn scalars(&self, kind: Scalar, mut each: impl FnMut(u64)) -> Result<(), WireError> {
        match (self.value, kind) {
            (Value::Varint(bits) | Value::Fixed64(bits), _) if self.single(kind) => each(bits),
            (Value::Fixed32(bits), Scalar::Fixed32) => each(u64::from(bits)),
            (Value::Bytes(mut packed), _) => {
                while packed.at < packed.end {
                    each(match kind {
                        Scalar::Varint => packed.varint()?,
                        Scalar::Fixed32 => u64::from(u32::from_le_bytes(packed.array()?)),
                        Scalar::Fixed64 => u64::from_le_bytes(packed.array()?),
                    });
                }
            }
            _ => return Err(self.mismatch()),
        }
        Ok(())
    }

    const fn single(&self, kind: Scalar) -> bool {
        matches!(
            (self.value, kind),
            (Value::Varint(_), Scalar::Varint) | (Value::Fixed64(_), Scalar::Fixed64)
        )
    }
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a field of bytes: text, a packed list or a message.
pub(super) fn put_bytes(out: &mut Vec<u8>, number: u64, bytes: &[u8]) {
    put_varint(out, number << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends an integer field.
pub(super) fn put_int(out: &mut Vec<u8>, number: u64, value: i64) {
    put_varint(out, number << 3);
    put_varint(out, value.cast_unsigned());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<usize, WireError> {
        let mut message = Message::new(bytes);
        let mut count = 0;
        while message.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        put_int(&mut out, 1, -1);
        put_bytes(&mut out, 2, b"abc");
        let mut message = Message::new(&out);
        assert_eq!(message.next().unwrap().unwrap().int(), Ok(-1));
        let field = message.next().unwrap().unwrap();
        assert_eq!((field.number, field.text()), (2, Ok("abc")));
        assert_eq!(&out[field.message().unwrap().range()], b"abc");
        assert!(message.next().unwrap().is_none());
    }

    #[test]
    fn lists_come_packed_or_one_by_one() {
        for bytes in [&[0x0a, 3, 1, 0x80, 1][..], &[0x08, 1, 0x08, 0x80, 1]] {
            let mut message = Message::new(bytes);
            let mut list = Vec::new();
            while let Some(field) = message.next().unwrap() {
                field.scalars(Scalar::Varint, |bits| list.push(bits)).unwrap();
            }
            assert_eq!(list, [1, 128]);
        }
    }

    #[test]
    fn broken_bytes_are_errors() {
        for bytes in [
            &[0x08][..],
            &[0x80],
            &[0x00, 0x00],
            &[0x0a, 5, 1],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
            &[0x0d, 1, 2, 3],
            &[0x09, 1, 2, 3, 4, 5, 6, 7],
            &[0x0b],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            &[0xff; 32],
        ] {
            assert!(fields(bytes).is_err(), "{bytes:?}");
        }
    }
}
