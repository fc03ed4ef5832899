//! Gradients as integers: their sums are exact, so that no order of adding and no subtraction changes a bit.

/// What rows add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) gradient: i64,
    /// Rows in the upper bits, hessians in the lower; neither reaches the other's.
    pub(super) mass: u64,
}

/// The same in numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stat {
    pub(super) gradient: f64,
    pub(super) hessian: f64,
    pub(super) count: u64,
}

/// What an integer stands for, and how many of it make 1.
#[derive(Clone, Copy, Debug)]
struct Unit {
    of: f64,
    per_one: f64,
}

/// What the integers mean; powers of two, so that reading them loses nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    gradient: Unit,
    hessian: Unit,
    /// Bits of hessians; 0: a row's hessian is 1, and only rows are counted.
    shift: u32,
}

/// First and second derivatives of every row, for one score. Together, as they are added: a leaf's rows lie apart, and one
/// place is read where there would be two.
pub(super) struct Gradients {
    pub(super) scale: Scale,
    pub(super) rows: Vec<Sum>,
}

impl std::ops::AddAssign for Sum {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        self.gradient += other.gradient;
        self.mass += other.mass;
    }
}

impl std::ops::Sub for Sum {
    type Output = Self;

    #[inline]
    fn sub(self, other: Self) -> Self {
        Self { gradient: self.gradient - other.gradient, mass: self.mass - other.mass }
    }
}

impl Scale {
    /// For so many rows whose gradients' sizes sum to at most `gradients`; hessians with their sum's and a single one's
    /// bound, none: all are 1.
    pub(super) fn new(rows: usize, gradients: f64, hessians: Option<[f64; 2]>) -> Self {
        // One bit is left for rounding up.
        let unit = |sum: f64, bits: u32| (sum.max(f64::MIN_POSITIVE).log2().ceil() - f64::from(bits)).exp2();
        let shift = if hessians.is_some() { 63 - (usize::BITS - rows.leading_zeros()) } else { 0 };
        let hessian = hessians.map_or(1.0, |[sum, one]| unit(sum, shift - 1).max(unit(one, 31)));
        let [gradient, hessian] = [unit(gradients, 61), hessian].map(|of| Unit { of, per_one: of.recip() });
        Self { gradient, hessian, shift }
    }

    /// What a row adds.
    #[inline]
    pub(super) fn row(self, gradient: f64, hessian: f64) -> Sum {
        let hessian = if self.shift == 0 { 0 } else { self.hessian.round(hessian) as u64 };
        Sum { gradient: self.gradient.round(gradient), mass: (1 << self.shift) + hessian }
    }

    #[inline]
    pub(super) fn read(self, sum: Sum) -> Stat {
        let count = sum.mass >> self.shift;
        let hessian = if self.shift == 0 { count } else { sum.mass & ((1 << self.shift) - 1) };
        Stat {
            gradient: sum.gradient as f64 * self.gradient.of,
            hessian: hessian as f64 * self.hessian.of,
            count,
        }
    }

    /// The rows of a sum.
    #[inline]
    pub(super) fn count(self, sum: Sum) -> u64 {
        sum.mass >> self.shift
    }
}

impl Unit {
    /// The nearest integer, of two the one away from 0; `f64::round` is a call where SSE4.1 is not taken for granted.
    #[inline]
    fn round(self, value: f64) -> i64 {
        let exact = value * self.per_one;
        let whole = exact as i64;
        let rest = exact - whole as f64;
        whole + i64::from(rest >= 0.5) - i64::from(rest <= -0.5)
    }
}

impl Gradients {
    #[inline]
    pub(super) fn of(&self, row: u32) -> Sum {
        self.rows[row as usize]
    }
}
