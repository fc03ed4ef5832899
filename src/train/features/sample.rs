//! Random rows for tests, with all that makes rows hard.

use sidegate::tensor::Strings;

use crate::features::raw::{Field, Kind, RawBatch, RawColumn, Whole};

/// A row as a plain value.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) n: i64,
    pub(crate) m: Option<i64>,
    pub(crate) c: String,
    pub(crate) t: i64,
    pub(crate) u: Option<i64>,
}

/// Pseudo-random numbers (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Between 0 and 1.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The columns of [`batch`].
pub(crate) fn fields() -> Vec<Field> {
    use Kind::{Integer, Number, Text, Time};
    let kinds =
        [("x", Number), ("y", Number), ("n", Integer), ("m", Integer), ("c", Text), ("t", Time), ("u", Time)];
    kinds.into_iter().map(|(name, kind)| Field { name: name.to_owned(), kind, nullable: false }).collect()
}

/// Rows; with `wild` there are values that others lack.
pub(crate) fn rows(count: usize, seed: u64, wild: bool) -> Vec<Row> {
    const HARD: [f32; 8] = [0.0, -0.0, -1.0, 1.0, 2.5, -3.0, 1e20, 1e-20];
    const TEXTS: [&str; 6] = ["", "alpha", "beta", "gamma", "ü", "a longer text"];
    let random = &mut Random(seed);
    let row = |_| {
        let x = match random.below(10) {
            0 => f32::NAN,
            1 => HARD[random.below(if wild { 8 } else { 6 }) as usize],
            _ => (random.share() * 200.0 - 60.0) as f32,
        };
        let late = 4_000_000_000;
        Row {
            x,
            y: (random.share() * random.share() * 1e4) as f32,
            n: random.below(9) as i64 - 3 + if wild && random.below(9) == 0 { 1_000_003 } else { 0 },
            m: (random.below(5) > 0).then(|| random.below(4) as i64 * 100_000_007),
            c: if wild && random.below(8) == 0 {
                "new".to_owned()
            } else {
                TEXTS[random.below(6) as usize].to_owned()
            },
            t: if wild { random.below(2 * late) as i64 - late as i64 } else { random.below(late) as i64 },
            u: (random.below(4) > 0).then(|| random.below(late) as i64 - 86_400 * 365 * 30),
        }
    };
    (0..count).map(row).collect()
}

/// The rows as the crate takes them.
pub(crate) fn batch(rows: &[Row]) -> RawBatch {
    let whole = |of: fn(&Row) -> Option<i64>| Whole {
        values: rows.iter().map(|row| of(row).unwrap_or(-77)).collect(),
        missing: Some(rows.iter().map(|row| of(row).is_none()).collect()),
    };
    let columns = vec![
        RawColumn::Numbers(rows.iter().map(|row| row.x).collect()),
        RawColumn::Numbers(rows.iter().map(|row| row.y).collect()),
        RawColumn::Integers(rows.iter().map(|row| row.n).collect::<Vec<_>>().into()),
        RawColumn::Integers(whole(|row| row.m)),
        RawColumn::Texts(rows.iter().map(|row| &row.c).collect::<Strings>()),
        RawColumn::Times(rows.iter().map(|row| row.t).collect::<Vec<_>>().into()),
        RawColumn::Times(whole(|row| row.u)),
    ];
    RawBatch { columns }
}

/// Year, month, day, by counting them off.
pub(crate) fn civil(seconds: i64) -> [i64; 3] {
    let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let (mut year, mut days) = (1970, seconds.div_euclid(86_400));
    while days < 0 {
        year -= 1;
        days += 365 + i64::from(leap(year));
    }
    while days >= 365 + i64::from(leap(year)) {
        days -= 365 + i64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    [year, month as i64 + 1, days + 1]
}
