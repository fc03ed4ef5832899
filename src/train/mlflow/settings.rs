//! `[tracking]`: where trainings are tracked.

use std::time::Duration;

use serde::Deserialize;
use sidegate::config::{MlflowCredentials, MlflowUrl};
use sidegate::mlflow::Server;

/// All that is told may take so long, unless it is said.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How a version's stage is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Stages {
    /// As aliases: `production` and `champion`, `staging` and `challenger`.
    Alias,
    /// As MLflow's stages, which it calls deprecated.
    Stage,
    /// As both.
    #[default]
    Both,
}

/// `[tracking]`
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "File")]
pub(crate) struct Tracking {
    url: MlflowUrl,
    experiment: Option<String>,
    credentials: Variables,
    stages: Stages,
    timeout: Duration,
}

/// What the command line says in place of `[tracking]`: one configuration is trained from many branches and for many
/// servers.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct TrackingArgs {
    /// MLflow server that is told of the run [default: tracking.url, else none]
    #[arg(long, value_name = "URL")]
    pub(crate) tracking_url: Option<String>,
    /// Its experiment there, such as the branch [default: tracking.experiment, else the model's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) experiment: Option<String>,
}

/// Variables that hold credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Variables {
    /// MLflow's own, where they are set.
    Usual,
    Token(String),
    User(String, String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    url: String,
    experiment: Option<String>,
    token_env: Option<String>,
    user_env: Option<String>,
    password_env: Option<String>,
    #[serde(default)]
    stages: Stages,
    timeout_ms: Option<u64>,
}

// === impl Tracking ===

impl TryFrom<File> for Tracking {
    type Error = String;

    fn try_from(file: File) -> Result<Self, String> {
        let credentials = match (file.token_env, file.user_env, file.password_env) {
            (None, None, None) => Variables::Usual,
            (Some(token), None, None) => Variables::Token(token),
            (None, Some(user), Some(password)) => Variables::User(user, password),
            _ => return Err("tracking: keep either token_env, or user_env with password_env".into()),
        };
        let timeout = file.timeout_ms.map_or(TIMEOUT, Duration::from_millis);
        if !(100..=3_600_000).contains(&timeout.as_millis()) {
            return Err(format!("tracking.timeout_ms: {} is not in 100..=3600000", timeout.as_millis()));
        }
        Ok(Self {
            url: url("tracking.url", &file.url)?,
            experiment: file.experiment.map(|name| named("tracking.experiment", name)).transpose()?,
            credentials,
            stages: file.stages,
            timeout,
        })
    }
}

impl TrackingArgs {
    /// What holds instead of `configured`: what is given here wins.
    ///
    /// # Errors
    /// The flag that is wrong, or that has no server to be of.
    pub(crate) fn over(&self, configured: Option<Tracking>) -> Result<Option<Tracking>, String> {
        let given = self.tracking_url.as_deref().map(|text| url("--tracking-url", text)).transpose()?;
        let mut tracking = match (configured, given) {
            (Some(configured), Some(url)) => Some(Tracking { url, ..configured }),
            (None, Some(url)) => Some(Tracking {
                url,
                experiment: None,
                credentials: Variables::Usual,
                stages: Stages::default(),
                timeout: TIMEOUT,
            }),
            (configured, None) => configured,
        };
        if let Some(name) = &self.experiment {
            let name = named("--experiment", name.clone())?;
            let Some(tracking) = &mut tracking else {
                return Err("--experiment: no server is told of the run; name one with --tracking-url".into());
            };
            tracking.experiment = Some(name);
        }
        Ok(tracking)
    }
}

/// The server that `key` names.
fn url(key: &str, text: &str) -> Result<MlflowUrl, String> {
    MlflowUrl::parse(text).map_err(|error| format!("{key}: {error}"))
}

/// The experiment that `key` names.
fn named(key: &str, name: String) -> Result<String, String> {
    if name.trim().is_empty() {
        return Err(format!("{key}: a name is expected; leave it out to use the model's"));
    }
    Ok(name)
}

impl Tracking {
    /// The server, with the credentials that the environment holds now.
    ///
    /// # Errors
    /// The variable that is not set.
    pub(super) fn server(&self, variable: &dyn Fn(&str) -> Option<String>) -> Result<Server, String> {
        let value = |name: &str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("the variable {name}, which [tracking] names, is not set"))
        };
        let credentials = match &self.credentials {
            Variables::Usual => MlflowCredentials::from_process(),
            Variables::Token(token) => Some(MlflowCredentials::Token(value(token)?)),
            Variables::User(user, password) => {
                Some(MlflowCredentials::Basic { user: value(user)?, password: value(password)? })
            }
        };
        Ok(Server::new(self.url.clone(), credentials))
    }

    /// The experiment: the model's name unless one is named.
    pub(super) fn experiment<'a>(&'a self, model: &'a str) -> &'a str {
        self.experiment.as_deref().unwrap_or(model)
    }

    pub(super) fn stages(&self) -> Stages {
        self.stages
    }

    /// How long everything together may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Tracking, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_url_is_all_that_is_needed() {
        let tracking = read("url = \"http://mlflow:5000\"").unwrap();
        assert_eq!(tracking.experiment("churn"), "churn");
        assert_eq!(tracking.timeout(), Duration::from_secs(30));
        assert_eq!((tracking.stages(), &tracking.credentials), (Stages::Both, &Variables::Usual));
    }

    #[test]
    fn what_is_wrong_is_told_by_its_key() {
        for (text, part) in [
            ("", "url"),
            ("url = \"mlflow:5000\"", "tracking.url"),
            ("url = \"http://u:secret@m\"", "environment"),
            ("url = \"http://m\"\ntimeout_ms = 1", "timeout_ms"),
            ("url = \"http://m\"\nstages = \"none\"", "alias"),
            ("url = \"http://m\"\ntoken_env = \"T\"\nuser_env = \"U\"", "either token_env"),
            ("url = \"http://m\"\nuser_env = \"U\"", "either token_env"),
            ("url = \"http://m\"\nexperiment = \" \"", "experiment"),
            ("url = \"http://m\"\ntimeout = 1", "unknown field"),
        ] {
            let message = read(text).expect_err(text);
            assert!(message.contains(part) && !message.contains("secret@"), "{text}: {message}");
        }
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let tracking = read("url = \"http://m\"\nuser_env = \"U\"\npassword_env = \"P\"").unwrap();
        let only_user = |name: &str| (name == "U").then(|| "me".to_owned());
        assert!(tracking.server(&only_user).err().unwrap().contains("variable P"));
        assert!(tracking.server(&|_| Some("x".into())).is_ok());
    }

    #[test]
    fn the_command_line_wins() {
        let told = |url: Option<&str>, experiment: Option<&str>, configured: Option<&str>| {
            let [tracking_url, experiment] = [url, experiment].map(|text| text.map(str::to_owned));
            let configured = configured.map(|text| read(text).unwrap());
            let told = TrackingArgs { tracking_url, experiment }.over(configured)?;
            Ok::<_, String>(
                told.map(|told| (told.url.to_string(), told.experiment("churn").to_owned(), told)),
            )
        };
        assert!(told(None, None, None).unwrap().is_none());
        let file = "url = \"http://m:1\"\nexperiment = \"file\"\nstages = \"alias\"\ntoken_env = \"T\"";
        let [untouched, url, both] = [
            told(None, None, Some(file)),
            told(Some("http://n:2"), None, Some(file)),
            told(Some("http://n:2"), Some("main"), Some(file)),
        ]
        .map(|told| told.unwrap().unwrap());
        assert_eq!((&*untouched.0, &*untouched.1), ("http://m:1", "file"));
        assert_eq!((&*url.0, &*url.1), ("http://n:2", "file"));
        assert_eq!((&*both.0, &*both.1), ("http://n:2", "main"));
        // What the flags do not say stays as it was said.
        assert_eq!((both.2.stages(), &both.2.credentials), (Stages::Alias, &Variables::Token("T".into())));
        let (url, experiment, alone) = told(Some("http://n:2"), None, None).unwrap().unwrap();
        assert_eq!((&*url, &*experiment, alone.timeout()), ("http://n:2", "churn", TIMEOUT));
        for (url, experiment, part) in [
            (Some("n:2"), None, "--tracking-url: "),
            (None, Some("main"), "name one with --tracking-url"),
            (Some("http://n:2"), Some(" "), "--experiment: a name is expected"),
        ] {
            let error = told(url, experiment, None).err().unwrap();
            assert!(error.contains(part), "{error}");
        }
    }
}
