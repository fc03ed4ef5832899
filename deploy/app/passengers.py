#!/usr/bin/env python3
"""People who ask the app how late their flights will be, and tell it when they have landed.

    python3 deploy/app/passengers.py http://127.0.0.1:8080 --rate 50

Python's standard library alone. What really happens is simulated: on its way a flight makes up eight minutes, give or
take six. A line of counts is printed every second with --verbose, and one at the end, on SIGTERM or SIGINT.
"""

import argparse
import collections
import http.client
import json
import random
import signal
import sys
import threading
import time
import urllib.parse


class Crowd:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.address = urllib.parse.urlsplit(arguments.app)
        self.lock = threading.Lock()
        self.counts: collections.Counter = collections.Counter()
        self.slowest = 0.0

    def person(self, seed: int) -> None:
        """Asks for one traveller after another, on one connection."""
        rng = random.Random(seed)
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port, timeout=30)
        flying: collections.deque[tuple[float, dict]] = collections.deque()
        mean = self.arguments.people / self.arguments.rate
        while True:
            time.sleep(rng.expovariate(1 / mean))
            user, number = rng.randrange(self.arguments.users), rng.randrange(300)
            said = self.ask(connection, "GET", f"/flights/{number}?user=user-{user}")
            if said and said["id"]:
                late = said["departed_late"] - 8 + rng.gauss(0, 6)
                flying.append((time.monotonic() + self.arguments.flight_seconds, {"id": said["id"], "delay": late}))
            while flying and flying[0][0] < time.monotonic():
                self.ask(connection, "POST", "/landed", flying.popleft()[1])

    def ask(self, connection: http.client.HTTPConnection, method: str, path: str, body: object = None) -> dict | None:
        began = time.monotonic()
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            said = json.loads(answer.read())
            # The app's answer of its own is no failure of the app, but none of the sidecar either.
            good = answer.status == 200 and said.get("by") != "fallback"
        except (OSError, http.client.HTTPException, ValueError):
            connection.close()
            said, good = None, False
        with self.lock:
            self.counts["asked" if method == "GET" else "landed"] += 1
            self.counts["failed"] += not good
            self.slowest = max(self.slowest, time.monotonic() - began)
        return said if good else None

    def told(self) -> str:
        with self.lock:
            asked, landed, failed = (self.counts[name] for name in ("asked", "landed", "failed"))
            return f"{asked} asked, {landed} landed, {failed} failed, the slowest {self.slowest * 1000:.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("app", nargs="?", default="http://127.0.0.1:8080", help="URL of the app (default: %(default)s)")
    add("--rate", type=float, default=20, help="questions a second of all together (default: %(default)s)")
    add("--people", type=int, default=8, help="connections (default: %(default)s)")
    add("--users", type=int, default=5000, help="who travels (default: %(default)s)")
    add("--flight-seconds", type=float, default=1, help="from the question to the landing (default: %(default)s)")
    add("--verbose", action="store_true", help="counts every second")
    arguments = parser.parse_args()
    crowd = Crowd(arguments)
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    for seed in range(arguments.people):
        threading.Thread(target=crowd.person, args=(seed,), daemon=True).start()
    while not stop.wait(1):
        if arguments.verbose:
            print(crowd.told(), flush=True)
    print(crowd.told())
    sys.exit(1 if crowd.counts["failed"] else 0)


if __name__ == "__main__":
    main()
