//! Configurations as text: the committed file, the effective dump, and who said what.

use super::environment::variable;
use super::file::path;
use super::key::{Family, Field, Key};
use super::keys::KEYS;
use super::problem::Origin;
use super::sources::Loaded;
use super::{Config, DEFAULT_FILE};

/// A key with its effective value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// `section.name`, with the model's name in it where it has one.
    pub key: String,
    /// The value as TOML; that of every key but those that are tables is JSON too.
    pub value: String,
    /// Who said so.
    pub origin: Origin,
}

/// Every key with its effective value and origin, in the order of the table, then model by model and experiment by
/// experiment.
pub fn values(loaded: &Loaded) -> Vec<Shown> {
    let config = &loaded.config;
    let shown = |key: String, value| {
        let origin = loaded.origins.get(&key).cloned().unwrap_or(Origin::Default);
        Shown { key, value, origin }
    };
    let once = KEYS.iter().filter_map(|key| match &key.field {
        Field::Once { get, .. } => Some(shown(key.path.to_owned(), get(config))),
        Field::PerModel { .. } | Field::PerExperiment { .. } => None,
    });
    let per_model = config.models.iter().flat_map(|(name, model)| {
        KEYS.iter().filter_map(move |key| match &key.field {
            Field::PerModel { get, .. } => Some(shown(path(key, Some(name)), get(model))),
            Field::Once { .. } | Field::PerExperiment { .. } => None,
        })
    });
    let per_experiment = config.definitions.iter().flat_map(|(name, definition)| {
        KEYS.iter().filter_map(move |key| match &key.field {
            Field::PerExperiment { get, .. } => Some(shown(path(key, Some(name)), get(definition))),
            Field::Once { .. } | Field::PerModel { .. } => None,
        })
    });
    once.chain(per_model).chain(per_experiment).collect()
}

/// The effective configuration as a file that loads to the same.
pub fn to_toml(config: &Config) -> String {
    let loaded = Loaded { config: config.clone(), origins: Default::default(), file: None };
    document(&loaded, |_, line| line)
}

/// The effective configuration as a file, with the origin of every value that is not a default.
pub fn annotated(loaded: &Loaded) -> String {
    document(loaded, |shown, line| match &shown.origin {
        Origin::Default => line,
        origin => format!("{line:<40} # {origin}"),
    })
}

/// `config/sidegate.toml`: every key with its documentation, commented out at its default.
pub fn template() -> String {
    let mut text = format!(
        "# The configuration of sidegate ({DEFAULT_FILE} of the working folder, or the file that --config or\n\
         # SIDEGATE_CONFIG names). Every key stands here at its default; uncomment what you change.\n\
         # A flag goes before the environment, the environment before this file. The variable of a key is its\n\
         # section and name in capitals: {}. A change is picked up within 2 s, except where a\n\
         # restart is named; `sidegate check` shows what holds. This file is generated from src/config/keys.rs.\n",
        KEYS.iter().find(|key| key.path == "http.listen").map(variable).unwrap_or_default(),
    );
    let mut section = "";
    for key in KEYS {
        if key.section() != section {
            section = key.section();
            let commented = if key.family().is_some() { "#" } else { "" };
            text += &format!("\n{commented}[{section}]\n");
        } else {
            text += "\n";
        }
        for line in key.doc.lines() {
            text += &format!("# {}\n", line.trim());
        }
        text += &fine_print(key);
        text += &format!("#{} = {}\n", key.name(), key.default);
    }
    text
}

/// What the table knows besides the prose.
fn fine_print(key: &Key) -> String {
    let range = match (key.range.start(), key.range.end()) {
        (_, &u64::MAX) => None,
        (low, high) => Some(format!("{low} to {high}")),
    };
    let restart = key.restart.then(|| "needs a restart".to_owned());
    let notes: Vec<String> = [range, restart].into_iter().flatten().collect();
    if notes.is_empty() { String::new() } else { format!("# ({})\n", notes.join("; ")) }
}

/// Sections and lines of all values; `line` may add to a line.
fn document(loaded: &Loaded, line: impl Fn(&Shown, String) -> String) -> String {
    let mut text = String::new();
    let mut section = String::new();
    for shown in values(loaded) {
        let family = Family::ALL.into_iter().find_map(|family| {
            let rest = shown.key.strip_prefix(family.name())?.strip_prefix('.')?;
            Some((family, rest.rsplit_once('.')?))
        });
        let (head, name) = match family {
            // Quoted, because names may hold dots.
            Some((family, (named, name))) => (format!("{}.\"{named}\"", family.name()), name),
            None => {
                shown.key.rsplit_once('.').map_or((String::new(), shown.key.as_str()), |(s, n)| (s.into(), n))
            }
        };
        if head != section {
            text += &format!("\n[{head}]\n");
            section = head;
        }
        text += &line(&shown, format!("{name} = {}", shown.value));
        text.push('\n');
    }
    text
}
