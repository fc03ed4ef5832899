//! Metrics of numbers.

/// True and predicted numbers, as many of one as of the other.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    /// What came.
    pub truth: Vec<f64>,
    /// What was predicted.
    pub predicted: Vec<f64>,
}

// === impl Numbers ===

impl Numbers {
    fn mean(&self, of: impl Fn(f64, f64) -> f64) -> f64 {
        let pairs = self.truth.iter().zip(&self.predicted);
        pairs.map(|(truth, predicted)| of(*truth, *predicted)).sum::<f64>() / self.truth.len() as f64
    }

    /// Mean squared error.
    pub fn mse(&self) -> f64 {
        self.mean(|truth, predicted| (truth - predicted).powi(2))
    }

    /// Root of the mean squared error.
    pub fn rmse(&self) -> f64 {
        self.mse().sqrt()
    }

    /// Mean absolute error.
    pub fn mae(&self) -> f64 {
        self.mean(|truth, predicted| (truth - predicted).abs())
    }

    /// Median absolute error; NaN of no rows.
    pub fn median_ae(&self) -> f64 {
        let mut errors: Vec<f64> = self.errors().collect();
        errors.sort_by(f64::total_cmp);
        match (errors.len() / 2, errors.len() % 2) {
            (0, 0) => f64::NAN,
            (middle, 0) => (errors[middle - 1] + errors[middle]) / 2.0,
            (middle, _) => errors[middle],
        }
    }

    /// Largest absolute error; NaN of no rows.
    pub fn max_error(&self) -> f64 {
        self.errors().fold(f64::NAN, f64::max)
    }

    /// Mean absolute error by the absolute truth, which is kept off 0 by the precision of `f64`: 0.1 is ten percent.
    pub fn mape(&self) -> f64 {
        self.mean(|truth, predicted| (truth - predicted).abs() / truth.abs().max(f64::EPSILON))
    }

    fn errors(&self) -> impl Iterator<Item = f64> + '_ {
        self.truth.iter().zip(&self.predicted).map(|(truth, predicted)| (truth - predicted).abs())
    }

    /// Share of the variance that is explained; NaN for fewer than two rows. Where the truth does not vary, 1 if it
    /// is met exactly, else 0.
    pub fn r2(&self) -> f64 {
        if self.truth.len() < 2 {
            return f64::NAN;
        }
        let centre = self.mean(|truth, _| truth);
        let (errors, spread) = (self.mse(), self.mean(|truth, _| (truth - centre).powi(2)));
        match (errors == 0.0, spread == 0.0) {
            (true, true) => 1.0,
            (false, true) => 0.0,
            _ => 1.0 - errors / spread,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values are scikit-learn 1.9.1's.
    #[track_caller]
    fn check(truth: &[f64], predicted: &[f64], [mse, rmse, mae, r2]: [f64; 4]) {
        let numbers = Numbers { truth: truth.to_vec(), predicted: predicted.to_vec() };
        let got = [numbers.mse(), numbers.rmse(), numbers.mae(), numbers.r2()];
        for (got, want) in got.into_iter().zip([mse, rmse, mae, r2]) {
            let close = (got - want).abs() <= 1e-9 * want.abs() + 1e-12 || (got.is_nan() && want.is_nan());
            assert!(close, "{got} and not {want}");
        }
    }

    #[test]
    fn errors_have_a_middle_a_largest_and_a_share_of_the_truth() {
        let numbers = |truth: &[f64], predicted: &[f64]| Numbers {
            truth: truth.to_vec(),
            predicted: predicted.to_vec(),
        };
        let even = numbers(&[1.0, 2.0, 4.0, -8.0], &[2.0, 2.0, 1.0, 0.0]);
        assert_eq!([even.median_ae(), even.max_error(), even.mape()], [2.0, 8.0, 0.6875]);
        let odd = numbers(&[1.0, 2.0, 4.0], &[2.0, 2.0, 1.0]);
        assert_eq!([odd.median_ae(), odd.max_error()], [1.0, 3.0]);
        assert_eq!(numbers(&[0.0], &[1.0]).mape(), 1.0 / f64::EPSILON);
        let none = Numbers::default();
        assert!([none.median_ae(), none.max_error(), none.mape()].iter().all(|value| value.is_nan()));
    }

    #[test]
    fn one_number_has_no_r2() {
        check(&[4.789469], &[6.6855384], [3.59507916961636, 1.8960694, 1.8960694, f64::NAN]);
    }

    #[test]
    fn two_numbers() {
        check(
            &[6.9836608, 2.4138833],
            &[6.3399691, 2.2826536],
            [0.21578011940548983, 0.4645213874575527, 0.3874606999999999, 0.9586684863509749],
        );
    }

    #[test]
    fn fifty_numbers() {
        check(
            &[
                6.7285503, 2.8356149, 2.2255562, 5.8762795, 7.7600384, 5.2315337, 2.909505, 8.1165107,
                4.7836018, 3.8349321, 5.2467884, 8.2823624, 2.620559, 5.6496451, 5.6542956, 5.8523585,
                4.6736143, 4.2743502, 5.6959652, 2.4623814, 2.3440936, 3.9847184, 5.9419565, 6.182946,
                2.2637111, 7.0002301, 6.5241921, 0.97551287, 7.6292975, 2.34909, 6.0457754, 4.4656229,
                3.5963078, 6.0173386, 0.89863233, 5.5374105, 3.9407673, 4.5770045, 6.9531465, 2.1958381,
                2.6883179, 8.9852953, 2.1079673, -1.645349, 9.0552409, 7.2093707, 4.3324818, 5.3960143,
                6.6068401, 4.7823525,
            ],
            &[
                5.3435723, 2.6473195, 0.95258399, 6.6109728, 7.5868196, 4.7884934, 3.2709559, 8.2081668,
                5.5939332, 4.0397493, 6.1181818, 9.4141346, 1.3440145, 6.8098508, 6.0828109, 6.8709344,
                5.9977231, 4.3267555, 7.2628438, 0.97040821, 3.5031133, 4.0755217, 5.8389404, 5.9181119,
                2.1261967, 7.1890346, 6.9444583, -1.4475141, 7.6133283, 3.2033353, 7.2667215, 6.3235845,
                4.5573862, 6.8664544, 1.0521299, 6.8657158, 7.0823018, 3.7968828, 7.9161906, 2.9338,
                3.6580105, 10.017916, 2.3305517, -1.6179958, 8.8329447, 8.2903121, 4.7946012, 5.8959855,
                6.4778578, 2.6341626,
            ],
            [1.0962258218929806, 1.0470080333469178, 0.8086728908000002, 0.7806573987957738],
        );
    }

    #[test]
    fn numbers_that_do_not_vary() {
        check(
            &[
                2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5,
                2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5,
                2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5,
                2.5, 2.5, 2.5, 2.5, 2.5, 2.5,
            ],
            &[
                2.704816, 1.7219021, 2.145559, 1.6607504, 2.3618631, 0.46603923, 2.4115924, 1.4634372,
                2.0006469, 2.5894403, 3.5338353, 0.99060531, 1.1419102, 2.4032373, 3.1069419, 2.9439154,
                3.2910345, 2.06834, 0.83624308, 2.8048497, 2.6705353, 3.1870178, 0.91566908, 1.2115944,
                3.2353581, 2.6681192, 2.4928318, 3.4563772, 1.9879812, 4.5019694, 3.8203555, 1.6851827,
                2.1555162, 1.8453091, 1.4600314, 4.7629463, 2.763266, 1.570463, 1.3254735, 4.2220827,
                2.4641151, 3.629465, 2.1698046, 1.6874726, 3.2965624, 2.5196612, 3.2961884, 2.3482062,
                3.8998367, 2.5272587, 0.75915543, 0.81624618, 4.5447045, 3.5569007, 0.5184585, 2.8445186,
                2.5153627, 4.0758376, 1.7149988, 2.9300815,
            ],
            [1.0844083498528165, 1.041349292914158, 0.8349767098333333, 0.0],
        );
    }
}
