//! One row of the table: what a key is called, what it defaults to and where its value lives in [`Config`].

use std::ops::RangeInclusive;
use std::time::Duration;

use super::machine::Machine;
use super::setting::Setting;
use super::value::Value;
use super::{Config, ModelConfig};
use crate::experiment::Definition;

/// A key of the configuration.
pub struct Key {
    /// `section.name`; `models.NAME.name` and `experiments.NAME.name` for those of a model or an experiment, just the
    /// name at the top level.
    pub path: &'static str,
    /// The default as TOML.
    pub default: &'static str,
    /// Allowed numbers, for keys that are numbers.
    pub range: RangeInclusive<u64>,
    /// Whether a change needs a restart.
    pub restart: bool,
    /// One paragraph, with the unit; a line per line.
    pub doc: &'static str,
    /// Where the value lives.
    pub(super) field: Field,
}

/// Writes a value into its field and shows a field as TOML.
pub(super) enum Field {
    /// A key that exists once.
    Once { set: Set<Config>, get: fn(&Config) -> String },
    /// A key that exists once per model.
    PerModel { set: Set<ModelConfig>, get: fn(&ModelConfig) -> String },
    /// A key that exists once per experiment.
    PerExperiment { set: Set<Definition>, get: fn(&Definition) -> String },
}

/// What the keys of a table with a name belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// `models.NAME`
    Models,
    /// `experiments.NAME`
    Experiments,
}

/// Reads a value into its field, or says what is wrong with it.
pub(super) type Set<T> = fn(&mut T, &Value, &Scope<'_>) -> Result<(), String>;

/// What reading a value may depend on besides the value.
pub(super) struct Scope<'a> {
    pub(super) range: &'a RangeInclusive<u64>,
    pub(super) machine: &'a Machine,
}

// === impl Key ===

impl Key {
    /// The section; empty at the top level, `models.NAME` for the settings of a model, and so on.
    pub fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// The name within the section.
    pub fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }

    /// What it exists once for each of; none where it exists once.
    pub fn family(&self) -> Option<Family> {
        match self.field {
            Field::Once { .. } => None,
            Field::PerModel { .. } => Some(Family::Models),
            Field::PerExperiment { .. } => Some(Family::Experiments),
        }
    }
}

// === impl Family ===

impl Family {
    /// Every family, in the order of the table.
    pub const ALL: [Self; 2] = [Self::Models, Self::Experiments];

    /// The table that holds its tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::Experiments => "experiments",
        }
    }

    /// The section of its keys.
    pub const fn section(self) -> &'static str {
        match self {
            Self::Models => "models.NAME",
            Self::Experiments => "experiments.NAME",
        }
    }

    /// One of them, as messages call it.
    pub(super) const fn one(self) -> &'static str {
        match self {
            Self::Models => "model",
            Self::Experiments => "experiment",
        }
    }
}

/// Reads a field of its own type.
pub(super) fn store<T: Setting>(field: &mut T, value: &Value, scope: &Scope<'_>) -> Result<(), String> {
    *field = T::read(value, scope)?;
    Ok(())
}

/// Reads a field that `"auto"` derives from the machine.
pub(super) fn store_or_derive<T: Setting>(
    field: &mut T,
    value: &Value,
    scope: &Scope<'_>,
    derive: fn(&Machine) -> T,
) -> Result<(), String> {
    let read = || T::read(value, scope).map_err(|error| format!("{error}; \"auto\" asks the machine"));
    *field = if value.text() == Some("auto") { derive(scope.machine) } else { read()? };
    Ok(())
}

/// Reads a field that is "on", "off", or "auto" for what the machine suggests.
pub(super) fn store_switch(
    field: &mut bool,
    value: &Value,
    scope: &Scope<'_>,
    derive: fn(&Machine) -> bool,
) -> Result<(), String> {
    *field = match value.text() {
        Some("auto") => derive(scope.machine),
        Some("on") => true,
        Some("off") => false,
        _ => return Err(value.expected("one of `auto`, `on`, `off`")),
    };
    Ok(())
}

/// Stands in a duration that follows from where models come from, until all layers are read. No key's range
/// reaches it.
pub(super) const BY_URL: Duration = Duration::MAX;

/// Reads milliseconds that `"auto"` leaves to follow from `registry.url`.
pub(super) fn store_by_url(field: &mut Duration, value: &Value, scope: &Scope<'_>) -> Result<(), String> {
    let read = || u64::read(value, scope).map_err(|error| format!("{error}; \"auto\" follows registry.url"));
    *field = if value.text() == Some("auto") { BY_URL } else { Duration::from_millis(read()?) };
    Ok(())
}

/// Turns documented rows into [`Key`]s; see [`super::KEYS`] for how they read.
macro_rules! keys {
    (@restart live) => { false };
    (@restart restart) => { true };
    ($(
        $(#[doc = $doc:literal])+
        $when:ident $first:ident $(. $rest:ident)* = $default:tt $(in $low:literal ..= $high:literal)? => $field:expr;
    )+) => {
        &[$(Key {
            path: concat!(stringify!($first) $(, ".", stringify!($rest))*),
            default: stringify!($default),
            range: $crate::config::key::range(&[$($low, $high)?]),
            restart: keys!(@restart $when),
            doc: concat!($($doc, "\n"),+),
            field: $field,
        }),+]
    };
}

/// The field as it is.
macro_rules! plain {
    ($section:ident . $name:ident) => {
        $crate::config::key::Field::Once {
            set: |config, value, scope| $crate::config::key::store(&mut config.$section.$name, value, scope),
            get: |config| $crate::config::setting::Setting::write(&config.$section.$name),
        }
    };
    ($name:ident) => {
        $crate::config::key::Field::Once {
            set: |config, value, scope| $crate::config::key::store(&mut config.$name, value, scope),
            get: |config| $crate::config::setting::Setting::write(&config.$name),
        }
    };
}

/// The field, or what the machine suggests when the value is `"auto"`.
macro_rules! auto {
    ($section:ident . $name:ident, $derive:expr) => {
        $crate::config::key::Field::Once {
            set: |config, value, scope| {
                $crate::config::key::store_or_derive(&mut config.$section.$name, value, scope, $derive)
            },
            get: |config| $crate::config::setting::Setting::write(&config.$section.$name),
        }
    };
}

/// The field, "on" or "off", or what the machine suggests when the value is `"auto"`.
macro_rules! switch {
    ($section:ident . $name:ident, $derive:expr) => {
        $crate::config::key::Field::Once {
            set: |config, value, scope| {
                $crate::config::key::store_switch(&mut config.$section.$name, value, scope, $derive)
            },
            get: |config| if config.$section.$name { r#""on""# } else { r#""off""# }.to_owned(),
        }
    };
}

/// A duration, written as a number of the unit that the key's name ends in.
macro_rules! duration {
    ($section:ident . $name:ident, $from:ident, $as:ident) => {
        $crate::config::key::Field::Once {
            set: |config, value, scope| {
                let number = $crate::config::setting::Setting::read(value, scope)?;
                config.$section.$name = ::std::time::Duration::$from(number);
                Ok(())
            },
            get: |config| config.$section.$name.$as().to_string(),
        }
    };
}

/// A duration in milliseconds, or what `registry.url` suggests when the value is `"auto"`.
macro_rules! by_url {
    ($section:ident . $name:ident) => {
        $crate::config::key::Field::Once {
            set: |config, value, scope| {
                $crate::config::key::store_by_url(&mut config.$section.$name, value, scope)
            },
            get: |config| config.$section.$name.as_millis().to_string(),
        }
    };
}

/// The field of every model.
macro_rules! per_model {
    ($name:ident) => {
        $crate::config::key::Field::PerModel {
            set: |model, value, scope| $crate::config::key::store(&mut model.$name, value, scope),
            get: |model| $crate::config::setting::Setting::write(&model.$name),
        }
    };
}

/// The field of every experiment.
macro_rules! per_experiment {
    ($name:ident) => {
        $crate::config::key::Field::PerExperiment {
            set: |definition, value, scope| $crate::config::key::store(&mut definition.$name, value, scope),
            get: |definition| $crate::config::setting::Setting::write(&definition.$name),
        }
    };
}

/// A time of every experiment, in milliseconds.
macro_rules! experiment_millis {
    ($name:ident) => {
        $crate::config::key::Field::PerExperiment {
            set: |definition, value, scope| {
                let mut millis = 0_u64;
                $crate::config::key::store(&mut millis, value, scope)?;
                definition.$name = std::time::Duration::from_millis(millis);
                Ok(())
            },
            get: |definition| definition.$name.as_millis().to_string(),
        }
    };
}

pub(super) use {auto, by_url, duration, experiment_millis, keys, per_experiment, per_model, plain, switch};

/// The range of a row, everything when it names none.
pub(super) const fn range(bounds: &[u64]) -> RangeInclusive<u64> {
    match bounds {
        [low, high] => *low..=*high,
        _ => 0..=u64::MAX,
    }
}
