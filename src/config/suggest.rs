//! "Did you mean …?"

use super::key::Family;
use super::keys::KEYS;
use crate::suggest::nearest;

/// The end of a message on an unknown key: the key that may have been meant, or nothing.
pub(super) fn key(unknown: &str) -> String {
    let (section, name) = unknown.rsplit_once('.').unwrap_or(("", unknown));
    let elsewhere: Vec<&str> =
        KEYS.iter().filter(|k| k.name() == name && k.family().is_none()).map(|k| k.path).collect();
    // Mistakes in the name of a known section stay in it; a missing unit is one.
    let within = KEYS.iter().filter(|key| key.section() == section).map(|key| key.path);
    let lacks_unit = |path: &str| path.strip_prefix(unknown).is_some_and(|unit| unit.starts_with('_'));
    let near = within.clone().find(|path| lacks_unit(path)).or_else(|| nearest(unknown, within));
    // The same name elsewhere explains a forgotten or mistaken section better than similar letters do.
    match near {
        Some(near) => meant(&[near]),
        None if !elsewhere.is_empty() => meant(&elsewhere),
        None => {
            nearest(unknown, KEYS.iter().map(|key| key.path)).map_or_else(String::new, |near| meant(&[near]))
        }
    }
}

/// The same for the name of a section.
pub(super) fn section(unknown: &str) -> String {
    let sections = KEYS.iter().map(|key| key.section()).filter(|section| !section.contains("NAME"));
    let near = nearest(unknown, sections.chain(Family::ALL.map(Family::name)));
    // A key without its section looks like a section.
    near.map_or_else(|| key(unknown), |near| meant(&[near]))
}

fn meant(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        names => format!("; did you mean `{}`?", names.join("` or `")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likely_key_is_named() {
        for (unknown, expected) in [
            ("http.lisen", "; did you mean `http.listen`?"),
            ("http.request_timeout", "; did you mean `http.request_timeout_ms`?"),
            ("htpp.workers", "; did you mean `http.workers`?"),
            ("workers", "; did you mean `http.workers`?"),
            ("token_file", "; did you mean `admin.token_file` or `auth.token_file`?"),
            ("http.token_file", "; did you mean `admin.token_file` or `auth.token_file`?"),
            ("models.NAME.engin", "; did you mean `models.NAME.engine`?"),
            ("default_modell", "; did you mean `default_model`?"),
            ("zzz.qqq", ""),
        ] {
            assert_eq!(key(unknown), expected, "{unknown}");
        }
        assert_eq!(section("regisrty"), "; did you mean `registry`?");
        assert_eq!(section("workers"), "; did you mean `http.workers`?");
        assert_eq!(section("something"), "");
    }
}
