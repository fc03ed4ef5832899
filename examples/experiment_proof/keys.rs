//! The same unit gets the same variant everywhere.

use sidegate::experiment::Experiment;
use sidegate::stats::tails;

use crate::Proof;
use crate::peeking::parallel;

fn build() -> Experiment {
    crate::track(|definition| definition.coverage = "40%".parse().expect("a share")).experiment
}

pub(crate) fn prove(proof: &mut Proof) {
    let keys = u64::from(proof.runs(10_000_000, 200_000));
    let id = |kind: usize, key: u64| match kind {
        0 => key.to_string(),
        1 => format!(
            "{:08x}-{:04x}-7{:03x}-8{:03x}-{:012x}",
            key >> 9,
            key & 0xffff,
            key % 4096,
            key * 7 % 4096,
            key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16
        ),
        _ => format!("user{key}@example.org"),
    };
    // Every replica is built anew, as after a restart; what it says of all keys goes into one number.
    let replica = |_: u32| {
        let experiment = build();
        let mut counts = [[0_u64; 100]; 3];
        let mut sum = 0_u64;
        for key in 0..keys {
            let kind = (key % 3) as usize;
            let unit = id(kind, key);
            let (slot, enrolled) = (experiment.slot(&unit), experiment.enrol_slot(&unit) < 400_000);
            counts[kind][slot as usize / 10_000] += 1;
            let variant = experiment.variant_of(slot).map_or(9, |variant| variant as u64);
            sum = sum.rotate_left(1).wrapping_add(u64::from(slot) * 31 + variant * 7 + u64::from(enrolled));
        }
        (sum, counts)
    };
    let all = parallel(8, replica);
    let same = all.iter().all(|found| *found == all[0]);
    let uniform: Vec<f64> = all[0]
        .1
        .iter()
        .map(|counts| {
            let expected = counts.iter().sum::<u64>() as f64 / 100.0;
            let statistic = counts.iter().map(|count| (*count as f64 - expected).powi(2) / expected).sum();
            tails::chi2_sf(statistic, 99.0)
        })
        .collect();
    proof.say(&format!(
        "{keys} keys x 8 replicas, each built anew: {} mismatches",
        if same { "0" } else { "there are" }
    ));
    let names = ["numbers", "UUIDs", "e-mails"];
    let shown: Vec<String> = names.iter().zip(&uniform).map(|(name, p)| format!("{name} {p:.3}")).collect();
    proof.say(&format!("uniform over slots, p of chi2: {}", shown.join(", ")));
    proof.hold("keys", same);
    proof.hold("uniform slots", uniform.iter().all(|p| (0.001..0.999).contains(p)));
}
