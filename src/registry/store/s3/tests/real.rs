//! This store on a real one: SeaweedFS, where it is at hand (`scripts/test.sh bucket`).

use super::super::super::seaweed::{self, Seaweed, seaweed};
use super::super::super::suite::suite_of_folders;
use super::*;
use crate::registry::digest::Digest;
use crate::registry::writer::Writer;

fn on(seaweed: &Seaweed, prefix: &str) -> S3 {
    let options = S3Options {
        bucket: seaweed::BUCKET.into(),
        prefix: prefix.into(),
        endpoint: Some(seaweed.endpoint()),
        region: None,
        path_style: PathStyle::Auto,
        attempts: 3,
    };
    let keys = || {
        let keys = Credentials::new(seaweed::ACCESS_KEY, seaweed::SECRET_KEY, None, None, "test");
        client::places().credentials_provider(keys)
    };
    S3::with(options, Limits::default(), Box::new(keys))
}

#[test]
fn seaweed_passes_the_suite_and_the_probe_and_gives_large_objects_by_parts() {
    let Some(seaweed) = seaweed() else { return };
    suite_of_folders(&on(&seaweed, "suite"));

    let writer = Writer::new(Box::new(on(&seaweed, "probed")), "ann@host");
    changes::change(&writer, "first", || ()).unwrap();
    assert_eq!(seaweed.keys("probed").len(), 2, "model.json and the hint, and nothing of the probe");

    let store = on(&seaweed, "parts");
    let large: Vec<u8> = (0..9_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
    store.write(KEY, Body::Bytes(&large), Condition::Absent).unwrap();
    let mut sink = Vec::new();
    let stat = store.download(KEY, 16 << 20, &mut sink).unwrap().unwrap();
    assert_eq!(stat.bytes, large.len() as u64);
    assert_eq!(Digest::of(&sink, &mut || ()), Digest::of(&large, &mut || ()));
    // A part that is asked for of a state that is gone.
    let changed = store.download(KEY, 16 << 20, &mut Replacing(&seaweed));
    assert_eq!(fault(changed).0, "changed");
}

/// A sink that replaces the object as soon as a part of it has come.
struct Replacing<'a>(&'a Seaweed);

impl io::Write for Replacing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Not on this thread, which is at work for the store.
        let put = || self.0.put(&format!("parts/{KEY}"), vec![1; 9 << 20]);
        std::thread::scope(|scope| scope.spawn(put).join().unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
