//! What a configuration is made of, and how it is loaded.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::assembly::Assembly;
use super::environment::{BIND_TO_PORT, Environment, MULTI_MODEL, PREFIX};
use super::file::{self, Layer};
use super::key::Family;
use super::machine::Machine;
use super::problem::{Origin, Problem, Problems};
use super::{Config, Search};

/// The file that is read when nothing names one; it need not exist.
pub const DEFAULT_FILE: &str = "config/sidegate.toml";

/// Stands for a key in [`Sources::flags`]: the file of `sidegate serve MODEL_FILE`, which must exist.
pub const MODEL_FILE: &str = "MODEL_FILE";

/// Variables that others define and we follow.
const FOREIGN: [&str; 4] = ["ORT_DYLIB_PATH", "VIRTUAL_ENV", "XDG_CACHE_HOME", "HOME"];

/// Variables that say who the user is.
const USER: [&str; 2] = ["USER", "LOGNAME"];

/// Where AWS Lambda hands out invocations, `HOST:PORT`; it alone sets this.
const LAMBDA_API: &str = "AWS_LAMBDA_RUNTIME_API";

/// Memory of a function in MB, which no control group tells there.
const LAMBDA_MEMORY: &str = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE";

/// Everything that a configuration is made of. Keep it to [`load`] again on a reload.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Keys (or [`MODEL_FILE`]) with the text that the command line gives them.
    pub flags: Vec<(String, String)>,
    /// The variables of the environment; others than ours may be among them.
    pub env: Vec<(String, String)>,
    /// The file that the command line names.
    pub file: Option<PathBuf>,
    /// What the machine allows.
    pub machine: Machine,
}

/// A configuration with where it comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// Who wrote a key, by its path with the name of its model or experiment in it, and who wrote such a table; defaults
    /// are not listed.
    pub origins: BTreeMap<String, Origin>,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
}

/// Loads and checks the configuration.
///
/// # Errors
/// Everything that is wrong with any layer.
pub fn load(sources: &Sources) -> Result<Config, Problems> {
    let (loaded, problems) = load_leniently(sources);
    if problems.is_empty() { Ok(loaded.config) } else { Err(Problems(problems)) }
}

/// Loads what can be loaded: where a value is wrong, that of the layer below holds. For commands that need a key
/// or two of a configuration that may have been broken since the server started.
pub fn load_leniently(sources: &Sources) -> (Loaded, Vec<Problem>) {
    let mut assembly = Assembly::new(&sources.machine);
    let mut environment = Environment::new(&sources.env);
    assembly.config.engine.search = sources.search();
    assembly.cache = sources.cache();

    let (file, layer) = sources.read_file();
    assembly.problems.extend(layer.problems);
    for ((family, name), origin) in layer.named {
        assembly.named(family, &name, origin);
    }
    let settings = layer.settings.into_iter().chain(environment.once());
    settings.for_each(|written| assembly.apply(written));
    for (key, value) in &sources.flags {
        assembly.flag(key, value);
    }
    // Last, because only now it is known which models there are; no flag concerns a single one.
    for family in Family::ALL {
        for written in environment.named(family, &assembly.known(family)) {
            assembly.apply(written);
        }
    }
    assembly.problems.append(&mut environment.problems);
    let (config, origins, problems) = assembly.finish();
    (Loaded { config, origins, file }, problems)
}

// === impl Sources ===

impl Sources {
    /// The flags with the environment and machine of this process: the only place that reads them.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn from_process(flags: Vec<(String, String)>) -> Self {
        let others = [LAMBDA_API, LAMBDA_MEMORY, BIND_TO_PORT, MULTI_MODEL];
        let foreign = |name: &str| FOREIGN.contains(&name) || USER.contains(&name) || others.contains(&name);
        let ours = |name: &str| name.to_ascii_uppercase().starts_with(PREFIX) || foreign(name);
        let env = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .filter(|(name, _)| ours(name))
            .collect();
        let mut sources = Self { flags, env, file: None, machine: Machine::detect() };
        let function = sources.variable(LAMBDA_MEMORY).and_then(|megabytes| megabytes.parse::<u64>().ok());
        if let Some(megabytes) = function {
            sources.machine.limit_memory(megabytes.saturating_mul(1 << 20));
        }
        if Environment::new(&sources.env).is_multi_model() {
            // The instance is there for this container, and SageMaker makes room only where it hears that there is none.
            sources.machine.limit_to_memory();
        }
        sources
    }

    /// Where AWS Lambda hands out invocations, `HOST:PORT`; none outside of it.
    pub fn lambda_api(&self) -> Option<&str> {
        self.variable(LAMBDA_API)
    }

    fn variable(&self, wanted: &str) -> Option<&str> {
        let found = self.env.iter().find(|(name, value)| name == wanted && !value.trim().is_empty());
        found.map(|(_, value)| value.trim())
    }

    /// The file to read and to watch: of the flag, else of the environment, else the default one. Only the last
    /// may be missing.
    pub fn config_file(&self) -> PathBuf {
        self.named_file().unwrap_or_else(|| DEFAULT_FILE.into())
    }

    /// Who runs this process, as its environment says.
    pub fn user(&self) -> Option<&str> {
        USER.into_iter().find_map(|wanted| self.variable(wanted))
    }

    fn named_file(&self) -> Option<PathBuf> {
        let environment = || Environment::new(&self.env).config_file().map(PathBuf::from);
        self.file.clone().or_else(environment)
    }

    fn read_file(&self) -> (Option<PathBuf>, Layer) {
        let (named, path) = (self.named_file().is_some(), self.config_file());
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let layer = file::read(&text, &path);
                (Some(path), layer)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => (None, Layer::default()),
            Err(error) => {
                let text = format!("cannot be read: {error}");
                let problem = Problem { origin: Origin::File(path.clone(), 0), key: None, text };
                (Some(path), Layer { problems: vec![problem], ..Layer::default() })
            }
        }
    }

    fn search(&self) -> Search {
        let [ort_dylib_path, virtual_env, ..] = self.foreign();
        Search { ort_dylib_path, virtual_env }
    }

    /// By the rules of the XDG base directories, where a relative path does not count.
    fn cache(&self) -> Option<PathBuf> {
        let [.., cache, home] = self.foreign().map(|path| path.filter(|path| path.is_absolute()));
        cache.or_else(|| home.map(|home| home.join(".cache")))
    }

    fn foreign(&self) -> [Option<PathBuf>; 4] {
        FOREIGN.map(|wanted| {
            let found = self.env.iter().find(|(name, value)| name == wanted && !value.is_empty());
            found.map(|(_, value)| PathBuf::from(value))
        })
    }
}
