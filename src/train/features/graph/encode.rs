//! Categories in the graph. LabelEncoder finds a category's place in one step; CategoryMapper, which gives integers
//! alone, would need three more. (tract knows only that one, but takes no texts in sidegate.)

use sidegate::onnx::write::{self, Message, Value};
use sidegate::tensor::{Data, Tensor};

use super::{FLOAT, Graph, INT64, MISSING};
use crate::features::error::{Error, model};
use crate::features::raw::Kind;
use crate::features::recipe::{Input, Keys};

/// What LabelEncoder is to look up.
struct Lookup {
    value: Value,
    keys: Message,
    /// The place of each key; none for the key that is missing.
    places: Vec<Option<usize>>,
}

impl Graph<'_> {
    pub(super) fn code(
        &mut self,
        of: &str,
        keys: &Keys,
        other: Option<f32>,
        missing: Option<usize>,
    ) -> Result<Value, Error> {
        let input = self.input(of)?;
        let Lookup { value, keys, places } = self.lookup(input, keys, missing)?;
        let code = |place: &Option<usize>| place.map_or(f32::NAN, |place| place as f32);
        let attributes = vec![
            keys,
            write::floats("values_floats", &places.iter().map(code).collect::<Vec<_>>()),
            write::float("default_float", other.unwrap_or(f32::NAN)),
        ];
        let code = self.builder.node("ml.LabelEncoder", &[&value], attributes);
        // No key can be NaN.
        if input.kind != Kind::Number || missing.is_some() || other.is_none() {
            return Ok(code);
        }
        let Some(absent) = self.is_missing(input)? else { return Ok(code) };
        let nan = self.builder.scalar(Data::Fp32(vec![f32::NAN]));
        Ok(self.builder.node("Where", &[&absent, &nan, &code], vec![]))
    }

    pub(super) fn one_hot(&mut self, of: &str, keys: &Keys, missing: Option<usize>) -> Result<Value, Error> {
        let input = self.input(of)?;
        let (value, wanted) = match keys {
            Keys::Texts(_) => {
                let Lookup { value, keys, places } = self.lookup(input, keys, missing)?;
                let number = |place: &Option<usize>| place.map_or(-1, |place| place as i64);
                let attributes = vec![
                    keys,
                    write::ints("values_int64s", &places.iter().map(number).collect::<Vec<_>>()),
                    write::int("default_int64", -1),
                ];
                let place = self.builder.node("ml.LabelEncoder", &[&value], attributes);
                let most = places.iter().flatten().max().map_or(0, |most| *most as i64 + 1);
                (place, Data::Int64((0..most).collect()))
            }
            Keys::Integers(keys) => {
                let value = self.whole(input, key(keys, missing)?.unwrap_or(MISSING))?;
                (value, Data::Int64(keys.clone()))
            }
            Keys::Numbers(keys) => (self.filled(input, key(keys, missing)?)?, Data::Fp32(keys.clone())),
        };
        let wanted = self.builder.constant(&Tensor::new(&[1, wanted.len()], wanted));
        let equal = self.builder.node("Equal", &[&value, &wanted], vec![]);
        Ok(self.cast(&equal, FLOAT))
    }

    fn lookup(&mut self, input: &Input, keys: &Keys, missing: Option<usize>) -> Result<Lookup, Error> {
        let mut places: Vec<Option<usize>> = (0..keys.len()).map(Some).collect();
        let (value, keys) = match keys {
            Keys::Texts(keys) => {
                let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                if !keys.contains(&"") {
                    keys.push("");
                    places.push(missing);
                }
                (self.raw(input)?, write::texts("keys_strings", &keys))
            }
            Keys::Integers(keys) => {
                let mut keys = keys.clone();
                if input.nullable {
                    keys.push(MISSING);
                    places.push(missing);
                }
                (self.whole(input, MISSING)?, write::ints("keys_int64s", &keys))
            }
            Keys::Numbers(keys) => {
                (self.filled(input, key(keys, missing)?)?, write::floats("keys_floats", keys))
            }
        };
        Ok(Lookup { value, keys, places })
    }

    /// A number with another one where it is missing, if one is given.
    fn filled(&mut self, input: &Input, fill: Option<f32>) -> Result<Value, Error> {
        let raw = self.raw(input)?;
        let (Some(fill), Some(missing)) = (fill, self.is_missing(input)?) else { return Ok(raw) };
        let fill = self.builder.scalar(Data::Fp32(vec![fill]));
        Ok(self.builder.node("Where", &[&missing, &fill, &raw], vec![]))
    }

    /// A whole number as int64; `missing` where it is missing, which float64 must hold.
    pub(super) fn whole(&mut self, input: &Input, missing: i64) -> Result<Value, Error> {
        let raw = self.raw(input)?;
        let Some(absent) = self.is_missing(input)? else { return Ok(raw) };
        let fill = self.builder.scalar(Data::Fp64(vec![missing as f64]));
        // Before the cast: what it makes of NaN differs from processor to processor.
        let whole = self.builder.node("Where", &[&absent, &fill, &raw], vec![]);
        Ok(self.cast(&whole, INT64))
    }
}

fn key<K: Copy>(keys: &[K], place: Option<usize>) -> Result<Option<K>, Error> {
    let find =
        |place: usize| keys.get(place).copied().ok_or_else(|| model!("the recipe has no category {place}"));
    place.map(find).transpose()
}
