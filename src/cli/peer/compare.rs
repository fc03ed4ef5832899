//! Whether two sides say the same: which of their outputs belong together, and how far they differ.

use serde::Serialize;

use super::reply::{Output, Values, show};

/// Columns of one output that may be what the other side gives alone (the probability of one class, say).
const MOST_COLUMNS: usize = 64;

/// Two best scores nearer than this are a tie, in which either label is right.
const TIE: f64 = 1e-5;

/// The answers of both sides to one request.
#[derive(Debug)]
pub(in crate::cli) struct Answers {
    pub(in crate::cli) request: usize,
    pub(in crate::cli) rows: usize,
    pub(in crate::cli) ours: Vec<Output>,
    pub(in crate::cli) theirs: Vec<Output>,
}

/// One output of theirs with what it is compared with.
#[derive(Clone, Debug, PartialEq)]
struct Pair {
    theirs: String,
    ours: String,
    /// Only this column of ours.
    column: Option<usize>,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(in crate::cli) struct Equality {
    pub(in crate::cli) rows: usize,
    pub(in crate::cli) equal: usize,
    /// Labels that differ where the two best scores are as good as equal; counted as equal.
    pub(in crate::cli) ties: usize,
    /// Largest absolute difference of two finite numbers.
    pub(in crate::cli) largest: f64,
    pub(in crate::cli) tolerance: f64,
    pub(in crate::cli) first: Option<Difference>,
    /// Which output stands against which.
    pub(in crate::cli) compared: Vec<String>,
    /// The outputs that the other side gives.
    #[serde(skip)]
    pub(in crate::cli) given: Vec<String>,
    /// Outputs of ours that the other side does not give.
    pub(in crate::cli) not_compared: Vec<String>,
}

/// The first row that differs.
#[derive(Debug, PartialEq, Serialize)]
pub(in crate::cli) struct Difference {
    pub(in crate::cli) request: usize,
    pub(in crate::cli) row: usize,
    pub(in crate::cli) output: String,
    pub(in crate::cli) ours: String,
    pub(in crate::cli) theirs: String,
    /// Filled in by who knows the rows.
    pub(in crate::cli) inputs: Vec<(String, String)>,
}

/// Compares answer by answer, once it is known what belongs together.
pub(in crate::cli) struct Judge {
    pairs: Vec<Pair>,
    pub(in crate::cli) found: Equality,
}

// === impl Judge ===

impl Judge {
    /// Finds out from some answers what belongs together; `None` when nothing does.
    ///
    /// An output belongs to the one of its name, kind and width, unless they hardly agree while another agrees always:
    /// services call labels and probabilities by the same name. Else it belongs to that of its kind and width with which it agrees most often, or
    /// that is nearest. Nothing is made equal by that: where no choice agrees, the differences are reported.
    pub(in crate::cli) fn new(sample: &[Answers], tolerance: f64) -> Option<Self> {
        let first = sample.first()?;
        let mut pairs = Vec::new();
        for theirs in &first.theirs {
            let fitting = candidates(first, theirs);
            let fit = |pair: &Pair| {
                let fits = sample.iter().map(|answers| agreement(answers, pair, tolerance));
                fits.fold((0, 0.0), |(rows, far), (more, farther)| (rows + more, far + farther))
            };
            let rows: usize = sample.iter().map(|answers| answers.rows).sum();
            let fitting = fitting.into_iter().map(|pair| (fit(&pair), pair));
            let fitting: Vec<((usize, f64), Pair)> = fitting.collect();
            let named = fitting.iter().find(|(_, pair)| pair.column.is_none() && pair.ours == pair.theirs);
            // The first of several that fit as well.
            let best = fitting
                .iter()
                .min_by(|((a, far_a), _), ((b, far_b), _)| b.cmp(a).then(far_a.total_cmp(far_b)));
            let best = match (named, best) {
                (Some(((agree, _), _)), Some(((all, _), _))) if 2 * agree < rows && *all == rows => best,
                (Some(_), _) => named,
                (None, _) => best,
            };
            let best = best.map(|(_, pair)| pair.clone());
            pairs.extend(best);
        }
        if pairs.is_empty() {
            return None;
        }
        let says = |pair: &Pair| match (pair.column, pair.ours == pair.theirs) {
            (None, true) => format!("`{}`", pair.ours),
            (None, false) => format!("`{}` with their `{}`", pair.ours, pair.theirs),
            (Some(column), _) => format!("column {column} of `{}` with their `{}`", pair.ours, pair.theirs),
        };
        let ours = first.ours.iter().filter(|ours| !ours.derived);
        let missing = ours.filter(|ours| !pairs.iter().any(|pair| pair.ours == ours.name));
        let found = Equality {
            tolerance,
            compared: pairs.iter().map(says).collect(),
            given: first.theirs.iter().map(|output| output.name.clone()).collect(),
            not_compared: missing.map(|output| output.name.clone()).collect(),
            ..Equality::default()
        };
        Some(Self { pairs, found })
    }

    /// Counts a request that a side did not answer; the texts say what came instead.
    pub(in crate::cli) fn unanswered(&mut self, request: usize, rows: usize, ours: &str, theirs: &str) {
        self.found.rows += rows;
        self.found.first.get_or_insert_with(|| Difference {
            request,
            row: 0,
            output: "-".into(),
            ours: ours.into(),
            theirs: theirs.into(),
            inputs: Vec::new(),
        });
    }

    /// Counts one request's rows.
    pub(in crate::cli) fn take(&mut self, answers: &Answers) {
        for row in 0..answers.rows {
            let (mut equal, mut tie) = (true, false);
            for pair in &self.pairs {
                let (same, distance) = compare(answers, pair, row, self.found.tolerance);
                self.found.largest = self.found.largest.max(distance);
                if same {
                    continue;
                }
                if is_label(answers, pair) && is_tie(answers, row) {
                    tie = true;
                    continue;
                }
                equal = false;
                if self.found.first.is_none() {
                    self.found.first = Some(difference(answers, pair, row));
                }
            }
            self.found.rows += 1;
            self.found.equal += usize::from(equal);
            self.found.ties += usize::from(tie && equal);
        }
    }
}

/// The outputs and columns of ours that have the kind and width of `theirs`, whole outputs first. Of two columns the
/// second comes first: who gives one probability gives that of the positive class.
fn candidates(answers: &Answers, theirs: &Output) -> Vec<Pair> {
    let pair = |ours: &Output, column| Pair { theirs: theirs.name.clone(), ours: ours.name.clone(), column };
    let same_kind: Vec<&Output> =
        answers.ours.iter().filter(|ours| numbers(ours).is_some() == numbers(theirs).is_some()).collect();
    let mut found: Vec<Pair> = same_kind
        .iter()
        .filter(|ours| ours.values.len() == theirs.values.len())
        .map(|ours| pair(ours, None))
        .collect();
    if theirs.values.len() == answers.rows {
        for ours in same_kind {
            let width = ours.values.len().checked_div(answers.rows).unwrap_or(0);
            let whole = width * answers.rows == ours.values.len();
            if whole && (2..=MOST_COLUMNS).contains(&width) {
                found.extend((0..width).rev().map(|column| pair(ours, Some(column))));
            }
        }
    }
    found
}

fn numbers(output: &Output) -> Option<&[f64]> {
    match &output.values {
        Values::Numbers(values) => Some(values),
        Values::Texts(_) => None,
    }
}

/// In how many rows a pair agrees, and how far it is apart in all.
fn agreement(answers: &Answers, pair: &Pair, tolerance: f64) -> (usize, f64) {
    let rows = (0..answers.rows).map(|row| compare(answers, pair, row, tolerance));
    rows.fold((0, 0.0), |(equal, far), (same, distance)| (equal + usize::from(same), far + distance))
}

/// Whether a row is equal in one pair of outputs, and how far its numbers are apart at most.
fn compare(answers: &Answers, pair: &Pair, row: usize, tolerance: f64) -> (bool, f64) {
    let (Some(ours), Some(theirs)) = (find(&answers.ours, &pair.ours), find(&answers.theirs, &pair.theirs))
    else {
        return (false, 0.0);
    };
    match (&ours.values, &theirs.values) {
        (Values::Numbers(our_values), Values::Numbers(their_values)) => {
            let (Some(a), Some(b)) = (
                part(our_values, row, answers.rows, pair.column),
                part(their_values, row, answers.rows, None),
            ) else {
                return (false, 0.0);
            };
            let round =
                |value: f64| if ours.single || theirs.single { f64::from(value as f32) } else { value };
            let mut same = a.len() == b.len();
            let mut distance = 0.0_f64;
            for (a, b) in a.iter().zip(b).map(|(a, b)| (round(*a), round(*b))) {
                same &= close(a, b, tolerance);
                distance = distance.max(if (a - b).is_finite() { (a - b).abs() } else { 0.0 });
            }
            (same, distance)
        }
        (Values::Texts(ours), Values::Texts(theirs)) => {
            let (ours, theirs) =
                (part(ours, row, answers.rows, pair.column), part(theirs, row, answers.rows, None));
            (ours.is_some() && ours == theirs, 0.0)
        }
        _ => (false, 0.0),
    }
}

fn find<'a>(outputs: &'a [Output], name: &str) -> Option<&'a Output> {
    outputs.iter().find(|output| output.name == name)
}

/// A row's values, or one of them; `None` when the values are not as many in every row.
fn part<T>(values: &[T], row: usize, rows: usize, column: Option<usize>) -> Option<&[T]> {
    let width = values.len().checked_div(rows).filter(|width| width * rows == values.len())?;
    let row = values.get(row * width..(row + 1) * width)?;
    match column {
        Some(column) => row.get(column..=column),
        None => Some(row),
    }
}

/// The tolerance of ours everywhere: |a-b| ≤ tolerance · max(1, |b|). NaN equals NaN.
fn close(a: f64, b: f64, tolerance: f64) -> bool {
    a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * b.abs().max(1.0)
}

/// Whether a pair is of labels: texts, or whole numbers beside an output of scores.
fn is_label(answers: &Answers, pair: &Pair) -> bool {
    let Some(ours) = find(&answers.ours, &pair.ours) else { return false };
    let whole = numbers(ours).is_none_or(|values| values.iter().all(|value| value.fract() == 0.0));
    whole && pair.column.is_none() && ours.values.len() == answers.rows
}

/// Whether the two best scores of a row are as good as equal.
fn is_tie(answers: &Answers, row: usize) -> bool {
    answers.ours.iter().filter(|output| output.values.len() > answers.rows).any(|output| {
        let scores = numbers(output).and_then(|values| part(values, row, answers.rows, None));
        let mut scores = scores.unwrap_or_default().to_vec();
        scores.sort_by(f64::total_cmp);
        matches!(scores.as_slice(), [.., second, best] if best - second <= TIE)
    })
}

fn difference(answers: &Answers, pair: &Pair, row: usize) -> Difference {
    let shown = |outputs: &[Output], name: &str, column: Option<usize>| {
        let Some(output) = find(outputs, name) else { return "nothing".to_owned() };
        match (&output.values, column) {
            (Values::Numbers(values), Some(_)) => {
                part(values, row, answers.rows, column).map_or("nothing".into(), |one| one[0].to_string())
            }
            (values, _) if values.len().is_multiple_of(answers.rows.max(1)) => {
                show(values, row, answers.rows)
            }
            (values, _) => format!("{} values for {} rows", values.len(), answers.rows),
        }
    };
    Difference {
        request: answers.request,
        row,
        output: pair.ours.clone(),
        ours: shown(&answers.ours, &pair.ours, pair.column),
        theirs: shown(&answers.theirs, &pair.theirs, None),
        inputs: Vec::new(),
    }
}

/// What both sides said to the first row, where nothing can be compared.
pub(in crate::cli) fn side_by_side(answers: &Answers) -> (String, String) {
    let all = |outputs: &[Output]| {
        let one = |output: &Output| {
            let text = if output.values.len().is_multiple_of(answers.rows.max(1)) {
                show(&output.values, 0, answers.rows)
            } else {
                format!("{} values for {} rows", output.values.len(), answers.rows)
            };
            format!("`{}` {text}", output.name)
        };
        outputs.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    (all(&answers.ours), all(&answers.theirs))
}

#[cfg(test)]
mod tests;
