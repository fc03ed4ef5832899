//! Changes of a registry on a bucket: the writer and this store together, where either alone could be right.

use super::*;
use crate::registry::index::{AuditEntry, Index};
use crate::registry::writer::{ChangeError, Done, Writer};

/// A change with a name of its own; `meanwhile` happens before it is written.
pub(super) fn change(writer: &Writer, why: &str, mut meanwhile: impl FnMut()) -> Result<Done, ChangeError> {
    writer.mutate(&"m".parse().unwrap(), |draft| {
        meanwhile();
        draft.note(AuditEntry { verb: "test".into(), why: Some(why.into()), ..AuditEntry::default() });
        Ok(())
    })
}

fn writer(bucket: &Bucket, attempts: u32) -> Writer {
    Writer::new(Box::new(store(bucket, attempts, usual())), "ann@host")
}

/// The reasons of the changes that were made, in order, and the generation.
fn made(bucket: &Bucket) -> (u64, Vec<String>) {
    let index = Index::parse(&std::fs::read(bucket.folder().join("m/model.json")).unwrap()).unwrap();
    (index.generation, index.audit.into_iter().filter_map(|entry| entry.why).collect())
}

fn conditions(bucket: &Bucket) -> Vec<Option<String>> {
    let requests = bucket.take_requests().into_iter();
    let writes = requests.filter(|r| r.method == "PUT" && r.target.contains("/m/model.json"));
    writes.map(|write| write.header("if-match").map(str::to_owned)).collect()
}

#[test]
fn a_stale_change_loses_and_is_made_on_the_new_state() {
    let bucket = Bucket::start();
    let (ann, bob) = (writer(&bucket, 1), writer(&bucket, 1));
    change(&ann, "first", || ()).unwrap();
    bucket.take_requests();
    let mut tries = 0;
    change(&ann, "ann's", || {
        tries += 1;
        if tries == 1 {
            change(&bob, "bob's", || ()).unwrap();
        }
    })
    .unwrap();
    assert_eq!((tries, made(&bucket)), (2, (3, ["first", "bob's", "ann's"].map(str::to_owned).to_vec())));
    let sent = conditions(&bucket);
    assert!(sent.len() == 3 && sent[0].is_some() && sent[0] == sent[1] && sent[1] != sent[2], "{sent:?}");
}

#[test]
fn a_change_whose_answer_is_lost_is_known_for_ones_own_and_made_once() {
    // The store repeats by itself and meets its own first attempt, or leaves it to the writer.
    for attempts in [1, 3] {
        let bucket = Bucket::start();
        let ann = writer(&bucket, attempts);
        change(&ann, "first", || ()).unwrap();
        let lost = Rule::new(Wire::LostReply).method("PUT").key("/m/model.json").times(1);
        bucket.set_rules(vec![lost]);
        let done = change(&ann, "mine", || ()).unwrap();
        assert_eq!((done.generation, made(&bucket)), (2, (2, ["first", "mine"].map(str::to_owned).to_vec())));
    }
}

#[test]
fn a_bucket_that_ignores_conditions_is_refused_before_anything_is_written() {
    let bucket = Bucket::start();
    bucket.set_fault(Wire::IgnoreConditions);
    let error = change(&writer(&bucket, 3), "mine", || ()).unwrap_err().to_string();
    assert!(error.contains("registry.single_writer = true"), "{error}");
    assert_eq!(store(&bucket, 1, usual()).keys("").unwrap(), [""; 0]);
    let alone = writer(&bucket, 3).single_writer(true);
    change(&alone, "mine", || ()).unwrap();
    assert_eq!(made(&bucket), (1, vec!["mine".to_owned()]));
}
