//! Shows a table to the monitor's own code, row by row at the rows' times, and prints what it alerts.
//!
//! `cargo run --release --example drift_replay -- FILE ROWS` reads a CSV with a header: the first column is milliseconds
//! since 1970, in order, the last one the prediction, those between are features, all of them numbers. The first `ROWS`
//! rows are the reference. Per alert that is raised or over it prints a line of JSON.
//!
//! `loadtests/drift/datasets.py` feeds it; docs/monitoring.md has the figures.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};

use serde_json::json;
use sidegate::drift::{self, Change, Feature, Kind, Layout, Plan, Watching};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, rows] = &arguments[..] else { return Err("usage: drift_replay FILE ROWS".into()) };
    let mut lines = BufReader::new(File::open(file)?).lines();
    let header = lines.next().ok_or("the file is empty")??;
    let features: Vec<Feature> =
        header.split(',').skip(1).map(|name| Feature { name: name.to_owned(), kind: Kind::Number }).collect();
    let layout = Layout { widths: vec![features.len() - 1], features, left_out: 0 };
    // Defaults of the configuration, but for the reference.
    let plan = Plan {
        learn_rows: rows.parse()?,
        window_rows: 2048,
        window_millis: 0,
        same_hour: false,
        false_alarms: 1.0,
        max_bytes: usize::MAX,
    };
    let mut watching: Option<Watching> = None;
    let mut out = std::io::stdout().lock();
    let mut row = Vec::new();
    for line in lines {
        let line = line?;
        let (millis, values) = line.split_once(',').ok_or("a row has a time and a value at least")?;
        let millis = millis.parse()?;
        row.clear();
        for value in values.split(',') {
            // Empty is missing.
            row.push(drift::number(if value.is_empty() { f32::NAN } else { value.parse()? }));
        }
        let watching = watching.get_or_insert_with(|| Watching::new(layout.clone(), None, plan, millis));
        watching.push(&row, plan, millis);
        // Four looks a second find no more than one at each row's time where rows are further apart.
        for change in watching.look(plan, millis) {
            let (what, alert) = match change {
                Change::Raised(alert) => ("raised", alert),
                Change::Cleared(alert, _) => ("cleared", alert),
            };
            writeln!(
                out,
                "{}",
                json!({ "time": millis, "change": what, "feature": alert.feature, "kind": alert.kind, "detail": alert.detail })
            )?;
        }
    }
    Ok(())
}
