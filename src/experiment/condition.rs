//! Conditions on a request: what segments and rules are made of.

use std::fmt;
use std::str::FromStr;

use super::field::{Field, Fields};
use super::share::Share;
use crate::model::shorten;
use crate::stats::assign::{self, Salt};

/// Something that holds of a request or not.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// `FIELD exists`, `FIELD missing`.
    Present(Field, bool),
    /// `FIELD = TEXT`, `FIELD in TEXT, TEXT`, and with `not` `FIELD != TEXT`, which holds of an absent field too.
    OneOf {
        /// Where to look.
        field: Field,
        /// What is looked for.
        texts: Vec<String>,
        /// Whether it must not be there.
        not: bool,
    },
    /// `FIELD < NUMBER` and the like; holds of no absent field and of none that is no number.
    Compare(Field, Order, f64),
    /// `share:SALT < 5%`: the unit is among these, by a hash of its own; the same units wherever the salt is the same.
    Share(Box<Salt>, Share),
}

/// How numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

const ORDERS: [(&str, Order); 4] =
    [("<", Order::Less), ("<=", Order::LessOrEqual), (">", Order::Greater), (">=", Order::GreaterOrEqual)];

/// The forms of a condition, for messages.
const EXPECTED: &str = "FIELD exists, FIELD missing, FIELD = TEXT, FIELD != TEXT, FIELD in TEXT, TEXT, FIELD < NUMBER (or <=, >, >=) or \
     share:SALT < 5%";

// === impl Condition ===

impl Condition {
    /// Whether it holds of a request with that unit.
    pub fn holds(&self, request: &impl Fields, unit: Option<&str>) -> bool {
        match self {
            Self::Present(field, wanted) => request.value(field).is_some() == *wanted,
            Self::OneOf { field, texts, not } => {
                let value = request.value(field);
                value.is_some_and(|value| texts.iter().any(|text| *text == *value)) != *not
            }
            Self::Compare(field, order, number) => {
                let value = request.value(field);
                value.and_then(|value| value.parse::<f64>().ok()).is_some_and(|value| match order {
                    Order::Less => value < *number,
                    Order::LessOrEqual => value <= *number,
                    Order::Greater => value > *number,
                    Order::GreaterOrEqual => value >= *number,
                })
            }
            Self::Share(salt, share) => {
                unit.is_some_and(|unit| assign::slot(salt.hash(unit)) < share.slots())
            }
        }
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let unknown = || format!("expected {EXPECTED}, got `{}`", shorten(text));
        let (field, rest) = text.split_once(char::is_whitespace).ok_or_else(unknown)?;
        let (operator, value) = rest.trim().split_once(char::is_whitespace).unwrap_or((rest.trim(), ""));
        let value = value.trim();
        if let Some(salt) = field.strip_prefix("share:") {
            let plain = !salt.is_empty() && operator == "<";
            return if plain {
                Ok(Self::Share(Box::new(Salt::new(salt)), value.parse()?))
            } else {
                Err(unknown())
            };
        }
        let field: Field = field.parse().map_err(|error| format!("{error}"))?;
        let order = ORDERS.iter().find(|(name, _)| *name == operator);
        match (operator, order) {
            ("exists" | "missing", _) if value.is_empty() => Ok(Self::Present(field, operator == "exists")),
            ("=" | "!=", _) if !value.is_empty() => {
                Ok(Self::OneOf { field, texts: vec![value.into()], not: operator == "!=" })
            }
            ("in", _) => {
                let texts: Vec<String> = value.split(',').map(|text| text.trim().to_owned()).collect();
                let whole = texts.iter().all(|text| !text.is_empty());
                whole.then_some(Self::OneOf { field, texts, not: false }).ok_or_else(unknown)
            }
            (_, Some((_, order))) => {
                let number = value.parse().ok().filter(|number: &f64| number.is_finite());
                number.map(|number| Self::Compare(field, *order, number)).ok_or_else(unknown)
            }
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Present(field, true) => write!(f, "{field} exists"),
            Self::Present(field, false) => write!(f, "{field} missing"),
            Self::OneOf { field, texts, not: true } => write!(f, "{field} != {}", texts.join(", ")),
            Self::OneOf { field, texts, .. } if texts.len() == 1 => write!(f, "{field} = {}", texts[0]),
            Self::OneOf { field, texts, .. } => write!(f, "{field} in {}", texts.join(", ")),
            Self::Compare(field, order, number) => {
                let sign = ORDERS.iter().find(|(_, known)| known == order).map_or("", |(sign, _)| sign);
                write!(f, "{field} {sign} {number}")
            }
            Self::Share(salt, share) => write!(f, "share:{} < {share}", salt.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::Given;

    fn holds(condition: &str, given: &Given, unit: Option<&str>) -> bool {
        let parsed: Condition = condition.parse().unwrap();
        assert_eq!(parsed.to_string().parse(), Ok(parsed.clone()), "{condition}");
        parsed.holds(given, unit)
    }

    #[test]
    fn conditions_look_at_the_fields_of_a_request() {
        let given = Given {
            headers: vec![("x-country".into(), " DE ".into()), ("x-empty".into(), String::new())],
            cookies: vec![("beta".into(), "1".into())],
            body: r#"{"age": 17, "plan": "free"}"#.into(),
            ..Given::default()
        };
        for (condition, expected) in [
            ("header:x-country = DE", true),
            ("header:x-country = de", false),
            ("header:x-country != DE", false),
            ("header:x-country in AT, DE", true),
            ("header:x-country in AT,CH", false),
            ("header:x-other != DE", true),
            ("header:x-other in DE", false),
            ("cookie:beta exists", true),
            ("cookie:beta missing", false),
            ("header:x-empty exists", false),
            ("json:/plan = free", true),
            ("json:/age < 18", true),
            ("json:/age <= 17", true),
            ("json:/age > 17", false),
            ("json:/age >= 17", true),
            ("json:/plan >= 0", false),
            ("json:/none < 18", false),
        ] {
            assert_eq!(holds(condition, &given, None), expected, "{condition}");
        }
    }

    #[test]
    fn a_share_is_the_same_units_under_the_same_salt() {
        let among = |share: &str, unit: u32| {
            holds(&format!("share:s < {share}"), &Given::default(), Some(&unit.to_string()))
        };
        let count = (0..2000).filter(|unit| among("10%", *unit)).count();
        assert!((150..250).contains(&count), "{count}");
        assert!((0..2000).all(|unit| !among("10%", unit) || among("20%", unit)), "a larger share adds only");
        assert!(!holds("share:s < 100%", &Given::default(), None), "who has no unit is in no share");
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        for bad in [
            "",
            "header:a",
            "header:a =",
            "header:a == b",
            "header:a in",
            "header:a in b,,c",
            "header:a < b",
            "header:a exists now",
            "plan = free",
            "share:s > 5%",
            "share:s < 5",
            "share: < 5%",
        ] {
            assert!(bad.parse::<Condition>().is_err(), "{bad}");
        }
    }
}
