#!/usr/bin/env python3
"""A small app with a sidecar: departures of an airport, and how late each flight will be.

    SIDEGATE_URL=http://127.0.0.1:8000 python3 deploy/app/app.py

Python's standard library alone. It asks its sidecar for the shipped model `flight-delay`, says on whose behalf
(experiments need that), tells it later what came true, and answers without it when it has no answer.

    GET  /                     the board, for people
    GET  /flights              what the app knows of its flights
    GET  /flights/7?user=ann   how late flight 7 will be, who says so, and the id of the prediction
    POST /landed               {"id": ID, "delay": MINUTES}: how late it was
    GET  /healthz              200 while the app runs; whether the sidecar is ready is the sidecar's to say
    GET  /metrics              answers by who gave them

    APP_LISTEN     HOST:PORT (default 127.0.0.1:8080; port 0 takes a free one)
    APP_FEED       JSON file of flights, read again when it changes (default: flights that are made up)
    APP_PATIENCE   seconds that it waits for its sidecar (default 2)
    SIDEGATE_URL   http://HOST:PORT, or unix:/PATH of a socket (default http://127.0.0.1:8000)
    SIDEGATE_MODEL model or model@alias (default flight-delay)
"""

import collections
import html
import http.client
import http.server
import json
import os
import queue
import random
import signal
import socket
import sys
import threading
import urllib.parse

COLUMNS = ("dep_delay", "distance", "planned_minutes", "hour", "weekday", "wind_speed", "precip", "visib")
# A sidecar answers within milliseconds; people wait no longer for a better guess.
PATIENCE = float(os.environ.get("APP_PATIENCE", "2"))


class Socket(http.client.HTTPConnection):
    """HTTP over a Unix domain socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Sidecar:
    """Kept connections to sidegate: a new one for each request would cost more than the prediction."""

    def __init__(self, url: str) -> None:
        self.url = urllib.parse.urlsplit(url)
        self.idle: queue.LifoQueue[http.client.HTTPConnection] = queue.LifoQueue()

    def connection(self) -> http.client.HTTPConnection:
        if self.url.scheme == "unix":
            return Socket(self.url.path, PATIENCE)
        return http.client.HTTPConnection(self.url.hostname, self.url.port or 80, timeout=PATIENCE)

    def post(self, path: str, body: object, headers: dict[str, str]) -> dict:
        """The answer's JSON; OSError, HTTPException or ValueError where there is none."""
        text, headers = json.dumps(body), {"content-type": "application/json", **headers}
        while True:
            try:
                connection, kept = self.idle.get_nowait(), True
            except queue.Empty:
                connection, kept = self.connection(), False
            try:
                connection.request("POST", path, text, headers)
                answer = connection.getresponse()
                read = json.loads(answer.read())
            except (ConnectionError, http.client.RemoteDisconnected):
                connection.close()
                # A kept connection may have been closed meanwhile: its sidecar was restarted, say.
                if kept:
                    continue
                raise
            except BaseException:
                connection.close()
                raise
            self.idle.put(connection)
            if answer.status >= 300:
                raise ValueError(f"{answer.status} {read.get('error')}")
            return read


class Feed:
    """What is known of flights before they land."""

    def __init__(self, file: str | None) -> None:
        self.file, self.changed, self.flights = file, 0, made_up(300)

    def read(self) -> list[dict]:
        if self.file and os.path.exists(self.file):
            changed = os.stat(self.file).st_mtime_ns
            if changed != self.changed:
                with open(self.file) as file:
                    self.flights = json.load(file)
                self.changed = changed
        return self.flights


def made_up(count: int) -> list[dict]:
    """Most leave on time, some leave late; the same ones at every start."""
    rng = random.Random(1)
    flights = []
    for _ in range(count):
        late = round(rng.choice([rng.gauss(-3, 4), rng.gauss(-3, 4), rng.expovariate(1 / 35)]))
        distance = rng.randint(180, 2500)
        planned = round(distance / 8 + 45 + rng.gauss(0, 8))
        wind, rain = round(abs(rng.gauss(9, 5)), 1), rng.choice([0, 0, 0, 0, 0.02])
        row = (late, distance, planned, rng.randint(6, 22), rng.randint(0, 6), wind, rain, 10)
        flights.append(dict(zip(COLUMNS, row, strict=True)))
    return flights


class App:
    def __init__(self) -> None:
        self.sidecar = Sidecar(os.environ.get("SIDEGATE_URL", "http://127.0.0.1:8000"))
        self.model = os.environ.get("SIDEGATE_MODEL", "flight-delay")
        self.feed = Feed(os.environ.get("APP_FEED"))
        self.answers: collections.Counter = collections.Counter()
        self.lock = threading.Lock()
        self.alone = False

    def predict(self, number: int, user: str) -> dict:
        flight = self.feed.read()[number]
        said = {"flight": number, "departed_late": flight["dep_delay"]}
        try:
            path = f"/predict?model={urllib.parse.quote(self.model)}"
            answer = self.sidecar.post(path, [flight], {"x-user": user})
            [delay] = answer["predictions"]
            version, variant = answer["model_version"], answer["variant"]
            said |= {"delay": round(delay, 1), "by": f"version {version}", "variant": variant, "id": answer["id"]}
            self.alone = False
        except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
            # The way on without a model: what any clerk would say.
            if not self.alone:
                print(f"without predictions: {error!r}", file=sys.stderr, flush=True)
            self.alone = True
            said |= {"delay": flight["dep_delay"], "by": "fallback", "variant": None, "id": None}
        with self.lock:
            self.answers[said["by"]] += 1
        return said

    def landed(self, body: dict) -> dict:
        return self.sidecar.post("/actuals", {"id": body["id"], "actual": body["delay"]}, {})["counts"]

    def metrics(self) -> str:
        with self.lock:
            lines = [f'app_answers_total{{by="{by}"}} {count}' for by, count in sorted(self.answers.items())]
        head = ["# HELP app_answers_total Answers by who gave them.", "# TYPE app_answers_total counter"]
        return "\n".join([*head, *lines, ""])

    def board(self, user: str) -> str:
        lines = ""
        for number in range(12):
            flight, said = self.feed.read()[number], self.predict(number, user)
            cells = (f"SG {100 + number}", f"{flight['hour']:02}:00", f"{flight['dep_delay']:+} min", f"{said['delay']:+.0f} min", said["by"], said["variant"] or "")
            lines += "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>"
        heads = "".join(f"<th>{head}</th>" for head in ("flight", "leaves", "left late", "will be late", "says", "variant"))
        style = "body{font:1.1em monospace;background:#111;color:#fc3;margin:3em}td,th{padding:.2em 1.5em;text-align:left}"
        refresh = '<meta http-equiv="refresh" content="2">'
        return f"<!doctype html><meta charset=utf-8>{refresh}<title>Departures</title><style>{style}</style><h1>Departures</h1><table><tr>{heads}</tr>{lines}</table>"


class Server(http.server.ThreadingHTTPServer):
    # As many as come at once.
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        # Whoever goes before the answer is there is no fault of the app.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*_)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Small answers go out at once.
    wbufsize = -1
    app: App

    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        user = dict(urllib.parse.parse_qsl(url.query)).get("user", "anybody")
        match url.path.strip("/").split("/"):
            case [""]:
                self.answer(200, self.app.board(user), "text/html")
            case ["healthz"]:
                self.answer(200, {"status": "ok"})
            case ["metrics"]:
                self.answer(200, self.app.metrics(), "text/plain; version=0.0.4")
            case ["flights"]:
                self.answer(200, self.app.feed.read())
            case ["flights", number] if number.isdecimal() and int(number) < len(self.app.feed.read()):
                self.answer(200, self.app.predict(int(number), user))
            case _:
                self.answer(404, {"error": f"{url.path} is not here"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path != "/landed":
            return self.answer(404, {"error": f"{self.path} is not here"})
        try:
            self.answer(200, self.app.landed(json.loads(body)))
        except (OSError, http.client.HTTPException) as error:
            self.answer(503, {"error": f"the sidecar does not answer: {error!r}"})
        except (ValueError, LookupError, TypeError) as error:
            self.answer(400, {"error": f"an id and a delay are needed: {error!r}"})

    def answer(self, status: int, body: object, kind: str = "application/json") -> None:
        text = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    if sys.argv[1:]:
        print(__doc__)
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    host, _, port = os.environ.get("APP_LISTEN", "127.0.0.1:8080").rpartition(":")
    Handler.app = App()
    server = Server((host.strip("[]"), int(port)), Handler)
    # As the first process of a container it gets no default of a signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(f"listening http://{host}:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
