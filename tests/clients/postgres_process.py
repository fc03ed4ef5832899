"""A real PostgreSQL for tests, with TLS by an authority of its own. As a program it runs a command beside one:
`postgres_process.py FOLDER cargo test database`, where FOLDER/usr/lib/postgresql holds the server's programs. Its URL is in
SIDEGATE_TEST_POSTGRES then, and the authority's certificate, which nobody else knows, in SIDEGATE_TEST_POSTGRES_CA."""

import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

READY_SECONDS = 60.0
# The role `guest` comes by TLS and with a password, or not at all.
ACCESS = """\
local all all trust
hostnossl all guest 127.0.0.1/32 reject
hostssl all guest 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def certificates(folder: pathlib.Path) -> None:
    """`ca.pem`, `server.pem` for `localhost` alone with `server.key`, and `other.pem`, an authority that signed nothing."""
    key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2".split()

    def make(name: str, subject: str, *more: str) -> None:
        out = ["-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem", "-subj", f"/CN={subject}"]
        command = ["openssl", "req", "-x509", *key, *out, *more]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, done.stderr

    make("ca", "an authority")
    make("other", "another authority")
    leaf = "basicConstraints=critical,CA:FALSE"
    signed = ["-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key")]
    make("server", "localhost", *signed, "-addext", "subjectAltName=DNS:localhost", "-addext", leaf)


class Postgres:
    """A server with everything it keeps in a folder, at a port of the loopback."""

    def __init__(self, root: pathlib.Path, work: pathlib.Path) -> None:
        # It refuses to run as root.
        self.user = None
        if os.geteuid() == 0:
            known = {entry.pw_name for entry in pwd.getpwall()}
            self.user = next(name for name in ("postgres", "nobody") if name in known)
        self.env = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
        if root != pathlib.Path("/"):
            # Where that user can read it; it finds what it needs from where it stands.
            shutil.copytree(root / "usr", work / "usr", symlinks=True)
            root = work
            self.env["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, root.glob("usr/lib/*-linux-gnu")))
        versions = root.glob("usr/lib/postgresql/*/bin")
        self.programs = max(versions, key=lambda programs: float(programs.parent.name))
        self.work, self.data, self.log = work, work / "data", work / "postgres.log"
        certificates(work)
        self.data.mkdir()
        for path in (work, self.data, work / "server.key", work / "server.pem"):
            if self.user:
                shutil.chown(path, self.user)
        self._run("initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", "--no-sync")
        (self.data / "pg_hba.conf").write_text(ACCESS)
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        settings = {
            "listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": work, "fsync": "off",
            "ssl": "on", "ssl_cert_file": work / "server.pem", "ssl_key_file": work / "server.key",
        }  # fmt: skip
        # In the file and not as arguments: a test may change them while it runs.
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.data],
                cwd=work, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._as_user(),
            )  # fmt: skip

    def _as_user(self) -> dict:
        entry = pwd.getpwnam(self.user) if self.user else None
        identity = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []} if entry else {}
        return {"env": self.env, **identity}

    def _run(self, program: str, *arguments: object) -> None:
        command = [self.programs / program, *map(str, arguments)]
        done = subprocess.run(command, cwd=self.work, capture_output=True, text=True, **self._as_user())
        assert done.returncode == 0, done.stdout + done.stderr

    def __enter__(self) -> "Postgres":
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if b"ready to accept connections" in self.log.read_bytes():
                return self
            time.sleep(0.05)
        self.__exit__()
        raise AssertionError(f"no PostgreSQL: {self.log.read_text(errors='replace')[-4000:]}")

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            # At once, without a checkpoint; its children end with it.
            self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as work,
        Postgres(pathlib.Path(sys.argv[1]), pathlib.Path(work)) as server,
    ):
        told = {"SIDEGATE_TEST_POSTGRES": server.url, "SIDEGATE_TEST_POSTGRES_CA": str(server.work / "ca.pem")}
        code = subprocess.call(sys.argv[2:], env={**os.environ, **told})
        if code:
            print(server.log.read_text(errors="replace")[-4000:], file=sys.stderr)
    sys.exit(code)
