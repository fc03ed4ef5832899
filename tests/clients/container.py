"""Starts a program as a container runtime would: its own view of files, processes and users. Standard library only.

The image is this machine's root folder, read-only, with what the Dockerfile says (image.py); what a container mounts is really mounted where it says, so that a
wrong path, a file that cannot be written or a user without rights shows as it would in a cluster. Linux, and root.
"""

import ctypes
import os
import pathlib
import shlex
import signal
import subprocess
import time

CLONE_NEWNET = 0x40000000


def isolate_network(*addresses: str) -> None:
    """Gives this thread, and what it starts, a network of its own: loopback, which has these addresses besides."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network of its own could be made")
    for command in ["link set lo up", *(f"addr add {address}/32 dev lo" for address in addresses)]:
        subprocess.run(["ip", *command.split()], check=True)


class Group:
    """A control group with limits on memory and processor time, where this machine lets one be made."""

    def __init__(self, name: str, memory: int | None, cpus: float | None) -> None:
        self.folders: list[pathlib.Path] = []
        root = pathlib.Path("/sys/fs/cgroup")
        limits = {
            "memory": {"memory.limit_in_bytes": memory},
            "cpu": {"cpu.cfs_period_us": 100_000, "cpu.cfs_quota_us": cpus and int(cpus * 100_000)},
        }
        if (root / "cgroup.controllers").exists():
            limits = {".": {"memory.max": memory, "cpu.max": cpus and f"{int(cpus * 100_000)} 100000"}}
        for controller, values in limits.items():
            folder = root / controller / name
            try:
                folder.mkdir()
                self.folders.append(folder)
                for file, value in values.items():
                    if value:
                        (folder / file).write_text(str(value))
            except OSError:
                self.close()
                return

    def peak_memory(self) -> int | None:
        """Bytes at the most, page cache included."""
        for folder in self.folders:
            for file in ("memory.max_usage_in_bytes", "memory.peak"):
                if (folder / file).exists():
                    return int((folder / file).read_text())
        return None

    def close(self) -> None:
        for folder in self.folders:
            for _ in range(100):
                try:
                    folder.rmdir()
                    break
                except OSError:
                    time.sleep(0.02)
        self.folders = []


class Process:
    """One running container."""

    def __init__(
        self,
        folder: pathlib.Path,
        command: list[str],
        environment: dict[str, str],
        *,
        mounts: dict[str, tuple[pathlib.Path, bool]],
        work: str = "/",
        user: int | None = None,
        read_only: bool = False,
        group: Group | None = None,
    ) -> None:
        """`mounts` maps places in the container to what is there, and whether it may be written; `work` is its folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.output = folder / "output"
        self.group = group
        at = shlex.quote
        (folder / "root").mkdir(exist_ok=True)
        lines = [
            "set -eu",
            f"root={at(str(folder / 'root'))}",
            "mount -t tmpfs tmpfs $root",
            "mkdir $root/up $root/work $root/new",
        ]
        lines += [f"echo $$ > {at(str(f / 'cgroup.procs'))}" for f in (group.folders if group else [])]
        lines += ["mount -t overlay -o lowerdir=/,upperdir=$root/up,workdir=$root/work overlay $root/new"]
        lines += [f"mkdir -p $root/new{at(work)}"]
        for place, (source, _) in mounts.items():
            target = f"$root/new{at(place)}"
            lines += [f"mkdir -p {target}" if source.is_dir() else f"mkdir -p $(dirname {target}); touch {target}"]
        if read_only:
            lines += ["mount -o remount,ro $root/new"]
        lines += [
            "mount -t proc proc $root/new/proc",
            "mount --rbind /dev $root/new/dev",
            "mount --rbind /sys $root/new/sys",
        ]
        for place, (source, writable) in mounts.items():
            lines += [f"mount --bind {at(str(source))} $root/new{at(place)}"]
            lines += [] if writable else [f"mount -o remount,bind,ro $root/new{at(place)}"]
        drop = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        if user is not None:
            drop += [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        lines += [
            "exec chroot $root/new "
            + shlex.join(
                [
                    *drop,
                    "--",
                    "env",
                    "-i",
                    f"--chdir={work}",
                    "PATH=/usr/local/bin:/usr/bin:/bin",
                    *(f"{name}={value}" for name, value in environment.items()),
                    *command,
                ]
            )
        ]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", "\n".join(lines)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
            )

    def text(self) -> str:
        """What it has written."""
        return self.output.read_text(errors="replace")

    def pid(self) -> int | None:
        """The first process of the container, seen from outside."""
        parent = self.process.pid
        try:
            found = pathlib.Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except OSError:
            return None
        return int(found[0]) if found else None

    def signal(self, number: signal.Signals) -> None:
        pid = self.pid()
        if pid and self.process.poll() is None:
            os.kill(pid, number)

    def wait(self, seconds: float) -> int | None:
        """The exit code, or None when it runs on."""
        try:
            return self.process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        if self.group:
            self.group.close()
