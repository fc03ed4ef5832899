//! Numbers drawn from known laws, the same in every run.

/// Splitmix64.
pub(crate) struct Rng(u64);

/// What a unit's value is drawn from.
#[derive(Clone, Copy)]
pub(crate) enum Law {
    Normal,
    Bernoulli(f64),
    /// exp of a normal with that deviation.
    LogNormal(f64),
    /// A squared normal.
    ChiSquare,
}

impl Law {
    pub(crate) const ALL: [(&'static str, Self); 6] = [
        ("normal", Self::Normal),
        ("Bern(.5)", Self::Bernoulli(0.5)),
        ("Bern(.02)", Self::Bernoulli(0.02)),
        ("lognormal(0,1)", Self::LogNormal(1.0)),
        ("chi2(1)", Self::ChiSquare),
        ("lognormal(0,2)", Self::LogNormal(2.0)),
    ];

    pub(crate) fn draw(self, rng: &mut Rng) -> f64 {
        match self {
            Self::Normal => rng.normal(),
            Self::Bernoulli(p) => f64::from(rng.uniform() < p),
            Self::LogNormal(deviation) => (deviation * rng.normal()).exp(),
            Self::ChiSquare => rng.normal().powi(2),
        }
    }

    /// Whether the metric is a share, of which too few events say nothing.
    pub(crate) const fn is_binary(self) -> bool {
        matches!(self, Self::Bernoulli(_))
    }
}

impl Rng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(1))
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        (self.word() >> 11) as f64 / 2_f64.powi(53)
    }

    /// Marsaglia's polar method.
    pub(crate) fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let s = x * x + y * y;
            if s > 0.0 && s < 1.0 {
                return x * (-2.0 * s.ln() / s).sqrt();
            }
        }
    }
}
