//! Rules: whom an experiment answers with a variant of its own choice, and whom it leaves out.

use std::fmt;
use std::str::FromStr;

use super::condition::Condition;
use super::field::Fields;
use crate::model::shorten;

/// What holds where all its conditions do. Written `NAME: CONDITION and CONDITION -> VARIANT`, or `-> hold-out`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// What `explain` calls it.
    pub name: String,
    /// All must hold.
    pub when: Vec<Condition>,
    /// What then holds.
    pub then: Action,
}

/// What a rule has done with a request. Either way its unit is not enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// That variant answers.
    Variant(String),
    /// The default variant answers.
    HoldOut,
}

/// Stands for [`Action::HoldOut`], and so can be no variant's name.
pub const HOLD_OUT: &str = "hold-out";

// === impl Rule ===

impl Rule {
    /// Whether it decides about a request with that unit.
    pub fn holds(&self, request: &impl Fields, unit: Option<&str>) -> bool {
        self.when.iter().all(|condition| condition.holds(request, unit))
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || {
            format!(
                "expected NAME: CONDITION and CONDITION -> VARIANT (or {HOLD_OUT}), got `{}`",
                shorten(text)
            )
        };
        let (head, then) = text.rsplit_once("->").ok_or_else(unknown)?;
        let (name, when) = head.split_once(": ").ok_or_else(unknown)?;
        let (name, then) = (name.trim(), then.trim());
        if name.is_empty() || then.is_empty() || name.contains(':') {
            return Err(unknown());
        }
        if when.contains(" or ") {
            return Err(format!(
                "rule `{}`: `or` is not known; `in` takes several texts, and a second rule has other \
                 conditions",
                shorten(name)
            ));
        }
        let when: Result<_, String> = when.split(" and ").map(|condition| condition.parse()).collect();
        Ok(Self {
            name: name.to_owned(),
            when: when.map_err(|error| format!("rule `{}`: {error}", shorten(name)))?,
            then: if then == HOLD_OUT { Action::HoldOut } else { Action::Variant(then.to_owned()) },
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when: Vec<String> = self.when.iter().map(ToString::to_string).collect();
        let then = match &self.then {
            Action::Variant(name) => name,
            Action::HoldOut => HOLD_OUT,
        };
        write!(f, "{}: {} -> {then}", self.name, when.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_as_they_are_read() {
        for text in [
            "testers: header:x-tester = yes -> candidate",
            "minors: json:/age < 18 and header:x-country in DE, AT -> hold-out",
            "global: share:holdout-2026 < 5% -> hold-out",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        let rule: Rule = "a:  cookie:x exists  ->  b ".parse().unwrap();
        assert_eq!((rule.name.as_str(), rule.then), ("a", Action::Variant("b".into())));
        for bad in [
            "",
            "a -> b",
            "header:x = 1 -> b",
            "a: header:x = 1",
            "a: header:x = 1 ->",
            ": header:x = 1 -> b",
            "a:b: header:x = 1 -> b",
            "a: -> b",
            "a: header:x = 1 or header:y = 2 -> b",
            "a: header:x = 1 and -> b",
        ] {
            assert!(bad.parse::<Rule>().is_err(), "{bad}");
        }
    }
}
