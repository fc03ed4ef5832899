//! Columns as an input has them: side by side, row after row.

use sidegate::tensor::{Data, Strings};

use crate::features::RawColumn;

/// The place of a column, and what is wrong with it.
type Fault = (usize, &'static str);

/// A value that the input has no way to hold.
const UNFIT: &str = "holds a value that the input's type does not, or lacks one, which it cannot";
const NUMBERS: &str = "is text, and the input takes numbers";
const TEXTS: &str = "is no text, and the input takes texts";

/// Writes the rows of some columns.
pub(super) fn fill(columns: &[&RawColumn], rows: usize, to: &mut Data) -> Result<(), Fault> {
    to.clear();
    macro_rules! whole {
        ($out:expr, $type:ty) => {
            spread(
                columns,
                rows,
                $out,
                |value| integer(value).and_then(|value| <$type>::try_from(value).ok()),
                |value| value.and_then(|value| <$type>::try_from(value).ok()),
            )
        };
    }
    match to {
        Data::Fp32(out) => {
            spread(columns, rows, out, Some, |value| Some(value.map_or(f32::NAN, |value| value as f32)))
        }
        Data::Fp64(out) => {
            let wide = |value: f32| Some(f64::from(value));
            spread(columns, rows, out, wide, |value| Some(value.map_or(f64::NAN, |value| value as f64)))
        }
        Data::Int64(out) => spread(columns, rows, out, integer, |value| value),
        Data::Int32(out) => whole!(out, i32),
        Data::Int16(out) => whole!(out, i16),
        Data::Int8(out) => whole!(out, i8),
        Data::Uint64(out) => whole!(out, u64),
        Data::Uint32(out) => whole!(out, u32),
        Data::Uint16(out) => whole!(out, u16),
        Data::Uint8(out) => whole!(out, u8),
        Data::Bool(out) => {
            let truth = |value: Option<i64>| match value {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            };
            spread(columns, rows, out, |value| truth(integer(value)), truth)
        }
        Data::Bytes(out) => texts(columns, rows, out),
        Data::Fp16(_) | Data::Bf16(_) => {
            Err((0, "goes into an input of half precision, which is not filled"))
        }
    }
}

fn spread<T: Copy + Default>(
    columns: &[&RawColumn],
    rows: usize,
    out: &mut Vec<T>,
    of_number: impl Fn(f32) -> Option<T>,
    of_whole: impl Fn(Option<i64>) -> Option<T>,
) -> Result<(), Fault> {
    let width = columns.len();
    out.resize(rows * width, T::default());
    for (at, column) in columns.iter().enumerate() {
        let cells = out.iter_mut().skip(at).step_by(width);
        match column {
            RawColumn::Numbers(values) => {
                for (cell, value) in cells.zip(values) {
                    *cell = of_number(*value).ok_or((at, UNFIT))?;
                }
            }
            RawColumn::Integers(whole) | RawColumn::Times(whole) => {
                for (cell, value) in cells.zip(whole.iter()) {
                    *cell = of_whole(value).ok_or((at, UNFIT))?;
                }
            }
            RawColumn::Texts(_) => return Err((at, NUMBERS)),
        }
    }
    Ok(())
}

fn texts(columns: &[&RawColumn], rows: usize, out: &mut Strings) -> Result<(), Fault> {
    for row in 0..rows {
        for (at, column) in columns.iter().enumerate() {
            match column {
                RawColumn::Texts(texts) => out.push(texts.get(row).unwrap_or_default()),
                _ => return Err((at, TEXTS)),
            }
        }
    }
    Ok(())
}

/// A number that is whole, as one.
fn integer(value: f32) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
    (value.fract() == 0.0 && value.abs() < 9.2e18).then_some(value as i64)
}
