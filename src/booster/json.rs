//! XGBoost's JSON as a document to read once; its numbers are float32, written so that they read back the same.

use super::broken;
use super::xgboost::Document;
use crate::json::{self, Kind, Number};
use crate::model::LoadError;

/// A cursor over a JSON file.
pub(super) struct Reader<'a>(json::Reader<'a>);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(json::Reader::new(bytes))
    }

    /// Calls `element` before each element of the array that follows.
    fn each(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), LoadError>) -> Result<(), LoadError> {
        self.0.begin_array()?;
        let mut first = true;
        while self.0.element(std::mem::take(&mut first))? {
            element(self)?;
        }
        Ok(())
    }
}

impl Document for Reader<'_> {
    fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), LoadError>,
    ) -> Result<(), LoadError> {
        self.0.begin_object()?;
        let (mut first, mut key) = (true, Vec::new());
        while self.0.key(std::mem::take(&mut first), &mut key)? {
            member(self, std::str::from_utf8(&key).unwrap_or_default())?;
        }
        Ok(())
    }

    fn array(&mut self, element: impl FnMut(&mut Self) -> Result<(), LoadError>) -> Result<(), LoadError> {
        self.each(element)
    }

    fn string(&mut self) -> Result<String, LoadError> {
        let mut text = Vec::new();
        self.0.string(&mut text)?;
        Ok(String::from_utf8(text).unwrap_or_default())
    }

    fn integer(&mut self) -> Result<i64, LoadError> {
        if self.0.kind()? == Kind::Bool {
            return Ok(self.0.bool()?.into());
        }
        match self.0.number()? {
            Number::Unsigned(number) => i64::try_from(number).ok(),
            Number::Negative(number) => Some(number),
            Number::Float { .. } => None,
        }
        .ok_or_else(|| self.0.error("expected an integer").into())
    }

    fn integers(&mut self, out: &mut Vec<i64>) -> Result<(), LoadError> {
        out.clear();
        self.each(|reader| {
            out.push(reader.integer()?);
            Ok(())
        })
    }

    fn floats(&mut self, out: &mut Vec<f32>) -> Result<(), LoadError> {
        out.clear();
        self.each(|reader| {
            if reader.0.kind()? != Kind::Number {
                return Err(reader.0.error("expected a number").into());
            }
            // Straight from the text: by way of a float64 a number could be rounded twice.
            let text = std::str::from_utf8(reader.0.skip()?).unwrap_or_default();
            out.push(text.parse().map_err(|_| LoadError::from(reader.0.error("expected a number")))?);
            Ok(())
        })
    }

    fn skip(&mut self) -> Result<(), LoadError> {
        // Most of a file is lists that no prediction needs.
        if !self.0.skip_numbers() {
            self.0.skip()?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), LoadError> {
        Ok(self.0.end()?)
    }
}

impl From<json::Error> for LoadError {
    fn from(error: json::Error) -> Self {
        broken(format!("not a JSON model of XGBoost: {error}"))
    }
}
