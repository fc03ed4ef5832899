//! The part of the configuration that requests look at, ready to use and replaced as a whole.

use std::collections::HashMap;
use std::time::Duration;

use subtle::ConstantTimeEq;

use crate::config::Config;
use crate::model::ModelName;

/// Live settings of the data path.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "one field per configuration key of the same name")]
pub struct Settings {
    pub body_bytes: usize,
    pub inflight_bytes: usize,
    pub request_timeout: Duration,
    pub queue_wait: Duration,
    pub reject_non_finite: bool,
    pub repository_control: bool,
    pub max_rows: usize,
    /// Models with a limit of rows of their own.
    pub model_max_rows: HashMap<ModelName, usize>,
    /// Bearer tokens of the data port; `None` is open.
    pub tokens: Option<Tokens>,
}

/// Bearer tokens, compared in constant time.
#[derive(Clone)]
pub struct Tokens(Vec<String>);

impl Settings {
    /// The settings of a configuration, with the data port's tokens as read from their file.
    pub fn new(config: &Config, tokens: Option<Vec<String>>) -> Self {
        Self {
            body_bytes: config.limits.body_bytes,
            inflight_bytes: config.limits.inflight_bytes,
            request_timeout: config.http.request_timeout,
            queue_wait: config.http.queue_wait,
            reject_non_finite: config.http.reject_non_finite,
            repository_control: config.http.repository_control,
            max_rows: config.limits.max_rows,
            model_max_rows: config
                .models
                .iter()
                .filter_map(|(name, m)| Some((name.clone(), m.max_rows?)))
                .collect(),
            tokens: tokens.map(Tokens),
        }
    }
}

impl Settings {
    /// Most rows of one request to a model.
    #[inline]
    pub fn max_rows(&self, model: &ModelName) -> usize {
        // Most configurations name no model, and then nothing is hashed.
        if self.model_max_rows.is_empty() {
            return self.max_rows;
        }
        self.model_max_rows.get(model).copied().unwrap_or(self.max_rows)
    }
}

impl Tokens {
    /// Tokens to compare with.
    pub const fn new(tokens: Vec<String>) -> Self {
        Self(tokens)
    }

    /// Whether an `Authorization` field carries one of them. Every token is compared, whatever the outcome.
    pub fn allow(&self, authorization: Option<&[u8]>) -> bool {
        let Some((scheme, token)) = authorization.and_then(|value| value.split_at_checked(7)) else {
            return false;
        };
        let token = token.trim_ascii();
        let found =
            self.0.iter().fold(subtle::Choice::from(0), |found, known| found | known.as_bytes().ct_eq(token));
        scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(found)
    }
}

impl std::fmt::Debug for Tokens {
    /// Secrets are never printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_bearer_token_is_allowed() {
        let tokens = Tokens::new(vec!["one".into(), "two".into()]);
        assert!(tokens.allow(Some(b"Bearer two")));
        assert!(tokens.allow(Some(b"bearer one")));
        for bad in [&b""[..], b"Bearer", b"Bearer ", b"Bearer three", b"Basic one", b"Bearer on", b"one"] {
            assert!(!tokens.allow(Some(bad)));
        }
        assert!(!tokens.allow(None));
        assert_eq!(format!("{tokens:?}"), "Tokens(2)");
    }
}
