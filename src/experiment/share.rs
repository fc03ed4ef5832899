//! Shares of all units: a percentage, and ranges of slots.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use crate::model::shorten;
use crate::stats::assign::SLOTS;

/// A part of all units, in slots. Written as a percentage with up to four decimals, which is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(u32);

/// Half-open ranges of slots, written `0..250000 500000..750000`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots(pub Vec<Range<u32>>);

// === impl Share ===

impl Share {
    /// Everybody.
    pub const ALL: Self = Self(SLOTS);

    /// How many slots that is.
    pub const fn slots(self) -> u32 {
        self.0
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        let share = text.strip_suffix('%').and_then(|number| {
            let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
            let plain = digits(whole) && digits(part) && (1..=4).contains(&part.len());
            let number = if plain { format!("{whole}{part:0<4}").parse::<u32>().ok() } else { None };
            number.filter(|slots| !whole.is_empty() && *slots <= SLOTS)
        });
        share.map(Self).ok_or_else(|| {
            let form = "expected a percentage from 0% to 100% with at most four decimals, such as 12.5%";
            format!("{form}, got `{}`", shorten(text))
        })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Digits of a number this small are exact.
        write!(f, "{}%", f64::from(self.0) / 1e4)
    }
}

// === impl Slots ===

impl FromStr for Slots {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.replace('_', "").parse::<u32>().ok();
        let range = |text: &str| {
            let (start, end) = text.split_once("..")?;
            Some(number(start)?..number(end)?)
        };
        let ranges: Option<Vec<_>> = text.split_whitespace().map(range).collect();
        ranges.map(Self).ok_or_else(|| {
            let form = "expected ranges of slots such as 0..250000 500000..750000, the end not included";
            format!("{form}, got `{}`", shorten(text))
        })
    }
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges: Vec<String> =
            self.0.iter().map(|range| format!("{}..{}", range.start, range.end)).collect();
        f.write_str(&ranges.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_exact() {
        for (text, slots) in
            [("0%", 0), ("100%", SLOTS), ("12.5%", 125_000), ("0.0001%", 1), ("33.3333%", 333_333)]
        {
            let share: Share = text.parse().unwrap();
            assert_eq!((share.slots(), share.to_string()), (slots, text.to_owned()));
        }
        for bad in ["", "%", "5", "0.5", "101%", "-1%", "1.00001%", "1.%", ".5%", "1e2%", "100.0001%", "5 %"]
        {
            assert!(bad.parse::<Share>().is_err(), "{bad}");
        }
    }

    #[test]
    fn slots_are_ranges() {
        let slots: Slots = " 0..250_000  500000..750000".parse().unwrap();
        assert_eq!(slots.to_string(), "0..250000 500000..750000");
        assert_eq!("".parse(), Ok(Slots::default()));
        for bad in ["0", "0..", "..1", "a..b", "0..1,2..3", "-1..2", "0..=1"] {
            assert!(bad.parse::<Slots>().is_err(), "{bad}");
        }
    }
}
