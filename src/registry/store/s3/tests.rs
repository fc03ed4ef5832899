//! A real client and a server that fails as servers and networks do.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use aws_config::ConfigLoader;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future::ProvideCredentials as Provided;
use aws_sdk_s3::config::{Credentials, ProvideCredentials};

use super::super::bucket::{ACCESS_KEY, Bucket, Fault as Wire, Rule, SECRET_KEY};
use super::super::suite;
use super::*;

mod changes;
mod real;

const KEY: &str = "m/1/model.onnx";
/// Two parts and a bit.
const LARGE: usize = (4 << 20) + 12_345;

fn options(bucket: &Bucket, attempts: u32) -> S3Options {
    S3Options {
        bucket: bucket.name().into(),
        prefix: bucket.prefix().into(),
        endpoint: Some(bucket.endpoint()),
        region: None,
        path_style: PathStyle::Auto,
        attempts,
    }
}

fn with_keys() -> ConfigLoader {
    client::places().credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "test"))
}

fn store(bucket: &Bucket, attempts: u32, limits: Limits) -> S3 {
    S3::with(options(bucket, attempts), limits, Box::new(with_keys))
}

/// Limits for tests that do not wait for them.
fn usual() -> Limits {
    Limits { pause: Duration::from_millis(1), ..Limits::default() }
}

/// Limits for tests that do.
fn impatient() -> Limits {
    Limits { progress: Duration::from_secs(1), head: Duration::from_secs(1), ..usual() }
}

fn large() -> Vec<u8> {
    (0..LARGE as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 7) as u8).collect()
}

fn drop_in(bucket: &Bucket, key: &str, bytes: &[u8]) {
    let path = bucket.folder().join(key);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    drop(std::fs::remove_file(&path));
    std::fs::write(path, bytes).unwrap();
}

/// A bucket with a large object.
fn with_object() -> Bucket {
    let bucket = Bucket::start();
    drop_in(&bucket, KEY, &large());
    bucket
}

/// An error's label and words, which hold no secret.
#[track_caller]
fn fault<T>(result: Result<T, StoreError>) -> (&'static str, String) {
    let Err(error) = result else { panic!("it worked") };
    let text = format!("{error} {error:?}");
    assert!(!text.contains(SECRET_KEY) && !text.contains(ACCESS_KEY), "{text}");
    (error.fault.label(), error.to_string())
}

#[test]
fn a_bucket_passes_the_suite() {
    suite(&store(&Bucket::start(), 1, usual()));
}

#[test]
fn a_bucket_that_answers_not_modified_passes_the_suite() {
    let bucket = Bucket::start();
    bucket.set_not_modified(true);
    let store = store(&bucket, 3, usual());
    suite(&store);
    let Read::Object { token, .. } = store.read("c/model.json", 9, None).unwrap() else { panic!() };
    let before = bucket.sent();
    assert_eq!(store.read("c/model.json", 9, Some(&token)).unwrap(), Read::Unchanged);
    assert_eq!(bucket.sent(), before, "nothing is sent again");
}

#[test]
fn lists_go_on_to_the_last_page_and_stay_within_the_prefix() {
    let bucket = Bucket::start();
    for number in 0..1005 {
        drop_in(&bucket, &format!("m/{number}/f"), b"");
    }
    drop_in(&bucket, "../b/other/1/f", b"");
    let store = store(&bucket, 1, usual());
    assert_eq!(store.list("").unwrap(), ["m"]);
    assert_eq!((store.list("m").unwrap().len(), store.keys("m").unwrap().len()), (1005, 1005));
    assert!(store.keys("").unwrap().iter().all(|key| key.starts_with("m/")));
}

#[test]
fn answers_that_refuse_say_what_to_do() {
    let bucket = with_object();
    let store = store(&bucket, 1, usual());
    for (status, code, label, words) in [
        (503, "SlowDown", "throttled", "SlowDown (status 503)"),
        (429, "TooManyRequests", "throttled", "429"),
        (500, "InternalError", "unreachable", "InternalError (status 500)"),
        (503, "ServiceUnavailable", "unreachable", "ServiceUnavailable"),
        (400, "RequestTimeout", "unreachable", "RequestTimeout"),
        (403, "AccessDenied", "auth", "do the credentials allow s3:"),
        (403, "InvalidAccessKeyId", "auth", "are the credentials right?"),
        (403, "SignatureDoesNotMatch", "auth", "are the credentials right?"),
        (403, "RequestTimeTooSkewed", "auth", "set this machine's clock"),
        (400, "ExpiredToken", "auth", "renew the credentials"),
        (301, "PermanentRedirect", "refused", "set registry.region or registry.endpoint"),
        (400, "InvalidBucketState", "refused", "InvalidBucketState"),
        (404, "NoSuchBucket", "refused", "there is no bucket `models`"),
        (501, "NotImplemented", "refused", "does not know"),
    ] {
        bucket.set_fault(Wire::Answer(status, code));
        let results = [
            fault(store.list("")),
            fault(store.read(KEY, 9, None)),
            fault(store.write("x", Body::Bytes(b"x"), Condition::Absent)),
        ];
        for (got, text) in results {
            assert!(got == label && text.contains(words), "{code}: {got}: {text}");
        }
        // An answer to HEAD has no code: the status has to do.
        if !matches!(status, 400 | 404) && code != "SlowDown" {
            assert_eq!(fault(store.stat(KEY)).0, label, "{code}");
        }
    }
}

#[test]
fn a_denial_names_the_permission() {
    let bucket = with_object();
    let store = store(&bucket, 1, usual());
    bucket.set_fault(Wire::Answer(403, "AccessDenied"));
    let read = "allow s3:GetObject, and s3:ListBucket for objects that may be missing?";
    for ((label, text), words) in [
        (fault(store.list("m")), "allow s3:ListBucket?"),
        (fault(store.keys("m")), "allow s3:ListBucket?"),
        (fault(store.stat(KEY)), read),
        (fault(store.read(KEY, 9, None)), read),
        (fault(store.write("x", Body::Bytes(b"x"), Condition::Absent)), "allow s3:PutObject?"),
        (
            fault(store.write("x", Body::Bytes(b"x"), Condition::Token("t"))),
            "allow s3:PutObject and s3:GetObject?",
        ),
        (fault(store.delete(KEY)), "allow s3:DeleteObject?"),
    ] {
        assert!(label == "auth" && text.ends_with(words), "{text}");
    }
    bucket.set_rules(vec![Rule::new(Wire::Answer(403, "AccessDenied")).method("GET")]);
    let (_, text) = fault(store.download(KEY, LARGE as u64, &mut io::sink()));
    assert!(text.ends_with(read), "{text}");
}

#[test]
fn an_ill_store_is_asked_once_by_who_comes_back_and_thrice_by_who_does_not() {
    let bucket = with_object();
    for (attempts, requests) in [(1, 1), (3, 3)] {
        let store = store(&bucket, attempts, usual());
        for ill in [Wire::Answer(503, "SlowDown"), Wire::Answer(500, "InternalError")] {
            bucket.set_fault(ill);
            let ask: [&dyn Fn(); 4] = [
                &|| drop(store.list("").unwrap_err()),
                &|| drop(store.read(KEY, 9, None).unwrap_err()),
                &|| drop(store.download(KEY, 9, &mut io::sink()).unwrap_err()),
                &|| drop(store.write("x", Body::Bytes(b""), Condition::Absent).unwrap_err()),
            ];
            for (position, ask) in ask.into_iter().enumerate() {
                bucket.take_requests();
                ask();
                assert_eq!(bucket.requests().len(), requests, "{position}");
            }
        }
        bucket.set_rules(vec![Rule::new(Wire::Answer(503, "SlowDown")).times(1)]);
        assert_eq!(store.list("").is_ok(), attempts > 1);
    }
}

#[test]
fn a_store_that_is_down_is_unreachable_until_it_is_up() {
    let bucket = with_object();
    let store = store(&bucket, 1, usual());
    assert_eq!(store.list("").unwrap(), ["m"]);
    bucket.set_fault(Wire::Down);
    let (label, text) = fault(store.list(""));
    assert!(label == "unreachable" && text.contains("refused"), "{text}");
    bucket.heal();
    assert_eq!(store.list("").unwrap(), ["m"]);
}

#[test]
fn nobody_is_sent_elsewhere() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let bucket = with_object();
    let store = store(&bucket, 3, usual());
    bucket.set_fault(Wire::Redirect(format!("http://{}/", elsewhere.local_addr().unwrap())));
    for (label, text) in [fault(store.list("")), fault(store.read(KEY, 9, None)), fault(store.stat(KEY))] {
        assert!(label == "refused" && text.contains("redirects to other hosts are not followed"), "{text}");
    }
    assert_eq!(elsewhere.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "nobody came");
}

#[test]
fn an_answer_that_never_begins_is_not_waited_for() {
    let bucket = with_object();
    let store = store(&bucket, 1, impatient());
    bucket.set_fault(Wire::Delay(Duration::from_secs(3600)));
    for (label, text) in [fault(store.list("")), fault(store.read(KEY, 9, None)), fault(store.stat(KEY))] {
        assert!(label == "unreachable" && text.contains("time"), "{text}");
    }
}

/// A download under a fault gives the object, by requests for these ranges, and no byte is sent twice.
#[track_caller]
fn resumes(rule: Rule, limits: Limits, ranges: &[&str]) {
    let bucket = with_object();
    let store = store(&bucket, 1, limits);
    bucket.set_rules(vec![rule.method("GET")]);
    let mut sink = Vec::new();
    let stat = store.download(KEY, LARGE as u64, &mut sink).unwrap().unwrap();
    assert!(sink == large(), "{} bytes came", sink.len());
    assert_eq!(stat.bytes, LARGE as u64);
    assert_eq!(bucket.sent(), LARGE as u64);
    let mut asked: Vec<String> = bucket.requests().into_iter().filter_map(|request| request.range).collect();
    asked.sort();
    assert_eq!(asked, ranges);
}

const WHOLE: [&str; 3] = ["bytes=0-2097151", "bytes=2097152-4194303", "bytes=4194304-4206648"];

#[test]
fn a_large_object_comes_by_parts() {
    resumes(Rule::new(Wire::Delay(Duration::from_millis(20))).times(1), usual(), &WHOLE);
}

#[test]
fn a_part_that_breaks_off_or_stalls_is_taken_up_where_it_stopped() {
    let ranges = [WHOLE[0], "bytes=1000000-2097151", WHOLE[1], WHOLE[2]];
    resumes(Rule::new(Wire::Cut(1_000_000)).times(1), usual(), &ranges);
    resumes(Rule::new(Wire::Stall(1_000_000)).times(1), impatient(), &ranges);
}

#[test]
fn a_small_object_that_breaks_off_is_taken_up_too() {
    let bucket = Bucket::start();
    drop_in(&bucket, KEY, &[7; 1000]);
    let store = store(&bucket, 1, usual());
    bucket.set_rules(vec![Rule::new(Wire::Cut(300)).times(2)]);
    assert_eq!(store.read(KEY, 1000, None).unwrap().bytes().unwrap(), [7; 1000]);
    assert_eq!(bucket.sent(), 1000);
}

#[test]
fn what_breaks_off_again_and_again_is_given_up() {
    let bucket = with_object();
    for (wire, words) in [
        (Wire::Cut(10), "broke off"),
        (Wire::Stall(10), "stalled"),
        (Wire::Trickle(1000), "stalled"),
        (Wire::Length(-5), "4206644 bytes where 4206649 were due"),
    ] {
        let limits = Limits { part_bytes: 8 << 20, progress: Duration::from_millis(300), ..impatient() };
        let store = store(&bucket, 1, limits.clone());
        bucket.take_requests();
        bucket.set_rules(vec![Rule::new(wire).method("GET")]);
        let (label, text) = fault(store.download(KEY, LARGE as u64, &mut io::sink()));
        assert!(label == "unreachable" && text.contains(words), "{text}");
        assert_eq!(bucket.count("GET"), 1 + limits.resumes as usize);
    }
}

#[test]
fn a_length_that_is_a_lie_is_never_believed() {
    let bucket = Bucket::start();
    drop_in(&bucket, KEY, &[7; 1000]);
    for (method, more) in [("GET", 10), ("GET", -10), ("HEAD", 10), ("HEAD", -10)] {
        let store = store(&bucket, 1, impatient());
        bucket.set_rules(vec![Rule::new(Wire::Length(more)).method(method)]);
        let mut sink = Vec::new();
        let (label, text) = fault(store.download(KEY, 2000, &mut sink));
        assert!(label == "unreachable" && sink.is_empty(), "{method} {more}: {text}");
    }
}

#[test]
fn an_object_that_is_replaced_on_the_way_is_not_mixed() {
    let bucket = with_object();
    let store = store(&bucket, 1, Limits { parts: 1, ..usual() });
    for replaced in [vec![1; LARGE], vec![2; 10]] {
        drop_in(&bucket, KEY, &large());
        bucket.set_rules(vec![Rule::new(Wire::Replace(replaced)).method("GET").times(1)]);
        let mut sink = Vec::new();
        assert_eq!(fault(store.download(KEY, LARGE as u64, &mut sink)).0, "changed");
        assert!(large().starts_with(&sink), "only what is of one state was handed on");
    }
    drop_in(&bucket, KEY, &large());
    bucket.heal();
    let removed = store.download(KEY, LARGE as u64, &mut Removing(&bucket));
    assert_eq!(fault(removed).0, "changed", "it is gone");
}

/// A sink that removes the object as soon as a part of it has come.
struct Removing<'a>(&'a Bucket);

impl io::Write for Removing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        drop(std::fs::remove_file(self.0.folder().join(KEY)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_more_parts_are_held_than_there_is_room_for() {
    let bucket = with_object();
    let limits = Limits { part_bytes: 256 << 10, ..impatient() };
    let store = store(&bucket, 1, limits);
    bucket.set_rules(vec![Rule::new(Wire::Stall(0)).method("GET").times(1)]);
    store.download(KEY, LARGE as u64, &mut io::sink()).unwrap();
    let ranges: Vec<String> = bucket.requests().into_iter().filter_map(|request| request.range).collect();
    let stalled = &ranges[0];
    assert_eq!(ranges.iter().rposition(|range| range == stalled), Some(4), "{ranges:?}");
}

#[test]
fn time_that_the_sink_takes_is_not_held_against_the_network() {
    struct Slow(Vec<u8>);
    impl io::Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                std::thread::sleep(Duration::from_millis(2500));
            }
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let bucket = with_object();
    let limits = Limits { progress: Duration::from_secs(2), progress_bytes: 1 << 20, resumes: 0, ..usual() };
    let store = store(&bucket, 1, limits);
    // The other parts are on the way while the first is taken.
    bucket.set_rules(vec![Rule::new(Wire::Trickle(4 << 20)).method("GET").after(1)]);
    let mut sink = Slow(Vec::new());
    store.download(KEY, LARGE as u64, &mut sink).unwrap();
    assert!(sink.0 == large());
}

#[test]
fn a_write_whose_answer_is_lost_may_have_happened() {
    let bucket = Bucket::start();
    for (attempts, requests) in [(1, 1), (3, 2)] {
        let store = store(&bucket, attempts, usual());
        let key = format!("m/{attempts}/model.onnx");
        bucket.take_requests();
        bucket.set_rules(vec![Rule::new(Wire::LostReply).method("PUT").times(1)]);
        let error = store.write(&key, Body::Bytes(b"mine"), Condition::Absent).unwrap_err();
        assert!(matches!(error.fault, Fault::Unreachable(_)) && error.fault.may_have_happened(), "{error}");
        assert_eq!(store.read(&key, 9, None).unwrap().bytes().unwrap(), b"mine");
        // The repetition met the first attempt, and that is no conflict with somebody else.
        assert_eq!(bucket.count("PUT"), requests);
        let conflict = store.write(&key, Body::Bytes(b"other"), Condition::Absent);
        assert_eq!(fault(conflict).0, "conflict");
    }
}

#[test]
fn a_write_that_was_put_off_is_repeated() {
    let bucket = Bucket::start();
    let store = store(&bucket, 3, usual());
    for rule in [Wire::Answer(503, "SlowDown"), Wire::Answer(500, "InternalError")] {
        bucket.set_rules(vec![Rule::new(rule).times(2)]);
        store.write("a", Body::Bytes(b"1"), Condition::None).unwrap();
    }
    bucket.set_fault(Wire::Answer(409, "ConditionalRequestConflict"));
    assert_eq!(fault(store.write("a", Body::Bytes(b"1"), Condition::None)).0, "conflict");
    bucket.heal();
    let gone = store.write("b", Body::File("/nowhere/x".as_ref()), Condition::None);
    assert_eq!(fault(gone).0, "local");
}

#[test]
fn a_store_that_knows_no_conditions_writes_all_the_same() {
    let bucket = Bucket::start();
    let store = store(&bucket, 1, usual());
    bucket.set_fault(Wire::IgnoreConditions);
    for bytes in [b"1", b"2"] {
        store.write("a", Body::Bytes(bytes), Condition::Absent).unwrap();
    }
    assert_eq!(store.read("a", 9, None).unwrap().bytes().unwrap(), b"2");
}

#[test]
fn an_object_is_settled_by_the_clock_of_the_server() {
    let bucket = with_object();
    let store = store(&bucket, 1, usual());
    assert!(!store.stat(KEY).unwrap().unwrap().settled);
    let file = std::fs::File::options().write(true).open(bucket.folder().join(KEY)).unwrap();
    file.set_modified(std::time::SystemTime::now() - Duration::from_secs(5)).unwrap();
    assert!(store.stat(KEY).unwrap().unwrap().settled);
}

#[test]
fn a_file_dropped_into_the_folder_is_the_object_whatever_was_written_before() {
    let bucket = Bucket::start();
    let store = store(&bucket, 1, usual());
    let written = store.write(KEY, Body::Bytes(b"written"), Condition::Absent).unwrap();
    drop_in(&bucket, KEY, b"dropped");
    let Read::Object { bytes, token } = store.read(KEY, 9, Some(&written)).unwrap() else { panic!() };
    assert_eq!((bytes.as_slice(), token != written), (&b"dropped"[..], true));
}

#[test]
fn a_bucket_that_is_not_there_is_named() {
    let bucket = Bucket::start();
    let options = S3Options { bucket: "nowhere".into(), ..options(&bucket, 1) };
    let store = S3::with(options, usual(), Box::new(with_keys));
    for (label, text) in [
        fault(store.list("")),
        fault(store.read(KEY, 9, None)),
        fault(store.write(KEY, Body::Bytes(b""), Condition::None)),
    ] {
        assert!(label == "refused" && text.contains("`nowhere`"), "{text}");
    }
}

#[test]
fn without_credentials_it_says_where_they_belong() {
    #[derive(Debug)]
    struct Nobody;
    impl ProvideCredentials for Nobody {
        fn provide_credentials<'a>(&'a self) -> Provided<'a>
        where
            Self: 'a,
        {
            Provided::ready(Err(CredentialsError::not_loaded_no_source()))
        }
    }
    let bucket = Bucket::start();
    let places = || client::places().credentials_provider(Nobody);
    let store = S3::with(options(&bucket, 1), usual(), Box::new(places));
    let (label, text) = fault(store.list(""));
    assert!(label == "auth" && text.contains("see docs/registry.md#credentials"), "{text}");
    assert!(bucket.requests().is_empty());
}

#[test]
#[expect(deprecated, reason = "the SDK's own replacement is not reachable without another crate")]
fn credentials_that_were_replaced_are_found() {
    use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};
    let bucket = with_object();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("credentials");
    let write = |key: &str, secret: &str| {
        let text = format!("[default]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
        std::fs::write(&path, text).unwrap();
    };
    write(ACCESS_KEY, "wrong");
    let file = path.clone();
    let places = move || {
        let files = ProfileFiles::builder().with_file(ProfileFileKind::Credentials, &file).build();
        let provider =
            aws_config::profile::ProfileFileCredentialsProvider::builder().profile_files(files).build();
        client::places().credentials_provider(provider)
    };
    let store = S3::with(options(&bucket, 1), usual(), Box::new(places));
    assert_eq!(fault(store.list("")).0, "auth");
    write(ACCESS_KEY, SECRET_KEY);
    assert_eq!(store.list("").unwrap(), ["m"]);
    bucket.set_credentials("newkey", "newsecret");
    assert_eq!(fault(store.list("")).0, "auth");
    write("newkey", "newsecret");
    assert_eq!(store.list("").unwrap(), ["m"]);
}

#[test]
fn a_store_may_end_where_others_are_asynchronous() {
    let bucket = with_object();
    let store = store(&bucket, 1, usual());
    store.list("").unwrap();
    let runtime = Builder::new_current_thread().build().unwrap();
    runtime.block_on(async move { drop(store) });
}

#[test]
fn a_connection_that_was_closed_while_nobody_looked_is_not_used() {
    let bucket = with_object();
    let store = store(&bucket, 1, usual());
    for _ in 0..50 {
        store.stat(KEY).unwrap();
        // Ends every connection, and is up again when the store comes back.
        bucket.set_fault(Wire::Down);
        bucket.heal();
    }
}
