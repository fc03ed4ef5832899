//! UBJSON (draft 12) as XGBoost writes it: a type's letter, then big-endian numbers; lists of one type are packed.

use super::broken;
use super::xgboost::Document;
use crate::model::LoadError;

/// XGBoost nests some ten levels.
const MAX_DEPTH: u32 = 32;

/// A cursor over a UBJSON file.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    depth: u32,
}

/// A list whose elements follow.
enum List {
    /// Packed numbers of one type, whose bytes are known to be there.
    Packed { of: u8, count: usize },
    /// Values, so many or up to `]`.
    Values(Option<usize>),
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, depth: 0 }
    }

    fn error(&self, what: &str) -> LoadError {
        broken(format!("not a UBJSON model of XGBoost: {what} at byte {}", self.position))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], LoadError> {
        let rest = &self.bytes[self.position..];
        let Some(taken) = rest.get(..count) else { return Err(self.error("the file ends too early")) };
        self.position += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, LoadError> {
        Ok(self.take(1)?[0])
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], LoadError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// An integer of a type whose letter was read.
    fn integer_of(&mut self, letter: u8) -> Result<i64, LoadError> {
        Ok(match letter {
            b'i' => i8::from_be_bytes(self.array()?).into(),
            b'U' => self.byte()?.into(),
            b'I' => i16::from_be_bytes(self.array()?).into(),
            b'l' => i32::from_be_bytes(self.array()?).into(),
            b'L' => i64::from_be_bytes(self.array()?),
            b'T' => 1,
            b'F' => 0,
            _ => return Err(self.error("expected an integer")),
        })
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "XGBoost's numbers are float32"
    )]
    fn float_of(&mut self, letter: u8) -> Result<f32, LoadError> {
        Ok(match letter {
            b'd' => f32::from_be_bytes(self.array()?),
            b'D' => f64::from_be_bytes(self.array()?) as f32,
            _ => self.integer_of(letter)? as f32,
        })
    }

    /// A count of what takes at least `size` bytes each: no more than the file holds.
    fn count(&mut self, size: usize) -> Result<usize, LoadError> {
        let letter = self.byte()?;
        let count = self.integer_of(letter)?;
        let left = self.bytes.len() - self.position;
        match usize::try_from(count) {
            Ok(count) if count.checked_mul(size).is_some_and(|bytes| bytes <= left) => Ok(count),
            _ => Err(self.error("a length is beyond the end of the file")),
        }
    }

    fn text(&mut self) -> Result<&'a str, LoadError> {
        let length = self.count(1)?;
        std::str::from_utf8(self.take(length)?).map_err(|_| self.error("invalid UTF-8"))
    }

    fn descend(&mut self) -> Result<(), LoadError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(self.error("nested too deep")) } else { Ok(()) }
    }

    fn expect(&mut self, letter: u8, what: &str) -> Result<(), LoadError> {
        if self.peek() == Some(letter) {
            self.position += 1;
            Ok(())
        } else {
            Err(self.error(what))
        }
    }

    /// The head of a list, behind its `[`.
    fn list(&mut self) -> Result<List, LoadError> {
        match self.peek() {
            Some(b'$') => {
                self.position += 1;
                let of = self.byte()?;
                let Some(size) = size(of) else { return Err(self.error("a list of an unknown type")) };
                self.expect(b'#', "expected a length")?;
                Ok(List::Packed { of, count: self.count(size)? })
            }
            Some(b'#') => {
                self.position += 1;
                Ok(List::Values(Some(self.count(1)?)))
            }
            _ => Ok(List::Values(None)),
        }
    }

    /// Calls `element` before each value of a list that is not packed.
    fn values(
        &mut self,
        count: Option<usize>,
        mut element: impl FnMut(&mut Self) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        self.descend()?;
        match count {
            Some(count) => (0..count).try_for_each(|_| element(self))?,
            None => {
                while self.peek() != Some(b']') {
                    element(self)?;
                }
                self.position += 1;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads a list of numbers, packed or not, with what reads one of a type.
    fn numbers<T>(
        &mut self,
        out: &mut Vec<T>,
        read: impl Fn(&mut Self, u8) -> Result<T, LoadError>,
    ) -> Result<(), LoadError> {
        out.clear();
        self.expect(b'[', "expected a list")?;
        match self.list()? {
            List::Packed { of, count } => {
                out.reserve(count);
                for _ in 0..count {
                    out.push(read(self, of)?);
                }
                Ok(())
            }
            List::Values(count) => self.values(count, |reader| {
                let letter = reader.byte()?;
                out.push(read(reader, letter)?);
                Ok(())
            }),
        }
    }

    fn skip_value(&mut self) -> Result<(), LoadError> {
        match self.byte()? {
            b'Z' | b'T' | b'F' => Ok(()),
            b'S' => self.text().map(drop),
            b'{' => {
                self.position -= 1;
                self.object(|reader, _| reader.skip_value())
            }
            b'[' => match self.list()? {
                List::Packed { of, count } => self.take(count * size(of).unwrap_or(0)).map(drop),
                List::Values(count) => self.values(count, Self::skip_value),
            },
            letter => match size(letter) {
                Some(size) => self.take(size).map(drop),
                None => Err(self.error("an unknown type")),
            },
        }
    }
}

/// Bytes of a number of that type.
const fn size(letter: u8) -> Option<usize> {
    match letter {
        b'i' | b'U' | b'C' => Some(1),
        b'I' => Some(2),
        b'l' | b'd' => Some(4),
        b'L' | b'D' => Some(8),
        _ => None,
    }
}

impl Document for Reader<'_> {
    fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        self.expect(b'{', "expected an object")?;
        self.descend()?;
        while self.peek() != Some(b'}') {
            let key = self.text()?;
            member(self, key)?;
        }
        self.position += 1;
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self, element: impl FnMut(&mut Self) -> Result<(), LoadError>) -> Result<(), LoadError> {
        self.expect(b'[', "expected a list")?;
        match self.list()? {
            List::Values(count) => self.values(count, element),
            // Nothing that is read element by element is packed, unless it is empty.
            List::Packed { count: 0, .. } => Ok(()),
            List::Packed { .. } => Err(self.error("unexpected numbers")),
        }
    }

    fn string(&mut self) -> Result<String, LoadError> {
        self.expect(b'S', "expected a text")?;
        Ok(self.text()?.to_owned())
    }

    fn integer(&mut self) -> Result<i64, LoadError> {
        let letter = self.byte()?;
        self.integer_of(letter)
    }

    fn integers(&mut self, out: &mut Vec<i64>) -> Result<(), LoadError> {
        self.numbers(out, Self::integer_of)
    }

    fn floats(&mut self, out: &mut Vec<f32>) -> Result<(), LoadError> {
        self.numbers(out, Self::float_of)
    }

    fn skip(&mut self) -> Result<(), LoadError> {
        self.skip_value()
    }

    fn end(&mut self) -> Result<(), LoadError> {
        if self.position == self.bytes.len() {
            Ok(())
        } else {
            Err(self.error("unexpected bytes after the model"))
        }
    }
}
