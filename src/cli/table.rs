//! Text for people: aligned columns, and numbers with units.

use serde_json::Value;

/// Columns with a head each; numbers stand to the right. Two spaces between columns, none at the end of a line.
pub(super) fn render(heads: &[&str], right: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(heads.get(column).map(|head| head.len())).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let head: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for ((cell, width), head) in row.iter().zip(&widths).zip(heads) {
            let cell =
                if right.contains(head) { format!("{cell:>width$}") } else { format!("{cell:<width$}") };
            line = if line.is_empty() { cell } else { format!("{line}  {cell}") };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// A field of an answer as text; `-` when it is not there or null. Control characters stay out of terminals.
pub(super) fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        other => other.to_string(),
    };
    if text.is_empty() { "-".into() } else { text }
}

/// A number with six digits that say something: `16.6425`, `0.00012`, `1.23457e-9`.
pub(super) fn rounded(number: f64) -> String {
    // As it is written with one digit before the point, it is read back without the digits behind the sixth.
    let short: f64 = format!("{number:.5e}").parse().unwrap_or(number);
    let size = short.abs();
    if size != 0.0 && !(1e-5..1e15).contains(&size) { format!("{short:e}") } else { short.to_string() }
}

/// Bytes with a binary unit: `980 B`, `311 KiB`, `1.4 GiB`.
pub(super) fn bytes(value: &Value) -> String {
    let Some(bytes) = value.as_f64() else {
        return "-".into();
    };
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut number = bytes;
    while number >= 1024.0 && unit + 1 < units.len() {
        number /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(unit > 0 && number < 10.0);
    format!("{number:.decimals$} {}", units[unit])
}

/// Milliseconds: `0.4 ms`, `12 ms`, `3.1 s`.
pub(super) fn milliseconds(value: &Value) -> String {
    match value.as_f64() {
        None => "-".into(),
        Some(ms) if ms >= 1000.0 => format!("{:.1} s", ms / 1000.0),
        Some(ms) if ms < 10.0 && ms.fract() != 0.0 => format!("{ms:.1} ms"),
        Some(ms) => format!("{ms:.0} ms"),
    }
}

/// Seconds as the two largest units: `4.2 s`, `3 min 5 s`, `2 h 10 min`, `9 d 3 h`.
pub(super) fn seconds(value: &Value) -> String {
    let Some(seconds) = value.as_f64().filter(|seconds| *seconds >= 0.0) else {
        return "-".into();
    };
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let units = [(86_400.0, "d", 3600.0, "h"), (3600.0, "h", 60.0, "min"), (60.0, "min", 1.0, "s")];
    let fitting = units.iter().find(|(large, ..)| seconds >= *large);
    fitting.map_or_else(String::new, |(large, name, small, small_name)| {
        format!("{} {name} {} {small_name}", (seconds / large).floor(), (seconds % large / small).floor())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows =
            [vec!["é".into(), "1".into(), String::new()], vec!["longer".into(), "234".into(), "x y".into()]];
        let expected = "NAME    SIZE  WHY\né          1\nlonger   234  x y\n";
        assert_eq!(render(&["NAME", "SIZE", "WHY"], &["SIZE"], &rows), expected);
    }

    #[test]
    fn numbers_have_units() {
        let all = |show: fn(&Value) -> String, values: &[Value]| values.iter().map(show).collect::<Vec<_>>();
        let values = [json!(null), json!(980), json!(318_672), json!(1_503_238_553_u64)];
        assert_eq!(all(bytes, &values), ["-", "980 B", "311 KiB", "1.4 GiB"]);
        assert_eq!(
            all(milliseconds, &[json!(0.42), json!(12), json!(3100), json!("x")]),
            ["0.4 ms", "12 ms", "3.1 s", "-"]
        );
        let values = [json!(4.2), json!(185), json!(7800.5), json!(788_400)];
        assert_eq!(all(seconds, &values), ["4.2 s", "3 min 5 s", "2 h 10 min", "9 d 3 h"]);
        assert_eq!(
            all(cell, &[json!(null), json!(""), json!("a\u{1b}[1m"), json!(7)]),
            ["-", "-", "a [1m", "7"]
        );
    }
}
