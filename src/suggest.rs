//! "Did you mean …?"

/// The end of a message on an unknown name: the one that may have been meant, or nothing.
pub fn meant<'a>(unknown: &str, names: impl Iterator<Item = &'a str>) -> String {
    nearest(unknown, names).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// The candidate with the fewest edits, if they are few for its length.
pub fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (edits, best) = candidates.map(|name| (distance(text, name), name)).min()?;
    (edits <= (text.len().min(best.len()) / 3).max(1)).then_some(best)
}

/// Levenshtein distance: letters added, dropped or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(128).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(128).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (a, b, edits) in
            [("", "", 0), ("", "abc", 3), ("abc", "abd", 1), ("abc", "bc", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!((distance(a, b), distance(b, a)), (edits, edits), "{a} {b}");
        }
    }

    #[test]
    fn only_what_is_near_is_named() {
        let known = ["polynomial", "interaction"];
        assert_eq!(meant("polinomial", known.into_iter()), "; did you mean `polynomial`?");
        assert_eq!(meant("pca", known.into_iter()), "");
    }
}
