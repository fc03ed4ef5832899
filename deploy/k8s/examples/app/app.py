"""A small app that asks its sidecar. Standard library only.

LISTEN   where it listens, HOST:PORT
PREDICT  what it asks: http://HOST:PORT/PATH, or unix:SOCKET:/PATH
THINK    seconds of work of its own before it asks (0)

POST / sends the body on and answers what the sidecar says; GET /healthz asks nobody. SIGTERM: what has begun is finished.
"""

import http.client
import http.server
import os
import signal
import socket
import sys
import threading
import time
import urllib.parse


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix domain socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def connection(url: str) -> tuple[http.client.HTTPConnection, str]:
    """A connection for this address, and the path to ask for."""
    if url.startswith("unix:"):
        path, _, target = url.removeprefix("unix:").partition(":")
        return UnixConnection(path, 10), target
    parts = urllib.parse.urlsplit(url)
    return http.client.HTTPConnection(parts.netloc, timeout=10), f"{parts.path}?{parts.query}"


class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(200, b'{"status":"ok"}') if self.path == "/healthz" else self.answer(404, b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        time.sleep(float(os.environ.get("THINK", "0")))
        try:
            # A connection a request, which also shows when nobody listens; an app with much to ask keeps some.
            sidecar, target = connection(os.environ["PREDICT"])
            sidecar.request("POST", target, body, {"content-type": "application/json"})
            answer = sidecar.getresponse()
            self.answer(answer.status, answer.read())
            sidecar.close()
        except OSError as error:
            self.answer(502, f'{{"error":"no answer from the sidecar: {error}"}}'.encode())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for what has begun
    request_queue_size = 128


def main() -> None:
    host, _, port = os.environ.get("LISTEN", "127.0.0.1:8080").rpartition(":")
    server = Server((host, int(port)), App)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"listening {host}:{server.server_port}", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    print("ended", flush=True)


if __name__ == "__main__":
    sys.exit(main())
