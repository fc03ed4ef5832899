//! Eight replicas that come and go decide as one does.

use sidegate::experiment::Kind;
use sidegate::experiment::analysis::Report;
use sidegate::experiment::sums::{Cell, Place, Sums, bucket};
use sidegate::experiment::verdict::Standing;
use sidegate::monitor::published::{self, FORMAT, Header};

use crate::Proof;
use crate::rng::Rng;

const REPLICAS: usize = 8;

pub(crate) fn prove(proof: &mut Proof) {
    let track = crate::track(|definition| definition.metric = "outcome:sales".parse().ok());
    let (experiment, layout) = (&track.experiment, &track.layout);
    let sales = layout.series_of(&Kind::Outcome("sales".into())).expect("it is measured");
    let runs = proof.runs(50, 5);
    let (mut same, mut pods, mut bytes) = (0, 0, 0);
    for run in 0..runs {
        let mut rng = Rng::new(13_000_000 + u64::from(run));
        let mut one = Sums::new(layout);
        let mut alive: Vec<Sums> = (0..REPLICAS).map(|_| Sums::new(layout)).collect();
        let mut published: Vec<Vec<u8>> = Vec::new();
        let (mut of_one, mut of_all) = (Standing::default(), Standing::default());
        let publish = |sums: &Sums, number: usize| {
            let header = Header {
                format: FORMAT,
                experiment: "e".into(),
                model: "m".into(),
                current: true,
                phase: "p".into(),
                versions: vec![Some(1), Some(2)],
                replica: format!("pod-{number}"),
                at: 0,
                since: 0,
                dropped: 0,
                closed: true,
            };
            published::encode(&header, sums)
        };
        for step in 0..12_u64 {
            for _ in 0..1000 {
                let unit = rng.word();
                let arm = usize::from(unit & 1 == 1);
                // Whole cents, so that the order of sums does not matter.
                let value = (100.0 * (rng.normal() + if arm == 1 { 0.08 } else { 0.0 })).round();
                let place = Place { arms: &[arm], bucket: bucket(unit), at: 0 };
                for sums in [&mut one, &mut alive[(rng.word() % REPLICAS as u64) as usize]] {
                    sums.arms[arm].units.add(place.bucket, Cell { weight: 1.0, sum: 0.0 });
                    sums.add(place, sales, Cell { weight: 1.0, sum: value });
                }
            }
            // A pod ends and another comes in its place.
            let gone = (rng.word() % REPLICAS as u64) as usize;
            published.push(publish(&std::mem::replace(&mut alive[gone], Sums::new(layout)), published.len()));
            let mut merged = Sums::new(layout);
            let now = alive.iter().enumerate().map(|(number, sums)| publish(sums, 1000 + number));
            for object in published.iter().cloned().chain(now) {
                let (_, packed) = published::header(&object).expect("it was published");
                bytes = bytes.max(object.len());
                assert!(
                    merged.merge(&published::sums(packed, layout).expect("it was published")),
                    "one layout"
                );
            }
            for (standing, sums) in [(&mut of_one, &one), (&mut of_all, &merged)] {
                let report = Report::of(&track, sums);
                let evidence = standing.look(experiment, &report, step + 1);
                while let Some(entry) = standing.next(experiment, &evidence) {
                    standing.apply(entry);
                }
            }
        }
        pods += published.len();
        same += u32::from(of_one == of_all && of_one.stage.is_over());
    }
    proof.say(&format!("{runs} runs of 12,000 units on {REPLICAS} replicas, of which one ends after every 1,000 units ({pods} pods went):"));
    proof.say(&format!("{same} of {runs} decisions are those of one replica, to the last hash of their logs; a pod publishes {} KB at most", bytes / 1000));
    proof.hold(&format!("replicas: {same} of {runs}"), same == runs);
}
