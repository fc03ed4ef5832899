use super::{Place, at};
use crate::schedule::lock::{Last, Lock, Standing, Taken};

const NOON: &str = "2026-11-28T12:00:00Z";

fn last(due: &str) -> Last {
    Last { due: Some(due.to_owned()), by: "a".to_owned(), status: "success".to_owned(), ..Last::default() }
}

#[track_caller]
fn ours(taken: Taken<'_>) -> Lock<'_> {
    match taken {
        Taken::Ours(lock) => lock,
        Taken::Held(held) => panic!("{held:?}"),
        Taken::Over(last) => panic!("{last:?}"),
    }
}

#[track_caller]
fn held(taken: Taken<'_>) -> String {
    match taken {
        Taken::Held(held) => held.by,
        _ => panic!("it was not held"),
    }
}

#[test]
fn one_at_a_time_and_the_next_when_it_is_let_go() {
    let place = Place::new(NOON);
    let (a, b) = (place.writer("a"), place.writer("b"));
    let lock = ours(Lock::take(&a, &place.model, None).unwrap());
    assert!(held(Lock::take(&b, &place.model, None).unwrap()).starts_with("a/"));
    // The same process twice is two.
    assert!(held(Lock::take(&a, &place.model, None).unwrap()).starts_with("a/"));
    // Other models are other locks.
    drop(ours(Lock::take(&b, &"other".parse().unwrap(), None).unwrap()));
    assert!(lock.release(last(NOON)).unwrap());
    let standing = Standing::read(&b, &place.model).unwrap();
    assert_eq!((standing.held(at(NOON)), standing.last_due()), (None, Some(at(NOON))));
    drop(ours(Lock::take(&b, &place.model, None).unwrap()));
    assert_eq!(Standing::read(&a, &place.model).unwrap().last, Some(last(NOON)), "it is kept meanwhile");
}

#[test]
fn the_lock_of_the_dead_runs_out_and_that_of_the_living_does_not() {
    let place = Place::new(NOON);
    let (a, b) = (place.writer("a"), place.writer("b"));
    let mut lock = ours(Lock::take(&a, &place.model, None).unwrap());
    for _ in 0..10 {
        place.clock.go(250);
        assert!(lock.renew().unwrap());
        assert!(held(Lock::take(&b, &place.model, None).unwrap()).starts_with("a/"));
    }
    // Five minutes, and a minute by which clocks may differ.
    place.clock.go(360);
    held(Lock::take(&b, &place.model, None).unwrap());
    place.clock.go(1);
    let other = ours(Lock::take(&b, &place.model, None).unwrap());
    assert!(!lock.renew().unwrap(), "it is somebody else's");
    assert!(!lock.release(last(NOON)).unwrap(), "what came too late is not written down");
    assert_eq!(Standing::read(&a, &place.model).unwrap().last, None);
    assert!(other.release(last(NOON)).unwrap());
}

#[test]
fn a_time_is_trained_for_once_whoever_wakes_later() {
    let place = Place::new(NOON);
    let (a, b) = (place.writer("a"), place.writer("b"));
    let due = at("2026-11-28T11:59:00Z");
    ours(Lock::take(&a, &place.model, Some(due)).unwrap()).release(last("2026-11-28T11:59:00Z")).unwrap();
    assert!(matches!(Lock::take(&b, &place.model, Some(due)).unwrap(), Taken::Over(last) if last.by == "a"));
    // A training that somebody asked for in between is for no time, and lets nobody forget.
    let asked = Last { due: None, ..last("") };
    ours(Lock::take(&a, &place.model, None).unwrap()).release(asked).unwrap();
    assert_eq!(Standing::read(&b, &place.model).unwrap().last_due(), Some(due));
    assert!(matches!(Lock::take(&b, &place.model, Some(due)).unwrap(), Taken::Over(_)));
    drop(ours(Lock::take(&b, &place.model, Some(due + time::Duration::minutes(1))).unwrap()));
}

#[test]
fn an_object_that_is_none_of_ours_is_not_written_over() {
    let place = Place::new(NOON);
    let writer = place.writer("a");
    let path = place.folder.path().join(sidegate::registry::layout::training_lock(&place.model));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    for (text, expected) in [("{", "cannot be read"), ("{\"format\":2}", "format 2 is not known")] {
        std::fs::write(&path, text).unwrap();
        let failure = Lock::take(&writer, &place.model, None).err().unwrap();
        assert!(failure.code() == 6 && failure.to_string().contains(expected), "{failure}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
}
