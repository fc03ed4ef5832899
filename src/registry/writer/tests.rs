use super::*;
use crate::registry::store::Folder;

#[test]
fn a_change_is_one_generation_and_says_who_made_it() {
    let root = tempfile::tempdir().unwrap();
    let writer = Writer::new(Box::new(Folder::new(root.path())), "ann@host");
    let model = "churn".parse().unwrap();
    let done = writer.mutate(&model, |draft| {
        draft.note(AuditEntry { verb: "epoch".into(), ..AuditEntry::default() });
        Ok(7)
    });
    let done = done.unwrap();
    assert_eq!((done.value, done.generation), (7, 1));
    let index = writer.read(&model).unwrap();
    assert_eq!((index.generation, &index.mutation), (1, &done.mutation));
    let entry = &index.audit[0];
    assert_eq!((entry.seq, &*entry.by, &entry.mutation), (1, "ann@host", &done.mutation));
    let nothing = writer.mutate(&model, |_| Ok(())).unwrap();
    assert_eq!((nothing.generation, nothing.mutation), (1, None));
    assert_eq!(writer.read(&model).unwrap().generation, 1);
}
