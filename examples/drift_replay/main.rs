//! Shows a table to the monitor's own code, row by row at the rows' times, and prints what it alerts.
//!
//! `cargo run --release --example drift_replay -- FILE ROWS` reads a CSV with a header: the first column is milliseconds
//! since 1970, in order, the last one the prediction, those between are features, all of them numbers. The first `ROWS`
//! rows are the reference. Per alert that is raised or over it prints a line of JSON.
//!
//! `loadtests/drift/datasets.py` feeds it; docs/monitoring.md has the figures.

#[path = "../../src/monitor/changes.rs"]
mod changes;
mod serving;
#[path = "../../src/monitor/watcher.rs"]
#[expect(dead_code, reason = "a replay has memory enough, and asks for none of the reports")]
mod watcher;

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::sync::Arc;

use serde_json::json;
// What the monitor's files, which are compiled into this program, know it as.
use sidegate::drift;
use sidegate::drift::Change;
use sidegate::monitor::now;

use crate::serving::ServedVersion;
use crate::watcher::{Plan, Watcher};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, rows] = &arguments[..] else { return Err("usage: drift_replay FILE ROWS".into()) };
    let mut lines = BufReader::new(File::open(file)?).lines();
    let header = lines.next().ok_or("the file is empty")??;
    let version = ServedVersion::of(header.split(',').skip(1));
    // Defaults of the configuration, but for the reference.
    let plan = Plan {
        learn_rows: rows.parse()?,
        window_rows: 2048,
        window_millis: 0,
        false_alarms: 1.0,
        max_bytes: usize::MAX,
    };
    let mut watcher = Watcher::new(Arc::new(version), plan);
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
        watcher.push(&row, plan, millis);
        // Four looks a second find no more than one at each row's time where rows are further apart.
        for change in watcher.look(plan, millis) {
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
