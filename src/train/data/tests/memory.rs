use std::fs;
use std::io::Write as _;

use super::{DAY_ONE, file, open};
use crate::data::schema::Schema;
use crate::features::RawColumn;

/// Four times the limit, on disk; as rows it is more.
const BYTES: usize = 64 << 20;

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

#[test]
fn what_is_larger_than_the_limit_is_sorted_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let mut out = std::io::BufWriter::new(fs::File::create(&path).unwrap());
    writeln!(out, "t,a,b,c").unwrap();
    let (mut bytes, mut rows) = (0, 0_u64);
    while bytes < BYTES {
        // A full period of all 20-bit numbers: far from sorted, and no two alike until it is over.
        let instant = DAY_ONE + (rows * 1_664_525 % (1 << 20)).cast_signed() * 1000;
        let line = format!("{instant},{},{},{:0>60}\n", rows % 977, rows as f64 * 0.25, rows);
        bytes += line.len();
        rows += 1;
        out.write_all(line.as_bytes()).unwrap();
    }
    out.into_inner().unwrap().sync_all().unwrap();
    let temp = folder.path().join("temp");
    let more = format!(
        "date_column = \"t\"\ndate_unit = \"ms\"\norder = \"date\"\nmemory_limit = 16\ntemp_dir = {:?}",
        temp.to_str().unwrap()
    );
    let data = open(&file(&path, &more)).unwrap();
    let before = resident();
    let validated = data.validate(&Schema::default(), false, DAY_ONE).unwrap();
    assert_eq!(validated.report.rows, rows);
    let (mut last, mut peak, mut count, mut spilled) = (i64::MIN, 0, 0, 0);
    data.scan(&validated, None, &mut |batch| {
        let RawColumn::Times(times) = &batch.raw.columns[0] else { panic!("no times") };
        let times = &times.values;
        assert!(times.is_sorted() && times[0] >= last);
        last = times[times.len() - 1];
        count += times.len() as u64;
        peak = peak.max(resident());
        spilled = spilled.max(size(&temp));
        Ok(())
    })
    .unwrap();
    assert_eq!(count, rows);
    assert!(spilled > (BYTES as u64) / 4, "{spilled} bytes were on disk");
    let used = peak.saturating_sub(before);
    eprintln!("{used} MiB more than before, {} MiB on disk", spilled >> 20);
    // 61 at a limit of 16 when this was written, which leaves room for what batches and allocators keep.
    assert!(used < 110, "{used} MiB more than before");
    drop(data);
    assert_eq!(size(&temp), 0, "what was spilled is still there");
}

fn size(folder: &std::path::Path) -> u64 {
    let entries =
        fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>()).unwrap_or_default();
    let of = |entry: &fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => size(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.iter().map(of).sum()
}
