//! Where the binary finds credentials when nobody writes keys into its environment: the roles of containers, machines
//! and clusters. What the services of AWS say is said here by a thread; the bucket sees with what it is asked.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::bucket::{Bucket, SECRET_KEY};
use super::harness::{Server, Setup, wait};
use super::onnx::constant;
use super::repository::Repository;

/// What every request of a temporary credential has to carry.
const TOKEN: &str = "canary-5ecret-d0-not-print-token";
/// What a service wants to see before it says anything.
const PASS: &str = "canary-5ecret-d0-not-print-pass";
const KEY: &str = "rolekey";
const SOON: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

/// A service on loopback that answers each request with what is made of its text; `None` is 404.
struct Service {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

// === impl Service ===

impl Service {
    fn start(answer: impl Fn(&str) -> Option<String> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (notes, end) = (asked.clone(), ended.clone());
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                let request = read(&mut stream);
                let (status, body) = answer(&request).map_or((404, String::new()), |body| (200, body));
                notes.lock().unwrap().push(request);
                let head = format!(
                    "HTTP/1.1 {status} it\r\ncontent-length: {}\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                drop(stream.write_all((head + &body).as_bytes()));
            }
        });
        Self { address, asked, ended, thread: Some(thread) }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// A request, with its body.
fn read(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(SOON)).unwrap();
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            if body.len() >= length.unwrap_or(0_usize) {
                return text;
            }
        }
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => text.push_str(&String::from_utf8_lossy(&buffer[..count])),
            _ => return text,
        }
    }
}

/// A moment as AWS writes it.
fn after(lasting: Duration) -> String {
    let end = time::OffsetDateTime::from(SystemTime::now() + lasting);
    let end = end.replace_nanosecond(0).unwrap();
    end.format(&time::format_description::well_known::Rfc3339).unwrap()
}

/// What the services of containers and machines say.
fn document(key: &str, lasting: Duration) -> String {
    json!({"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-11-23T00:00:00Z", "AccessKeyId": key,
        "SecretAccessKey": SECRET_KEY, "Token": TOKEN, "Expiration": after(lasting)})
    .to_string()
}

/// A bucket that knows nobody but the role, with version 1 of `m`.
fn bucket() -> Bucket {
    let bucket = Bucket::start();
    bucket.set_credentials(KEY, SECRET_KEY);
    Repository::new(&bucket.folder()).bare("m", 1, &constant(1.0));
    bucket
}

/// A sidecar of it that was given no keys.
fn without_keys(bucket: &Bucket, variables: &[(&str, &str)]) -> Setup {
    let setup = Setup::new()
        .registry(&bucket.url())
        .config("log.level = \"trace\"")
        .before("unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE");
    let of_bucket = bucket.environment();
    let known = of_bucket.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let known = known.filter(|(name, _)| !name.ends_with("_KEY_ID") && !name.ends_with("_ACCESS_KEY"));
    known.chain(variables.iter().copied()).fold(setup, |setup, (name, value)| setup.variable(name, value))
}

/// It serves, and whatever it asked of the bucket was signed with the role's key and carried its token.
#[track_caller]
fn serves(bucket: &Bucket, setup: Setup) -> Server {
    let server = setup.start_unready();
    server.wait_served("m", 1, SOON);
    let requests = bucket.take_requests();
    assert!(!requests.is_empty());
    for request in requests {
        assert_eq!((request.signer(), request.header("x-amz-security-token")), (Some(KEY), Some(TOKEN)));
    }
    let log = server.log();
    for secret in [SECRET_KEY, TOKEN, PASS] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    server
}

#[test]
fn temporary_keys_of_the_environment_go_with_their_token() {
    let bucket = bucket();
    let keys =
        [("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY), ("AWS_SESSION_TOKEN", TOKEN)];
    let setup = Setup::new().registry(&bucket.url()).config("log.level = \"trace\"");
    let of_bucket = bucket.environment();
    let setup = of_bucket.iter().fold(setup, |setup, (name, value)| setup.variable(name, value));
    serves(&bucket, keys.iter().fold(setup, |setup, (name, value)| setup.variable(name, value)));
}

#[test]
fn a_container_has_its_role() {
    let bucket = bucket();
    let service = Service::start(|request| {
        let known = request.starts_with("GET /role ") && request.contains(PASS);
        known.then(|| document(KEY, HOUR))
    });
    let uri = service.url() + "/role";
    let variables =
        [("AWS_CONTAINER_CREDENTIALS_FULL_URI", uri.as_str()), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", PASS)];
    let server = serves(&bucket, without_keys(&bucket, &variables));
    assert_eq!(service.asked().len(), 1, "{:?}", service.asked());
    drop(server);
}

#[test]
fn a_machine_has_its_role() {
    let bucket = bucket();
    let service = Service::start(|request| {
        let path = request.split(' ').nth(1).unwrap_or_default().trim_end_matches('/');
        match path {
            "/latest/api/token" => request.starts_with("PUT ").then(|| PASS.into()),
            _ if !request.contains(PASS) => None,
            "/latest/meta-data/iam/security-credentials" => Some("role".into()),
            "/latest/meta-data/iam/security-credentials/role" => Some(document(KEY, HOUR)),
            _ => None,
        }
    });
    let url = service.url();
    let variables =
        [("AWS_EC2_METADATA_DISABLED", "false"), ("AWS_EC2_METADATA_SERVICE_ENDPOINT", url.as_str())];
    drop(serves(&bucket, without_keys(&bucket, &variables)));
}

/// As of a service account of Kubernetes.
#[test]
fn a_token_of_a_cluster_is_exchanged_for_a_role() {
    let bucket = bucket();
    let service = Service::start(|request| {
        let asked = ["Action=AssumeRoleWithWebIdentity", "RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr", PASS];
        asked.iter().all(|part| request.contains(part)).then(|| {
            format!(
                "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
                 <AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{KEY}</AccessKeyId>\
                 <SecretAccessKey>{SECRET_KEY}</SecretAccessKey><SessionToken>{TOKEN}</SessionToken>\
                 <Expiration>{}</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
                 </AssumeRoleWithWebIdentityResponse>",
                after(HOUR)
            )
        })
    });
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, PASS).unwrap();
    let url = service.url();
    let variables = [
        ("AWS_ENDPOINT_URL_STS", url.as_str()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", file.to_str().unwrap()),
    ];
    drop(serves(&bucket, without_keys(&bucket, &variables)));
}

#[test]
fn keys_are_renewed_before_they_expire_and_nobody_is_denied() {
    let bucket = bucket();
    let current = Arc::new(Mutex::new((KEY, Duration::from_secs(20))));
    let told = current.clone();
    let service = Service::start(move |_| {
        let (key, lasting) = *told.lock().unwrap();
        Some(document(key, lasting))
    });
    let url = service.url();
    let server =
        serves(&bucket, without_keys(&bucket, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str())]));
    assert_eq!(service.asked().len(), 1, "they are kept while they are good");
    bucket.add_credentials("nextkey", SECRET_KEY);
    *current.lock().unwrap() = ("nextkey", HOUR);
    let is_next = |request: &super::bucket::Request| request.signer() == Some("nextkey");
    wait("the next key", SOON, || bucket.requests().iter().any(is_next).then_some(()));
    let requests = bucket.take_requests();
    let first = requests.iter().position(is_next).unwrap();
    assert!(requests[first..].iter().all(is_next), "the old key is done with");
    assert_eq!(service.asked().len(), 2);
    assert_eq!(server.metric("sidegate_registry_errors_total{reason=\"auth\"}"), 0.0);
    assert_eq!(server.metric("sidegate_registry_up"), 1.0);
}
