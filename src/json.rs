//! A single-pass JSON reader and writer for the data path.
//!
//! A request is read once, straight into typed buffers: no tree, no copies of what is skipped. It accepts
//! JSON (RFC 8259) plus the bare tokens `NaN`, `Infinity` and `-Infinity`, which Python's `json` module and
//! the Triton clients send. `serde_json` is its oracle in the tests, and does everything that is not hot.

mod number;
mod write;

pub use number::{Number, parse_f32, parse_f64};
pub use write::{push_f32, push_f64, push_i64, push_string, push_u64};

/// Deepest nesting of arrays and objects; beyond it a document is refused, never the stack exhausted.
pub const MAX_DEPTH: u32 = 32;

/// A cursor over a JSON document.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
    depth: u32,
}

/// What a value starts like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `"`
    String,
    /// A digit, `-`, `N` or `I`: a number or one of the three non-finite tokens.
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

/// Where and why a document is not what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {position}")]
pub struct Error {
    /// What was wrong.
    pub message: &'static str,
    /// Offset in the document.
    pub position: usize,
}

/// Result of reading.
pub type Result<T> = std::result::Result<T, Error>;

// === impl Reader ===

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, depth: 0 }
    }

    /// An error at the current position.
    pub const fn error(&self, message: &'static str) -> Error {
        Error { message, position: self.position }
    }

    /// Offset of the next byte.
    pub const fn position(&self) -> usize {
        self.position
    }

    #[inline]
    fn next_token(&mut self) -> Option<u8> {
        while let Some(&b) = self.bytes.get(self.position) {
            if b > b' ' {
                return Some(b);
            }
            if !matches!(b, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(b);
            }
            self.position += 1;
        }
        None
    }

    /// What the next value is, without consuming it.
    ///
    /// # Errors
    /// At the end of the document or where no value can start.
    pub fn kind(&mut self) -> Result<Kind> {
        match self.next_token() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9' | b'N' | b'I') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => Err(self.error("expected a JSON value")),
            None => Err(self.error("the JSON document ends too early")),
        }
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.next_token() == Some(byte);
        self.position += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, message: &'static str) -> Result<()> {
        if self.eat(byte) { Ok(()) } else { Err(self.error(message)) }
    }

    fn literal(&mut self, text: &'static [u8]) -> bool {
        let found = self.bytes[self.position..].starts_with(text);
        self.position += if found { text.len() } else { 0 };
        found
    }

    /// Enters an array; follow with [`Reader::element`] until it returns false.
    ///
    /// # Errors
    /// When the next value is no array, or nested too deep.
    #[inline]
    pub fn begin_array(&mut self) -> Result<()> {
        self.expect(b'[', "expected an array")?;
        self.descend()
    }

    /// Whether another element follows; `first` before the first one. Leaves the array when none does.
    ///
    /// # Errors
    /// Where neither a comma nor the end stands.
    #[inline]
    pub fn element(&mut self, first: bool) -> Result<bool> {
        self.more(first, b']', "expected `,` or `]`")
    }

    /// Enters an object; follow with [`Reader::key`] until it returns `None`.
    ///
    /// # Errors
    /// When the next value is no object, or nested too deep.
    #[inline]
    pub fn begin_object(&mut self) -> Result<()> {
        self.expect(b'{', "expected an object")?;
        self.descend()
    }

    /// The next key, decoded, or `None` at the end of the object, which is then left.
    ///
    /// # Errors
    /// Where the object is malformed.
    #[inline]
    pub fn key(&mut self, first: bool, buffer: &'_ mut Vec<u8>) -> Result<bool> {
        if !self.more(first, b'}', "expected `,` or `}`")? {
            return Ok(false);
        }
        buffer.clear();
        self.string(buffer)?;
        self.expect(b':', "expected `:`")?;
        Ok(true)
    }

    fn descend(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(self.error("nested too deep")) } else { Ok(()) }
    }

    #[inline]
    fn more(&mut self, first: bool, end: u8, message: &'static str) -> Result<bool> {
        match self.next_token() {
            Some(b) if b == end => {
                self.position += 1;
                self.depth -= 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.position += 1;
                // `[1,]` must not pass: after a comma a value has to follow.
                if self.next_token() == Some(end) {
                    Err(self.error("expected a value after `,`"))
                } else {
                    Ok(true)
                }
            }
            Some(_) if first => Ok(true),
            _ => Err(self.error(message)),
        }
    }

    /// Reads `true` or `false`.
    ///
    /// # Errors
    /// When the next value is neither.
    pub fn bool(&mut self) -> Result<bool> {
        self.next_token();
        if self.literal(b"true") {
            Ok(true)
        } else if self.literal(b"false") {
            Ok(false)
        } else {
            Err(self.error("expected true or false"))
        }
    }

    /// Reads `null`.
    ///
    /// # Errors
    /// When the next value is something else.
    pub fn null(&mut self) -> Result<()> {
        self.next_token();
        if self.literal(b"null") { Ok(()) } else { Err(self.error("expected null")) }
    }

    /// Reads a number, keeping integers exact.
    ///
    /// # Errors
    /// When the next value is no number.
    #[inline]
    pub fn number(&mut self) -> Result<Number> {
        self.next_token();
        match number::scan(&self.bytes[self.position..]) {
            Some((number, length)) => {
                self.position += length;
                Ok(number)
            }
            None => Err(self.error("expected a number")),
        }
    }

    /// Reads a number as the nearest `f32` of its `f64` value: infinite when it does not fit.
    /// `None` when the next value is no finite number literal; nothing is consumed then.
    #[inline]
    pub fn f32(&mut self) -> Option<f32> {
        self.next_token();
        let (value, length) = parse_f32(&self.bytes[self.position..])?;
        self.position += length;
        Some(value)
    }

    /// Appends the next string, decoded, to `out`. Invalid UTF-8 and lone surrogates are errors.
    ///
    /// # Errors
    /// When the next value is no string or not a valid one.
    pub fn string(&mut self, out: &mut Vec<u8>) -> Result<()> {
        self.expect(b'"', "expected a string")?;
        let mut start = self.position;
        loop {
            let rest = &self.bytes[self.position..];
            let Some(plain) = rest.iter().position(|&b| b == b'"' || b == b'\\' || b < b' ') else {
                return Err(self.error("unterminated string"));
            };
            self.position += plain;
            let run = &self.bytes[start..self.position];
            if !run.is_ascii() && std::str::from_utf8(run).is_err() {
                return Err(Error { message: "invalid UTF-8 in a string", position: start });
            }
            out.extend_from_slice(run);
            match rest[plain] {
                b'"' => {
                    self.position += 1;
                    return Ok(());
                }
                b'\\' => {
                    self.position += 1;
                    self.escape(out)?;
                    start = self.position;
                }
                _ => return Err(self.error("control character in a string")),
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let Some(&code) = self.bytes.get(self.position) else {
            return Err(self.error("unterminated string"));
        };
        self.position += 1;
        let byte = match code {
            b'"' | b'\\' | b'/' => code,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => return self.unicode(out),
            _ => return Err(self.error("unknown escape in a string")),
        };
        out.push(byte);
        Ok(())
    }

    fn unicode(&mut self, out: &mut Vec<u8>) -> Result<()> {
        let mut code = self.hex4()?;
        if (0xd800..0xdc00).contains(&code) {
            if !self.literal(b"\\u") {
                return Err(self.error("lone surrogate in a string"));
            }
            let low = self.hex4()?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err(self.error("lone surrogate in a string"));
            }
            code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        }
        let Some(c) = char::from_u32(code) else {
            return Err(self.error("lone surrogate in a string"));
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn hex4(&mut self) -> Result<u32> {
        let digits = self.bytes.get(self.position..self.position + 4);
        let code =
            digits.and_then(|d| d.iter().try_fold(0, |code, &b| Some(code << 4 | (b as char).to_digit(16)?)));
        self.position += if code.is_some() { 4 } else { 0 };
        code.ok_or_else(|| self.error("`\\u` needs four hexadecimal digits"))
    }

    /// Skips the next value and returns its bytes, checked like everything else.
    ///
    /// # Errors
    /// When it is malformed.
    pub fn skip(&mut self) -> Result<&'a [u8]> {
        self.next_token();
        let start = self.position;
        self.skip_value(&mut Vec::new())?;
        Ok(&self.bytes[start..self.position])
    }

    /// Skips an array of nothing but finite numbers without reading each of them. When the next value is anything
    /// else, it stays there and the answer is false.
    pub fn skip_numbers(&mut self) -> bool {
        if self.next_token() != Some(b'[') {
            return false;
        }
        let rest = &self.bytes[self.position + 1..];
        let Some(end) = memchr::memchr(b']', rest) else { return false };
        let plain = |byte: &u8| {
            byte.is_ascii_digit()
                || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E' | b',' | b' ' | b'\n' | b'\r' | b'\t')
        };
        let found = rest[..end].iter().all(plain);
        self.position += if found { end + 2 } else { 0 };
        found
    }

    fn skip_value(&mut self, buffer: &mut Vec<u8>) -> Result<()> {
        match self.kind()? {
            Kind::Object => {
                self.begin_object()?;
                let mut first = true;
                while self.key(std::mem::take(&mut first), buffer)? {
                    self.skip_value(buffer)?;
                }
                Ok(())
            }
            Kind::Array => {
                self.begin_array()?;
                let mut first = true;
                while self.element(std::mem::take(&mut first))? {
                    self.skip_value(buffer)?;
                }
                Ok(())
            }
            Kind::String => {
                buffer.clear();
                self.string(buffer)
            }
            Kind::Number => self.number().map(drop),
            Kind::Bool => self.bool().map(drop),
            Kind::Null => self.null(),
        }
    }

    /// Makes sure that nothing but white space is left.
    ///
    /// # Errors
    /// When something is.
    pub fn end(&mut self) -> Result<()> {
        match self.next_token() {
            None => Ok(()),
            Some(_) => Err(self.error("unexpected text after the JSON document")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn accepts(text: &[u8]) -> bool {
        let mut reader = Reader::new(text);
        reader.skip().and_then(|_| reader.end()).is_ok()
    }

    #[test]
    fn arrays_of_numbers_are_skipped_at_once() {
        let skipped = |text: &[u8]| {
            let mut reader = Reader::new(text);
            (reader.skip_numbers(), reader.position())
        };
        assert_eq!(skipped(b" [1, -2.5E+3,\n0] 7"), (true, 16));
        assert_eq!(skipped(b"[]"), (true, 2));
        for other in [&b"[1, [2]]"[..], b"[NaN]", b"[\"]\"]", b"[1, 2", b"7", b"{}", b""] {
            assert_eq!(skipped(other), (false, 0));
        }
    }

    #[test]
    fn malformed_documents_are_refused() {
        for bad in [
            "",
            " ",
            "{",
            "[1,]",
            "[,1]",
            "{\"a\":}",
            "{\"a\" 1}",
            "{a:1}",
            "[1 2]",
            "01",
            "1.",
            ".5",
            "-",
            "1e",
            "+1",
            "tru",
            "nul",
            "\"\\x\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"a",
            "\"\n\"",
            "1 1",
            "[1]]",
            "Inf",
            "-Inf",
            "nan",
            "{\"a\":1,}",
            "\u{feff}1",
        ] {
            assert!(!accepts(bad.as_bytes()), "{bad:?}");
        }
        assert!(!accepts(b"\"\xff\""), "invalid UTF-8");
        assert!(!accepts("[".repeat(250_000).as_bytes()), "deep nesting");
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(accepts(deep(32).as_bytes()) && !accepts(deep(33).as_bytes()));
    }

    #[test]
    fn strings_are_decoded() {
        let mut out = Vec::new();
        Reader::new(br#"  "a\u0000\u00e9\ud83d\ude00\n\/\"" "#).string(&mut out).unwrap();
        assert_eq!(out, "a\0é😀\n/\"".as_bytes());
    }

    #[test]
    fn non_finite_tokens_are_numbers() {
        let number = |text: &str| Reader::new(text.as_bytes()).number().unwrap().to_f64();
        assert!(number("NaN").is_nan());
        assert_eq!(number("Infinity"), f64::INFINITY);
        assert_eq!(number("-Infinity"), f64::NEG_INFINITY);
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let serde = serde_json::from_slice::<Value>(&bytes).is_ok();
            prop_assert_eq!(accepts(&bytes), serde);
        }

        #[test]
        fn agrees_with_serde_json_on_json_like_text(text in r#"[\[\]{},:"\\ 0-9eE+.\-a-f\n]{0,24}"#) {
            let serde = serde_json::from_str::<Value>(&text);
            // serde_json refuses numbers beyond f64, which are a matter of the datatype here.
            prop_assume!(!serde.as_ref().is_err_and(|e| e.to_string().contains("out of range")));
            prop_assert_eq!(accepts(text.as_bytes()), serde.is_ok());
        }
    }
}
