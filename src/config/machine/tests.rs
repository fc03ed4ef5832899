//! Made-up machines as folders.

use super::*;

const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
    32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
    35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
    41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

#[track_caller]
fn check(mounts: &str, groups: &str, files: &[(&str, &str)], cpu: Option<f64>, memory: Option<u64>) {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("proc/self/mountinfo", mounts);
    write("proc/self/cgroup", groups);
    for (path, text) in files {
        write(&format!("sys/fs/cgroup/{path}"), text);
    }
    assert_eq!(
        Machine::read(root.path()),
        Machine { cpu_quota: cpu, memory_limit: memory, ..Machine::default() }
    );
}

#[test]
fn the_host_has_a_name() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(Machine::read(root.path()).host, "");
    fs::create_dir_all(root.path().join("proc/sys/kernel")).unwrap();
    fs::write(root.path().join("proc/sys/kernel/hostname"), "churn-7f9c\n").unwrap();
    assert_eq!(Machine::read(root.path()).host, "churn-7f9c");
}

#[test]
fn v2_limits_of_the_own_group() {
    let files = [("a/cpu.max", "50000 100000\n"), ("a/memory.max", "268435456\n")];
    check(V2, "0::/a\n", &files, Some(0.5), Some(268_435_456));
}

#[test]
fn v2_the_smallest_limit_on_the_way_up_counts() {
    let files = [
        ("a/b/c/cpu.max", "max 100000\n"),
        ("a/b/cpu.max", "150000 100000\n"),
        ("a/cpu.max", "400000 100000\n"),
        ("a/b/c/memory.max", "2000\n"),
        ("a/memory.max", "1000\n"),
    ];
    check(V2, "0::/a/b/c\n", &files, Some(1.5), Some(1000));
}

#[test]
fn v2_without_limits() {
    check(V2, "0::/a\n", &[("a/cpu.max", "max 100000\n"), ("a/memory.max", "max\n")], None, None);
}

#[test]
fn v2_in_a_container_with_its_own_namespace_the_mount_is_the_group() {
    let files = [("cpu.max", "200000 100000\n"), ("memory.max", "4096\n")];
    check(V2, "0::/\n", &files, Some(2.0), Some(4096));
    check(V2, "0::/../../kubepods/pod1\n", &files, Some(2.0), Some(4096));
}

#[test]
fn v1_limits_with_v2_mounted_beside_them() {
    let groups = "9:name=systemd:/x\n4:memory:/docker/m\n2:cpu,cpuacct:/docker/c\n0::/\n";
    let files = [
        ("cpu,cpuacct/docker/c/cpu.cfs_quota_us", "-1\n"),
        ("cpu,cpuacct/docker/c/cpu.cfs_period_us", "100000\n"),
        ("cpu,cpuacct/docker/cpu.cfs_quota_us", "25000\n"),
        ("cpu,cpuacct/docker/cpu.cfs_period_us", "50000\n"),
        ("memory/docker/m/memory.limit_in_bytes", "134217728\n"),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
    ];
    check(V1, groups, &files, Some(0.5), Some(134_217_728));
}

#[test]
fn v1_without_limits() {
    let files = [
        ("cpu,cpuacct/cpu.cfs_quota_us", "-1\n"),
        ("cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
    ];
    check(V1, "4:memory:/\n2:cpu,cpuacct:/\n", &files, None, None);
}

#[test]
fn v1_in_a_container_the_mount_shows_the_group_as_its_root() {
    let mounts =
        "35 31 0:32 /docker/abc /sys/fs/cgroup/my\\040memory ro master:1 - cgroup cgroup rw,memory\n";
    let files = [("my memory/memory.limit_in_bytes", "65536\n")];
    check(mounts, "4:memory:/docker/abc\n", &files, None, Some(65_536));
}

#[test]
fn what_cannot_be_read_is_no_limit() {
    check("", "", &[], None, None);
    check("garbage\n1 - cgroup2\n", "x\n:::\n", &[], None, None);
    check(V2, "0::/gone\n", &[("cpu.max", "1 2 3\n"), ("memory.max", "-5\n")], None, None);
}

#[test]
fn defaults_follow_the_limits() {
    let workers = |cpu_quota| Machine { cpu_quota, ..Machine::default() }.workers();
    assert_eq!([None, Some(0.5), Some(1.0), Some(1.5), Some(8.0)].map(workers), [1, 1, 1, 2, 2]);
    let machine = |memory_limit| Machine { memory_limit, ..Machine::default() };
    assert_eq!(machine(None).inflight_bytes(), 256 << 20);
    assert_eq!(machine(Some(64 << 20)).inflight_bytes(), 8 << 20);
    assert_eq!(machine(Some(64 << 30)).inflight_bytes(), 256 << 20);
    assert_eq!(machine(None).budget_bytes(), None);
    assert_eq!(machine(Some(100)).budget_bytes(), Some(80));
}
