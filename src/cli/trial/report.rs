//! What was found, for people on one page and for programs as JSON.

use serde::Serialize;
use serde_json::json;

use super::measure::Taken;
use super::usage::Processes;
use crate::cli::peer::compare::Equality;
use crate::cli::table;
use crate::score::percentile;

/// Bars of the distribution of latencies, from [`FROM_NANOS`] on, 20 for each power of ten.
pub(super) const BARS_PER_DECADE: f64 = 20.0;
const FROM_NANOS: f64 = 1_000.0;
const BARS: usize = 160;

/// How it ended; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    Equal,
    Different,
    NotComparable,
    /// There was nothing to compare with.
    NotJudged,
    /// A side failed while it was measured.
    Failed,
}

/// Everything there is to say.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) verdict: Verdict,
    /// Why nothing was judged or nothing could be compared.
    pub(super) why: Option<String>,
    pub(super) model: String,
    pub(super) model_bytes: usize,
    pub(super) load_ms: f64,
    pub(super) engine: &'static str,
    pub(super) engine_reason: String,
    /// What the answers were compared with: a URL, or another engine.
    pub(super) judge: Option<String>,
    /// How the other side was asked.
    pub(super) spoken: Option<String>,
    pub(super) rows_from: String,
    pub(super) notes: Vec<String>,
    pub(super) requests: usize,
    pub(super) rows_per_request: usize,
    pub(super) connections: usize,
    pub(super) rounds: usize,
    pub(super) equality: Option<Equality>,
    /// sidegate first.
    pub(super) sides: Vec<Measured>,
    /// One request in process, without any HTTP.
    pub(super) alone: Vec<Alone>,
    pub(super) machine: String,
    pub(super) date: String,
}

/// An engine without a server around it.
#[derive(Debug, Serialize)]
pub(super) struct Alone {
    pub(super) engine: &'static str,
    pub(super) p50_us: f64,
}

/// The figures of one side.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) name: String,
    pub(super) requests: usize,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) requests_per_second: f64,
    pub(super) cpu_us_per_request: Option<f64>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) threads: Option<usize>,
    pub(super) processes: Option<usize>,
    /// What the first of them is called.
    pub(super) process: Option<String>,
    pub(super) not_measurable: Option<String>,
    /// Requests by latency, on a logarithmic scale.
    #[serde(skip)]
    pub(super) bars: Vec<u32>,
}

// === impl Measured ===

impl Measured {
    pub(super) fn new(name: &str, taken: &Taken, processes: &Result<Processes, String>) -> Self {
        let mut sorted = taken.latencies.clone();
        sorted.sort_unstable();
        let micros = |share| percentile(&sorted, share).unwrap_or(0) as f64 / 1e3;
        let mut bars = vec![0; BARS];
        for nanos in &sorted {
            let bar = ((*nanos as f64 / FROM_NANOS).max(1.0).log10() * BARS_PER_DECADE) as usize;
            bars[bar.min(BARS - 1)] += 1;
        }
        let count = sorted.len().max(1) as f64;
        Self {
            name: name.to_owned(),
            requests: sorted.len(),
            p50_us: micros(0.5),
            p99_us: micros(0.99),
            requests_per_second: count / taken.elapsed.as_secs_f64().max(1e-9),
            cpu_us_per_request: taken.cpu_nanos.map(|nanos| nanos as f64 / 1e3 / count),
            memory_bytes: taken.held.map(|held| held.bytes),
            threads: taken.held.map(|held| held.threads),
            processes: processes.as_ref().ok().map(Processes::count),
            process: processes.as_ref().ok().map(Processes::name),
            not_measurable: processes.as_ref().err().cloned(),
            bars,
        }
    }

    /// Where a bar begins, in microseconds.
    pub(super) fn bar_us(bar: usize) -> f64 {
        FROM_NANOS / 1e3 * 10_f64.powf(bar as f64 / BARS_PER_DECADE)
    }
}

// === impl Report ===

impl Report {
    pub(super) fn json(&self) -> String {
        format!("{:#}\n", serde_json::to_value(self).unwrap_or_default())
    }

    /// One line: the first thing to know.
    pub(super) fn headline(&self) -> String {
        let Some(equality) = &self.equality else {
            let why = self.why.as_deref().unwrap_or("there is nothing to compare with");
            let word = if self.verdict == Verdict::NotComparable { "not comparable" } else { "not judged" };
            return format!("{word}: {why}");
        };
        let word = if equality.equal == equality.rows { "equal" } else { "DIFFERENT" };
        let ties = match equality.ties {
            0 => String::new(),
            n => format!(", {n} of them ties of two labels"),
        };
        format!(
            "{word}: {} of {} rows{ties}; largest difference {}, tolerance {:e}",
            thousands(equality.equal as f64),
            thousands(equality.rows as f64),
            difference(equality.largest),
            equality.tolerance
        )
    }

    /// Facts as pairs, in the order of both pages.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = vec![("outputs", self.headline())];
        if let Some(equality) = &self.equality {
            let missing = match equality.not_compared.as_slice() {
                [] => String::new(),
                names => format!("; not given there: `{}`", names.join("`, `")),
            };
            facts.push(("compared", format!("{}{missing}", equality.compared.join(", "))));
        }
        let size = table::bytes(&json!(self.model_bytes));
        let load = table::milliseconds(&json!((self.load_ms * 10.0).round() / 10.0));
        facts.push(("model", format!("{}, {size}, loaded in {load}", self.model)));
        facts.push(("engine", format!("{}: {}", self.engine, self.engine_reason)));
        if let Some(judge) = &self.judge {
            let spoken = self.spoken.as_ref().map(|spoken| format!(" ({spoken})")).unwrap_or_default();
            facts.push(("against", format!("{judge}{spoken}")));
        }
        let plural =
            |n: usize, word: &str| format!("{} {word}{}", thousands(n as f64), if n == 1 { "" } else { "s" });
        facts.push((
            "requests",
            format!(
                "{} of {} ({}); timed over {}, {}{}",
                thousands(self.requests as f64),
                plural(self.rows_per_request, "row"),
                self.rows_from,
                plural(self.connections, "connection"),
                plural(self.rounds, "round"),
                if self.sides.len() > 1 { " of each side in turn" } else { "" },
            ),
        ));
        facts.push(("machine", format!("{}, {}", self.machine, self.date)));
        facts.extend(self.notes.iter().map(|note| ("note", note.clone())));
        facts
    }

    /// The figures: name, one cell per side, and how many times better sidegate is where that makes sense.
    pub(super) fn figures(&self) -> Vec<[String; 4]> {
        type Read = fn(&Measured) -> Option<f64>;
        type Show = fn(f64) -> String;
        let rows: [(&str, Read, Show, bool); 5] = [
            ("p50", |side| Some(side.p50_us), micros, false),
            ("p99", |side| Some(side.p99_us), micros, false),
            ("requests/s", |side| Some(side.requests_per_second), thousands, true),
            ("CPU per request", |side| side.cpu_us_per_request, micros, false),
            (
                "memory",
                |side| side.memory_bytes.map(|bytes| bytes as f64),
                |n| table::bytes(&json!(n)),
                false,
            ),
        ];
        let cell = |at: usize, read: Read, show: Show| {
            self.sides.get(at).map_or(String::new(), |side| read(side).map_or("-".into(), show))
        };
        let mut figures: Vec<[String; 4]> = rows
            .iter()
            .map(|(name, read, show, more_is_better)| {
                let both = (self.sides.first().and_then(read), self.sides.get(1).and_then(read));
                let ratio = match both {
                    (Some(ours), Some(theirs)) if ours > 0.0 && theirs > 0.0 => {
                        times(if *more_is_better { ours / theirs } else { theirs / ours })
                    }
                    _ => String::new(),
                };
                [(*name).to_owned(), cell(0, *read, *show), cell(1, *read, *show), ratio]
            })
            .collect();
        let processes = |at: usize| match self.sides.get(at) {
            Some(Measured {
                processes: Some(count), process: Some(name), threads: Some(threads), ..
            }) => {
                format!("{count} {name}, {threads} threads")
            }
            Some(_) => "-".into(),
            None => String::new(),
        };
        figures.push(["processes".into(), processes(0), processes(1), String::new()]);
        figures
    }

    /// The page for a terminal.
    pub(super) fn text(&self) -> String {
        let mut text: String =
            self.facts().iter().map(|(name, fact)| format!("{name:<10}{fact}\n")).collect();
        if let Some(first) = self.equality.as_ref().and_then(|equality| equality.first.as_ref()) {
            text += &format!(
                "\nfirst difference: request {}, row {}, output `{}`\n  sidegate  {}\n  other     {}\n  inputs    {}\n",
                first.request + 1,
                first.row + 1,
                first.output,
                first.ours,
                first.theirs,
                inputs(&first.inputs)
            );
        }
        if !self.sides.is_empty() {
            let other = if self.sides.len() > 1 { "OTHER" } else { "" };
            let rows: Vec<Vec<String>> = self.figures().into_iter().map(Vec::from).collect();
            let times = if self.sides.len() > 1 { "TIMES" } else { " " };
            text += &format!(
                "\n{}",
                table::render(&["", "SIDEGATE", other, times], &["SIDEGATE", "OTHER", "TIMES"], &rows)
            );
        }
        for side in self.sides.iter().filter(|side| side.not_measurable.is_some()) {
            let why = side.not_measurable.as_deref().unwrap_or_default();
            text += &format!("CPU and memory of {}: not measurable ({why})\n", side.name);
        }
        for Alone { engine, p50_us } in &self.alone {
            text += &format!("in process, without HTTP: {engine} {} a request\n", micros(*p50_us));
        }
        text
    }
}

/// The inputs of a row, as many as one looks at.
pub(super) fn inputs(inputs: &[(String, String)]) -> String {
    let shown: Vec<String> = inputs.iter().take(12).map(|(name, value)| format!("{name}={value}")).collect();
    let more = inputs.len().saturating_sub(12);
    if more == 0 { shown.join(", ") } else { format!("{}, {more} more (--json has all)", shown.join(", ")) }
}

fn difference(value: f64) -> String {
    if value == 0.0 { "0".into() } else { format!("{value:.1e}") }
}

/// Microseconds with three digits and a unit.
pub(super) fn micros(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.2} s", v / 1e6),
        v if v >= 1e5 => format!("{:.0} ms", v / 1e3),
        v if v >= 1e4 => format!("{:.1} ms", v / 1e3),
        v if v >= 1e3 => format!("{:.2} ms", v / 1e3),
        v if v >= 100.0 => format!("{v:.0} µs"),
        v if v >= 10.0 => format!("{v:.1} µs"),
        v => format!("{v:.2} µs"),
    }
}

fn times(ratio: f64) -> String {
    if ratio >= 10.0 { format!("{ratio:.0} ×") } else { format!("{ratio:.1} ×") }
}

/// A whole number with commas.
pub(super) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// This machine and today.
pub(super) fn here() -> (String, String) {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, model)| model.trim()).to_owned();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let now = time::OffsetDateTime::now_utc();
    (
        format!("{model}, {cores} cores"),
        format!("{}-{:02}-{:02}", now.year(), u8::from(now.month()), now.day()),
    )
}

impl Default for Report {
    fn default() -> Self {
        let (machine, date) = here();
        Self {
            verdict: Verdict::NotJudged,
            why: None,
            model: String::new(),
            model_bytes: 0,
            load_ms: 0.0,
            engine: "",
            engine_reason: String::new(),
            judge: None,
            spoken: None,
            rows_from: String::new(),
            notes: Vec::new(),
            requests: 0,
            rows_per_request: 1,
            connections: 1,
            rounds: 0,
            equality: None,
            sides: Vec::new(),
            alone: Vec::new(),
            machine,
            date,
        }
    }
}
