"""A bucket that asks deploy/terraform/iam.tf: requests go on to another server where a policy there allows them, and are refused as
AWS refuses them where it does not. Standard library only.

What it knows of policies is what ours use; anything else in them is an error, so that nothing is passed over. Objects are encrypted
by the key of deploy/terraform/storage.tf there, so that reading and writing want rights to the key too.
"""

import contextlib
import fnmatch
import http.client
import http.server
import pathlib
import re
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUCKET, KEY = "arn:aws:s3:::models", "arn:aws:kms:::key"
NAMES = {
    "aws_s3_bucket.models.arn": BUCKET, "aws_kms_key.this.arn": KEY,
    "local.registry_prefix": "prod", "local.data_prefix": "data", "local.log_prefix": "log",
}  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """One of a policy: it allows."""

    sid: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    # Patterns of s3:prefix; whether a request without one is meant too. None: there is no condition.
    prefixes: tuple[str, ...] | None = None
    or_none: bool = False

    def allows(self, action: str, resource: str, prefix: str | None) -> bool:
        if action not in self.actions or not any(fnmatch.fnmatchcase(resource, pattern) for pattern in self.resources):
            return False
        if self.prefixes is None:
            return True
        return self.or_none if prefix is None else any(fnmatch.fnmatchcase(prefix, pattern) for pattern in self.prefixes)


def texts(value: str) -> tuple[str, ...]:
    """The texts of a list, with what is put into them."""
    value = re.sub(r"\$\{([\w.]+)\}", lambda found: NAMES[found[1]], re.sub(r"#.*", "", value))
    return tuple(NAMES.get(text, text.strip('"')) for text in re.findall(r'"[^"]*"|[\w.]+', value))


def policy(name: str) -> list[Statement]:
    """The statements of a document of iam.tf, with those that it takes over."""
    text = (ROOT / "deploy/terraform/iam.tf").read_text()
    [body] = re.findall(rf'^data "aws_iam_policy_document" "{name}" \{{\n(.*?)^\}}', text, re.M | re.S)
    statements = [s for other in re.findall(r"source_policy_documents = \[data\.aws_iam_policy_document\.(\w+)\.json\]", body) for s in policy(other)]
    for block in re.findall(r"^  statement \{\n(.*?)^  \}", body, re.M | re.S):
        block, *condition = re.split(r"^    condition \{\n", block, flags=re.M)
        told = dict(re.findall(r"^    (\w+)\s+= (\[.*?\]|\".*?\")$", block, re.M | re.S))
        assert told.keys() == {"sid", "actions", "resources"}, told
        bound = {}
        if condition:
            [condition] = condition
            of = dict(re.findall(r"^      (\w+)\s+= (\[.*?\]|\".*?\")$", condition, re.M | re.S))
            assert of["test"].startswith('"StringLike') and of["variable"] == '"s3:prefix"', of
            bound = {"prefixes": texts(of["values"]), "or_none": of["test"] == '"StringLikeIfExists"'}
        statements.append(Statement(told["sid"].strip('"'), texts(told["actions"]), texts(told["resources"]), **bound))
    assert len(statements) >= body.count("statement {"), f"not every statement of {name} is understood"
    return statements


@dataclass
class Bucket:
    """The bucket `models` of another server, by a policy."""

    upstream: str
    statements: list[Statement]
    refused: list[str] = field(default_factory=list)
    used: set[tuple[str, str, str]] = field(default_factory=set)

    def may(self, action: str, resource: str, prefix: str | None = None) -> bool:
        for statement in self.statements:
            if statement.allows(action, resource, prefix):
                for pattern in statement.resources:
                    if fnmatch.fnmatchcase(resource, pattern):
                        self.used.add((statement.sid, action, pattern))
                return True
        return False

    def wants(self, method: str, target: str) -> tuple[list[tuple[str, str]], str | None]:
        """The rights that a request needs, and the prefix that it names."""
        path, _, query = target.partition("?")
        asked = urllib.parse.parse_qs(query, keep_blank_values=True)
        bucket, _, key = urllib.parse.unquote(path).lstrip("/").partition("/")
        assert bucket == "models", target
        if not key:
            assert method in ("GET", "HEAD") and (method == "HEAD" or "list-type" in asked), f"{method} {target}"
            return [("s3:ListBucket", BUCKET)], asked.get("prefix", [None])[0]
        of = f"{BUCKET}/{key}"
        match method:
            case "GET" | "HEAD":
                return [("s3:GetObject", of), ("kms:Decrypt", KEY)], None
            case "PUT" | "POST":
                # Parts of an upload are read again when it is completed.
                parts = [("kms:Decrypt", KEY)] if "uploads" in asked or "uploadId" in asked else []
                return [("s3:PutObject", of), ("kms:GenerateDataKey", KEY), *parts], None
            case "DELETE":
                return [("s3:AbortMultipartUpload" if "uploadId" in asked else "s3:DeleteObject", of)], None
        raise AssertionError(f"{method} {target}")

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Its URL while it listens."""

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            bucket = self

            def do(self) -> None:
                body = self.body()
                rights, prefix = self.bucket.wants(self.command, self.path)
                denied = [f"{action} {of}" for action, of in rights if not self.bucket.may(action, of, prefix)]
                if denied:
                    self.bucket.refused += [f"{what} ({prefix})" if prefix else what for what in denied]
                    return self.refuse()
                status, headers, answer = self.ask(body)
                # Whoever may not list does not learn that nothing is there.
                if status == 404 and rights[0][0] == "s3:GetObject" and not self.bucket.may("s3:ListBucket", BUCKET):
                    self.bucket.refused.append(f"s3:ListBucket {BUCKET}, for a 404 of {self.path}")
                    return self.refuse()
                return self.answer(status, headers, answer)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do

            def body(self) -> bytes:
                if self.headers.get("transfer-encoding") != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length", 0)))
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
                connection = http.client.HTTPConnection(self.bucket.upstream.removeprefix("http://"), timeout=60)
                sent = {k: v for k, v in self.headers.items() if k.lower() not in ("transfer-encoding", "content-length", "connection")}
                try:
                    connection.request(self.command, self.path, body, sent)
                    answer = connection.getresponse()
                    return answer.status, answer.getheaders(), answer.read()
                finally:
                    connection.close()

            def refuse(self) -> None:
                text = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
                self.answer(403, [("content-type", "application/xml")], text)

            def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
                self.send_response_only(status)
                length = next((v for k, v in headers if k.lower() == "content-length"), str(len(body)))
                for name, value in headers:
                    if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.send_header("content-length", length if self.command == "HEAD" else str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
