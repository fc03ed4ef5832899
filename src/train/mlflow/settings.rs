//! `[tracking]`: where trainings are tracked.

use std::time::Duration;

use serde::Deserialize;
use sidegate::config::{MlflowCredentials, MlflowUrl};
use sidegate::mlflow::Server;

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
        let timeout = file.timeout_ms.unwrap_or(30_000);
        if !(100..=3_600_000).contains(&timeout) {
            return Err(format!("tracking.timeout_ms: {timeout} is not in 100..=3600000"));
        }
        let url = MlflowUrl::parse(&file.url).map_err(|error| format!("tracking.url: {error}"))?;
        if file.experiment.as_ref().is_some_and(|name| name.trim().is_empty()) {
            return Err("tracking.experiment: a name is expected; leave it out to use the model's".into());
        }
        Ok(Self {
            url,
            experiment: file.experiment,
            credentials,
            stages: file.stages,
            timeout: Duration::from_millis(timeout),
        })
    }
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
}
