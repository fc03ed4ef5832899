//! What watching takes: bytes, and time of an evaluation and of a row.

use std::time::Instant;

use sidegate::drift::detector::{Detector, PANE, Thresholds};
use sidegate::drift::{Limits, Window, evaluate};

use crate::Proof;
use crate::rng::Rng;
use crate::watched::reference;

pub(crate) fn prove(proof: &mut Proof) {
    proof.say("window of 2,048 rows in 16 panes, reference of 2,000 rows; the best of ten\n");
    proof.say("| features | bytes of a version | evaluation of the window | detector, per row | counting, per row |\n|---|---|---|---|---|");
    for features in [100, 1000, 10_000] {
        if proof.short && features > 1000 {
            continue;
        }
        let mut rng = Rng::new(90_000_000);
        let columns: Vec<Vec<f64>> =
            (0..features).map(|_| (0..2000).map(|_| rng.normal()).collect()).collect();
        let reference = reference(&columns);
        let mut window = Window::new(&reference, 128, 16);
        let mut detector = Detector::new(&reference);
        let thresholds = Thresholds::new(20.0);
        let mut rows = || -> Vec<Vec<u32>> {
            (0..256).map(|_| (0..features).map(|_| (rng.normal() as f32).to_bits()).collect()).collect()
        };
        let (mut counting, mut detecting) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..10 {
            let rows = rows();
            let (mut spent, start) = (0.0, Instant::now());
            for row in &rows {
                let open = detector.open();
                window.push_also(&reference, row, |cell| open[cell] += 1);
                if detector.row() {
                    let start = Instant::now();
                    detector.close(&thresholds);
                    spent += start.elapsed().as_secs_f64();
                }
            }
            counting = counting.min((start.elapsed().as_secs_f64() - spent) / 256.0);
            detecting = detecting.min(spent / 256.0);
        }
        let total = window.total(&reference);
        let evaluation = (0..10)
            .map(|_| {
                let start = Instant::now();
                std::hint::black_box(evaluate(&reference, &total, Limits { alpha: 1e-6 }));
                start.elapsed().as_secs_f64()
            })
            .fold(f64::INFINITY, f64::min);
        let bytes = window.bytes() + detector.bytes() + 2 * reference.cells() * size_of::<u64>();
        proof.say(&format!(
            "| {features} | {:.2} MB | {:.2} ms | {:.2} µs | {:.2} µs |",
            bytes as f64 / 1e6,
            1e3 * evaluation,
            1e6 * detecting,
            1e6 * counting
        ));
        if features == 1000 {
            proof.hold(&format!("bytes of 1,000 features: {bytes}"), bytes <= 8_000_000);
            proof.hold(
                &format!("evaluation of 1,000 features: {evaluation} s"),
                proof.short || evaluation <= 0.010,
            );
        }
    }
    proof.say(&format!(
        "\nthe detector works at the end of a pane of {PANE} rows; the figure is a row's part of that"
    ));
}
