//! What is stored, as text for people.

use serde_json::{Value, json};

use crate::cli::table;
use crate::registry::index::State;

/// A text that others wrote, on one line and without what a terminal would obey.
pub(super) fn line(text: &str) -> String {
    table::cell(&json!(text))
}

/// The same of one that may be missing.
pub(super) fn cell(text: Option<&str>) -> String {
    table::cell(&json!(text))
}

/// Version numbers: `5, 6`; `-` for none.
pub(super) fn list<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    line(&items.join(", "))
}

/// An object's fields: `auc=0.81 depth=6`; `-` for none. Numbers have as many digits as say something.
pub(super) fn pairs(value: &Value) -> String {
    let fields = value.as_object().into_iter().flatten();
    let shown = |value: &Value| match value.as_f64().filter(|_| value.is_f64()) {
        Some(number) => table::rounded(number),
        None => table::cell(value),
    };
    let fields: Vec<String> = fields.map(|(name, value)| format!("{name}={}", shown(value))).collect();
    line(&fields.join(" "))
}

/// Whether a version's files are there.
pub(super) fn state(state: &State) -> String {
    match state {
        State::Ready => "ready".into(),
        State::Uploading { owner, .. } => line(&format!("uploading by {owner}")),
        State::Deleted { at, .. } => line(&format!("deleted on {at}")),
        State::Other(_) => "unknown".into(),
    }
}

/// A page: names on the left, what belongs to them on the right; a name that is empty goes on with the one before.
pub(super) fn page(lines: &[(&str, String)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default() + 2;
    lines.iter().map(|(name, text)| format!("{name:<width$}{text}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_stays_on_its_line() {
        assert_eq!(line("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!((cell(None), list([5, 6]), list::<u64>([])), ("-".into(), "5, 6".into(), "-".into()));
        assert_eq!(pairs(&json!({"auc": 0.81, "note": "a\tb"})), "auc=0.81 note=a b");
        // Sums end in digits that nobody measured; whole numbers are told as they are.
        let long =
            json!({"rmse": 16.642_512_345_678_9, "rows": 12_345_678, "tiny": 1.234_567_89e-9, "zero": 0.0});
        assert_eq!(pairs(&long), "rmse=16.6425 rows=12345678 tiny=1.23457e-9 zero=0");
        let deleted =
            State::Deleted { at: "2026-11-27T11:18:16Z".into(), rest: crate::registry::format::Rest::new() };
        assert_eq!(
            (state(&State::Ready), state(&deleted)),
            ("ready".into(), "deleted on 2026-11-27T11:18:16Z".into())
        );
        assert_eq!((pairs(&json!({})), pairs(&json!(null))), ("-".into(), "-".into()));
        assert_eq!(page(&[("serves", "7".into()), ("", "8".into())]), "serves  7\n        8\n");
    }
}
