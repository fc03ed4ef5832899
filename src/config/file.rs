//! Reads the configuration file into settings, and says line by line what does not belong in it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::key::{Family, Key};
use super::keys::KEYS;
use super::problem::{Origin, Problem};
use super::suggest;
use super::value::Value;
use crate::model::{ModelName, shorten};

/// A value that someone wrote for a key.
pub(super) struct Written {
    pub(super) key: &'static Key,
    /// For a key of a family: the model, or the experiment, which is named by the same rule.
    pub(super) name: Option<ModelName>,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// What a file says.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) settings: Vec<Written>,
    /// Models and experiments that have a table of their own, even an empty one, and where.
    pub(super) named: BTreeMap<(Family, ModelName), Origin>,
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
    /// The key with the name in it, as messages and dumps show it.
    pub(super) fn path(&self) -> String {
        path(self.key, self.name.as_ref())
    }
}

/// The key with the name of its model or experiment in it.
pub(super) fn path(key: &Key, name: Option<&ModelName>) -> String {
    match name {
        Some(name) => key.path.replacen("NAME", name.as_str(), 1),
        None => key.path.to_owned(),
    }
}

// === impl Reader ===

impl Reader<'_> {
    fn root(&mut self, table: &DeTable<'_>) {
        for (name, value) in table {
            let span = name.span();
            let name = name.get_ref().as_ref();
            let family = Family::ALL.into_iter().find(|family| family.name() == name);
            match (family, value.get_ref()) {
                (Some(family), DeValue::Table(named)) => self.family(family, named),
                (Some(_), _) => {
                    self.problem(&span, name.into(), format!("expected tables like [{name}.NAME]"));
                }
                (None, DeValue::Table(keys)) if is_section(name) => self.section(name, None, keys),
                (None, DeValue::Table(_)) => {
                    let text = format!("unknown section{}", suggest::section(name));
                    self.problem(&span, format!("[{}]", shorten(name)), text);
                }
                (None, _) if is_section(name) => {
                    self.problem(&span, name.into(), format!("expected a table, [{name}]"));
                }
                (None, _) => self.setting("", None, &span, name, value),
            }
        }
    }

    fn family(&mut self, family: Family, table: &DeTable<'_>) {
        for (name, value) in table {
            let text = name.get_ref().as_ref();
            let shown = format!("{}.{}", family.name(), shorten(text));
            // What holds for all of them stands beside their tables.
            if find(&shown).is_some() && !matches!(value.get_ref(), DeValue::Table(_)) {
                self.setting(family.name(), None, &name.span(), text, value);
                continue;
            }
            match (text.parse::<ModelName>(), value.get_ref()) {
                (Ok(named), DeValue::Table(keys)) => {
                    self.section(family.section(), Some(&named), keys);
                    let origin = self.at(&name.span());
                    self.layer.named.insert((family, named), origin);
                }
                (Err(_), _) if family == Family::Experiments => {
                    let rule = "a letter or digit, then at most 63 of letters, digits, `.`, `_`, `-`";
                    let problem = format!("`{}` is not the name of an experiment: {rule}", shorten(text));
                    self.problem(&name.span(), shown, problem);
                }
                (Err(error), _) => self.problem(&name.span(), shown, error.to_string()),
                (Ok(_), _) => {
                    let problem = format!("expected a table, [{}.{text}]", family.name());
                    self.problem(&name.span(), shown, problem);
                }
            }
        }
    }

    fn section(&mut self, section: &str, named: Option<&ModelName>, table: &DeTable<'_>) {
        for (name, value) in table {
            self.setting(section, named, &name.span(), name.get_ref(), value);
        }
    }

    fn setting(
        &mut self,
        section: &str,
        named: Option<&ModelName>,
        span: &Range<usize>,
        name: &str,
        value: &Spanned<DeValue<'_>>,
    ) {
        let full = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
        // A section's name never makes a key of the top level, nor `models.NAME` one of a model called NAME.
        if let Some(key) = find(&full).filter(|key| key.section() == section) {
            let (value, origin) = (Value::from_toml(value.get_ref()), self.at(span));
            self.layer.settings.push(Written { key, name: named.cloned(), value, origin });
            return;
        }
        let family = Family::ALL.into_iter().find(|family| family.section() == section);
        let hint = match (family, named, value.get_ref()) {
            (Some(family), Some(named), DeValue::Table(_)) => {
                format!("; a name with dots is quoted: [{}.\"{named}.{}\"]", family.name(), shorten(name))
            }
            _ => suggest::key(&full),
        };
        let shown = named.map_or(full.clone(), |named| full.replacen("NAME", named.as_str(), 1));
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
