//! The two kinds of numbers that trees compare: float32 as a rule, float64 when the input is.
//!
//! They are compared as integers of the same order ([`Real::key`]): that halves the time of a step, and leaves
//! room above and below all numbers for missing values.

use std::ops::{Add, Div};

use crate::native::simd;

/// A floating-point type with what the trees need of it.
pub(super) trait Real:
    Copy
    + PartialOrd
    + Default
    + Add<Output = Self>
    + Div<Output = Self>
    + Send
    + Sync
    + std::fmt::Debug
    + 'static
{
    /// Integers in the order of the numbers.
    type Key: Key;
    /// Orders like the number; -0 and 0 are one. Not for NaN.
    fn key(self) -> Self::Key;
    /// Any value's bits, in the shape of a key.
    fn bits(self) -> Self::Key;
    /// The value with these bits.
    fn of_bits(bits: Self::Key) -> Self;
    fn is_nan(self) -> bool;
    fn of_f32(value: f32) -> Self;
    fn of_f64(value: f64) -> Self;
    fn of_i64(value: i64) -> Self;
    fn f32(self) -> f32;
    fn f64(self) -> f64;
}

/// The integers behind [`Real::key`].
pub(super) trait Key: simd::Key + Ord + Default + Send + Sync + std::fmt::Debug + 'static {
    /// Below and above every number.
    const LEAST: Self;
    const MOST: Self;
    /// The key before this one.
    fn before(self) -> Self;
    /// Between keys and numbers that only count.
    fn of_index(index: u32) -> Self;
    fn index(self) -> usize;
}

/// Any number that a model's input may hold.
pub(super) trait Number: Copy {
    /// As the trees compare it.
    fn real<T: Real>(self) -> T;
}

macro_rules! numbers {
    ($($type:ident $of:ident;)*) => {$(
        impl Number for $type {
            #[inline]
            fn real<T: Real>(self) -> T {
                T::$of(self.into())
            }
        }
    )*};
}

numbers! { f32 of_f32; f64 of_f64; i32 of_i64; i64 of_i64; }

macro_rules! real {
    ($type:ident, $key:ident, $unsigned:ident) => {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "casts as ONNX Runtime does them"
        )]
        impl Real for $type {
            type Key = $key;

            #[inline]
            fn key(self) -> $key {
                // Adding zero turns -0 into 0. Negative numbers order backwards by their bits.
                let bits = (self + 0.0).to_bits().cast_signed();
                bits ^ ((bits >> ($key::BITS - 1)) & $key::MAX)
            }

            #[inline]
            fn bits(self) -> $key {
                self.to_bits().cast_signed()
            }

            #[inline]
            fn of_bits(bits: $key) -> Self {
                Self::from_bits(bits.cast_unsigned())
            }

            #[inline]
            fn is_nan(self) -> bool {
                $type::is_nan(self)
            }

            fn of_f32(value: f32) -> Self {
                value as $type
            }

            fn of_f64(value: f64) -> Self {
                value as $type
            }

            fn of_i64(value: i64) -> Self {
                value as $type
            }

            fn f32(self) -> f32 {
                self as f32
            }

            fn f64(self) -> f64 {
                self.into()
            }
        }

        impl Key for $key {
            const LEAST: Self = $key::MIN;
            const MOST: Self = $key::MAX;

            fn before(self) -> Self {
                self.saturating_sub(1)
            }

            fn of_index(index: u32) -> Self {
                $unsigned::from(index).cast_signed()
            }

            #[inline]
            fn index(self) -> usize {
                self.cast_unsigned() as usize
            }
        }
    };
}

real!(f32, i32, u32);
real!(f64, i64, u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_like_numbers() {
        let numbers = [f32::NEG_INFINITY, f32::MIN, -1.5, -1e-45, 0.0, 1e-45, 1.0, f32::MAX, f32::INFINITY];
        assert!(numbers.is_sorted_by_key(|x| x.key()));
        assert!(numbers.iter().all(|x| i32::LEAST < x.key().before() && x.key() < i32::MOST));
        assert_eq!((-0.0_f32).key(), 0.0_f32.key());
        assert_eq!((-0.0_f64).key(), 0.0_f64.key());
        assert!((-1.0_f64).key() < 1.0_f64.key());
        assert_eq!(f32::of_bits((-2.5_f32).bits()), -2.5);
    }
}
