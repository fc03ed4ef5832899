//! Asks the admin port of a running sidegate: one blocking request, with a deadline.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::AdminArgs;
use super::answer::{Answer, parse};
use super::failure::Failure;
use crate::config::{Config, Origin, Problems, Sources, load_leniently, read_tokens};

/// For connecting and for the whole exchange: what takes longer on this machine is as good as down.
const TIMEOUT: Duration = Duration::from_secs(2);

/// For a verb, which may wait until a version is loaded; the port itself gives up after 30 s.
const VERB_TIMEOUT: Duration = Duration::from_secs(35);

/// No answer of the admin port is larger; another server's might be endless.
const MAX_ANSWER: usize = 16 << 20;

/// Where to ask and what to show there.
#[derive(Debug)]
pub(super) struct Client {
    /// Which port, for messages.
    port: &'static str,
    address: String,
    token: Option<String>,
}

// === impl Client ===

impl Client {
    /// The client for these flags and the configuration of this process.
    pub(super) fn new(args: &AdminArgs) -> Result<Self, Failure> {
        Self::from_sources(args, &Sources { file: args.config.clone(), ..Sources::from_process(Vec::new()) })
    }

    fn from_sources(args: &AdminArgs, sources: &Sources) -> Result<Self, Failure> {
        // Leniently: a server runs on when its file breaks, and must stay within reach.
        let (loaded, mut problems) = load_leniently(sources);
        let admin = loaded.config.admin;
        let taken_over = |key: &str| match key {
            "admin.listen" => args.admin.is_some(),
            "admin.token_file" => args.token_file.is_some(),
            _ => true,
        };
        problems.retain(|problem| match (&problem.key, &problem.origin) {
            (Some(key), _) => !taken_over(key),
            // A file that was asked for by name is meant to be read.
            (None, origin) => args.config.is_some() && matches!(origin, Origin::File(_, 0)),
        });
        if !problems.is_empty() {
            return Err(Failure::Usage(Problems(problems).to_string()));
        }
        let address = match &args.admin {
            Some(address) => address.clone(),
            None => reachable(admin.listen, "admin.listen", "with --admin")?.to_string(),
        };
        let token = match args.token_file.as_ref().or(admin.token_file.as_ref()) {
            Some(path) => {
                read_tokens(path).map_err(|error| Failure::Usage(error.to_string()))?.into_iter().next()
            }
            None => None,
        };
        Ok(Self { port: "admin port", address, token })
    }

    /// A client of the data port: that of `address`, else that of the configuration.
    pub(super) fn of_data(address: Option<&str>, config: &Config) -> Result<Self, Failure> {
        let address = match address {
            Some(address) => address.trim_start_matches("http://").trim_end_matches('/').to_owned(),
            None => reachable(config.http.listen, "http.listen", "with --http")?.to_string(),
        };
        let tokens = config.auth.token_file.as_deref().map(read_tokens).transpose();
        let token = tokens
            .map_err(|error| Failure::Usage(error.to_string()))?
            .and_then(|tokens| tokens.into_iter().next());
        Ok(Self { port: "data port", address, token })
    }

    /// Posts JSON; the answer whatever its status.
    pub(super) fn post(&self, path: &str, body: &str) -> Result<Answer, Failure> {
        self.ask("POST", path, body, VERB_TIMEOUT)
    }

    /// Asks for JSON; also its text as it came.
    pub(super) fn json(&self, path: &str) -> Result<(Value, String), Failure> {
        self.judge(path, self.get(path)?)
    }

    /// Has something done; `body` is JSON or empty.
    pub(super) fn order(&self, method: &str, path: &str, body: &str) -> Result<Value, Failure> {
        let answer = self.ask(method, path, body, VERB_TIMEOUT)?;
        Ok(self.judge(path, answer)?.0)
    }

    /// The JSON of a good answer.
    fn judge(&self, path: &str, answer: Answer) -> Result<(Value, String), Failure> {
        let Answer { status, body, .. } = answer;
        let text = String::from_utf8_lossy(&body).into_owned();
        let value: Option<Value> = serde_json::from_str(&text).ok();
        let address = &self.address;
        match (status, value) {
            (200, Some(value)) => Ok((value, text)),
            (401 | 403, _) => Err(Failure::Failed(format!(
                "{address} asks for another token: name the file that its admin.token_file names, with --token-file"
            ))),
            (_, value) => {
                let said = value.as_ref().and_then(|value| value["error"].as_str());
                let code = value.as_ref().and_then(|value| value["code"].as_str());
                // Only sidegate gives both.
                if let (Some(text), Some(code)) = (said, code) {
                    return Err(Failure::Refused { code: code.to_owned(), text: text.to_owned() });
                }
                let said = said.map(|said| format!(": {said}")).unwrap_or_default();
                Err(Failure::Failed(format!(
                    "{address} answered {path} with status {status}{said}; is it sidegate's admin port?"
                )))
            }
        }
    }

    /// Asks, whatever the status of the answer.
    pub(super) fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.ask("GET", path, "", TIMEOUT)
    }

    fn ask(&self, method: &str, path: &str, body: &str, limit: Duration) -> Result<Answer, Failure> {
        let address = &self.address;
        let addresses: Vec<SocketAddr> = match address.to_socket_addrs() {
            Ok(addresses) => addresses.collect(),
            Err(error) => {
                let text = format!("`{address}` is no address like 127.0.0.1:8002 ({error})");
                return Err(Failure::Usage(text));
            }
        };
        let body = if method == "GET" {
            "\r\n".into()
        } else {
            format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        };
        let authorization = self.token.as_ref().map(|token| format!("authorization: Bearer {token}\r\n"));
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nuser-agent: sidegate/{}\r\naccept: application/json\r\n{}\
             connection: close\r\n{body}",
            env!("CARGO_PKG_VERSION"),
            authorization.unwrap_or_default(),
        );
        exchange(&addresses, &request, limit).map_err(|error| {
            Failure::Failed(format!(
                "no answer from the {} {address}: {error}; is sidegate running? Its line `listening …` names the port, \
                 {} chooses another",
                self.port,
                if self.port == "data port" { "--http" } else { "--admin" },
            ))
        })
    }
}

/// Sends a request to the first address that takes it, and reads the answer.
fn exchange(addresses: &[SocketAddr], request: &str, limit: Duration) -> Result<Answer, String> {
    let mut error = "the name has no address".to_owned();
    let connected = addresses.iter().find_map(|address| {
        TcpStream::connect_timeout(address, TIMEOUT).map_err(|e| error = e.to_string()).ok()
    });
    let mut stream = connected.ok_or(error)?;
    let deadline = Instant::now() + limit;
    let text = |error: std::io::Error| error.to_string();
    stream.set_write_timeout(Some(TIMEOUT)).map_err(text)?;
    stream.write_all(request.as_bytes()).map_err(text)?;
    let (mut buffer, mut chunk) = (Vec::new(), [0; 8192]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("nothing complete within {} s", limit.as_secs()));
        }
        stream.set_read_timeout(Some(left)).map_err(text)?;
        let read = match stream.read(&mut chunk) {
            Ok(read) => read,
            // Both mean that the time is up, which the next turn says.
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                continue;
            }
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e.to_string()),
        };
        buffer.extend_from_slice(&chunk[..read]);
        if let Some(answer) = parse(&buffer, read == 0, MAX_ANSWER)? {
            return Ok(answer);
        }
        if buffer.len() > MAX_ANSWER {
            return Err(format!("more than {} MiB", MAX_ANSWER >> 20));
        }
    }
}

/// The address to ask for a server that listens there.
pub(super) fn reachable(listen: SocketAddr, key: &str, by: &str) -> Result<SocketAddr, Failure> {
    if listen.port() == 0 {
        let text = format!("{key} leaves the port open (0); name the one of the line `listening …` {by}");
        return Err(Failure::Usage(text));
    }
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    Ok(SocketAddr::new(ip, listen.port()))
}

#[cfg(test)]
mod tests;
