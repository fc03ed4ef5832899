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

/// What the integers mean; powers of two, so that reading them loses nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    gradient: f64,
    hessian: f64,
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
        Self {
            gradient: unit(gradients, 61),
            hessian: hessians.map_or(1.0, |[sum, one]| unit(sum, shift - 1).max(unit(one, 31))),
            shift,
        }
    }

    /// What a row adds.
    #[inline]
    pub(super) fn row(self, gradient: f64, hessian: f64) -> Sum {
        let hessian = if self.shift == 0 { 0 } else { u64::from((hessian / self.hessian).round() as u32) };
        Sum { gradient: (gradient / self.gradient).round() as i64, mass: (1 << self.shift) + hessian }
    }

    #[inline]
    pub(super) fn read(self, sum: Sum) -> Stat {
        let count = sum.mass >> self.shift;
        let hessian = if self.shift == 0 { count } else { sum.mass & ((1 << self.shift) - 1) };
        Stat { gradient: sum.gradient as f64 * self.gradient, hessian: hessian as f64 * self.hessian, count }
    }
}

impl Gradients {
    #[inline]
    pub(super) fn of(&self, row: u32) -> Sum {
        self.rows[row as usize]
    }
}
