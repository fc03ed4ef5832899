//! Reads the configuration file into settings, and says line by line what does not belong in it.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::Key;
use super::keys::KEYS;
use super::problem::{Origin, Problem};
use super::suggest;
use super::value::Value;
use crate::model::{ModelName, shorten};

/// A value that someone wrote for a key.
pub(super) struct Written {
    pub(super) key: &'static Key,
    /// For a key that exists once per model.
    pub(super) model: Option<ModelName>,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// What a file says.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) settings: Vec<Written>,
    /// Models that have a table of their own, even an empty one.
    pub(super) models: BTreeSet<ModelName>,
    pub(super) problems: Vec<Problem>,
}

struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
    layer: Layer,
}

/// Reads the text of the file at `path`.
pub(super) fn read(text: &str, path: &Path) -> Layer {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, path, layer: Layer::default() };
    reader.root(root.get_ref());
    // What the parser made of a broken line is not what was meant: the line is reported once.
    let broken: Vec<Origin> = errors.iter().map(|e| reader.at(&e.span().unwrap_or_default())).collect();
    let mut layer = reader.layer;
    layer.problems.retain(|problem| !broken.contains(&problem.origin));
    layer.settings.retain(|written| !broken.contains(&written.origin));
    for (error, origin) in errors.iter().zip(broken) {
        let text = error.message().lines().collect::<Vec<_>>().join(", ");
        layer.problems.push(Problem { origin, key: None, text });
    }
    layer
}

/// The key of that path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether `[name]` holds keys.
fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.section() == name && !name.is_empty())
}

// === impl Written ===

impl Written {
    /// The key with the model's name in it, as messages and dumps show it.
    pub(super) fn path(&self) -> String {
        path(self.key, self.model.as_ref())
    }
}

/// The key with the model's name in it.
pub(super) fn path(key: &Key, model: Option<&ModelName>) -> String {
    match model {
        Some(model) => key.path.replacen("NAME", model.as_str(), 1),
        None => key.path.to_owned(),
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn root(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let span = name.span();
            let name = name.get_ref().as_ref();
            match (name, value.get_ref()) {
                ("models", DeValue::Table(models)) => self.models(models),
                (_, DeValue::Table(keys)) if is_section(name) => self.section(name, None, keys),
                (_, DeValue::Table(_)) => {
                    let text = format!("unknown section{}", suggest::section(name));
                    self.problem(&span, format!("[{}]", shorten(name)), text);
                }
                ("models", _) => {
                    self.problem(&span, name.into(), "expected tables like [models.NAME]".into());
                }
                _ if is_section(name) => {
                    self.problem(&span, name.into(), format!("expected a table, [{name}]"));
                }
                _ => self.setting("", None, &span, name, value),
            }
        }
    }

    fn models(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let text = name.get_ref().as_ref();
            let shown = format!("models.{}", shorten(text));
            match (text.parse::<ModelName>(), value.get_ref()) {
                (Ok(model), DeValue::Table(keys)) => {
                    self.section("models.NAME", Some(&model), keys);
                    self.layer.models.insert(model);
                }
                (Err(error), _) => self.problem(&name.span(), shown, error.to_string()),
                (Ok(_), _) => self.problem(&name.span(), shown, format!("expected a table, [models.{text}]")),
            }
        }
    }

    fn section(&mut self, section: &str, model: Option<&ModelName>, table: &DeTable<'_>) {
        for (name, value) in table {
            self.setting(section, model, &name.span(), name.get_ref(), value);
        }
    }

    fn setting(
        &mut self,
        section: &str,
        model: Option<&ModelName>,
        span: &Range<usize>,
        name: &str,
        value: &Spanned<DeValue<'_>>,
    ) {
        let full = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
        // A section's name never makes a key of the top level, nor `models.NAME` one of a model called NAME.
        if let Some(key) = find(&full).filter(|key| key.section() == section) {
            let (value, origin) = (Value::from_toml(value.get_ref()), self.at(span));
            self.layer.settings.push(Written { key, model: model.cloned(), value, origin });
            return;
        }
        let hint = match (model, value.get_ref()) {
            (Some(model), DeValue::Table(_)) => {
                format!("; a model's name with dots is quoted: [models.\"{model}.{}\"]", shorten(name))
            }
            _ => suggest::key(&full),
        };
        let shown = model.map_or(full.clone(), |model| full.replacen("NAME", model.as_str(), 1));
        self.problem(span, shorten(&shown), format!("unknown key{hint}"));
    }

    fn problem(&mut self, span: &Range<usize>, key: String, text: String) {
        let origin = self.at(span);
        self.layer.problems.push(Problem { origin, key: Some(key), text });
    }

    fn at(&self, span: &Range<usize>) -> Origin {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        Origin::File(self.path.into(), 1 + before.iter().filter(|byte| **byte == b'\n').count())
    }
}
