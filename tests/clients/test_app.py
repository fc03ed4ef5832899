"""The sample app of deploy/app beside a real sidecar: over its socket and over loopback, and without it."""

import contextlib
import http.client
import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sidegate import READY_SECONDS, ROOT, Server, copy_models, environment, run

PASSENGERS = ROOT / "deploy/app/passengers.py"
CONFIG = """
[monitor]
performance = true
[experiments.halves]
model = "flight-delay"
unit = "header:x-user"
variants = { one = "1", other = "2" }
"""


class App:
    """The app as a process of its own. Leaving the `with` block sends SIGTERM and wants a clean exit."""

    def __init__(self, sidecar: str, feed: Path | str = "") -> None:
        env = {**environment(), "APP_LISTEN": "127.0.0.1:0", "SIDEGATE_URL": sidecar, "APP_FEED": str(feed)}
        command = [sys.executable, str(ROOT / "deploy/app/app.py")]
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.url = self.process.stdout.readline().split()[1]

    def text(self, method: str, path: str, body: object = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=30)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict]:
        status, text = self.text(method, path, body)
        return status, json.loads(text)

    def answers(self) -> dict[str, int]:
        """How many there were, by who gave them."""
        _, text = self.text("GET", "/metrics")
        return {by: int(count) for by, count in re.findall(r'^app_answers_total{by="(.*)"} (\d+)$', text, re.MULTILINE)}

    def __enter__(self) -> "App":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        assert self.process.wait(20) == 0


@pytest.mark.parametrize("socket", [True, False], ids=["socket", "loopback"])
def test_predictions_reach_passengers_and_what_came_true_their_sidecar(folder: Path, socket: bool) -> None:
    models = copy_models(folder / "models", "flight-delay")
    run(folder, "registry", "register", "flight-delay", models / "flight-delay/1", "--registry", models)
    with Server(folder, models, config=CONFIG) as server:
        with App(f"unix:{server.uds}" if socket else server.url) as app:
            # What was predicted before the monitor's first look is remembered by nobody.
            deadline = time.monotonic() + READY_SECONDS
            while server.get("/performance/flight-delay", admin=True)[1].get("on") is not True:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(0.6)
            # One person has one variant; among many there are both.
            said = [app.ask("GET", f"/flights/7?user={user}")[1] for user in ("ann", "ann", *range(20))]
            assert said[0]["variant"] == said[1]["variant"]
            assert {one["variant"] for one in said} == {"one", "other"}
            [expected] = {one["delay"] for one in said}
            flight = app.ask("GET", "/flights")[1][7]
            _, _, body = server.exchange("POST", "/predict?model=flight-delay", json.dumps([flight]).encode())
            [right] = json.loads(body)["predictions"]
            assert expected == round(right, 1) != flight["dep_delay"]
            assert app.ask("POST", "/landed", {"id": said[0]["id"], "delay": 3.5}) == (200, {"ok": 1})
            assert app.ask("POST", "/landed", {"id": "nobody", "delay": 3.5}) == (200, {"unmatched": 1})
            assert app.answers().keys() == {"version 1", "version 2"} and sum(app.answers().values()) == 22
            status, board = app.text("GET", "/")
            assert status == 200 and board.count("<td>version ") == 12


def test_the_app_answers_without_its_sidecar_and_finds_it_again(folder: Path) -> None:
    models = copy_models(folder / "models", "flight-delay")
    with contextlib.ExitStack() as stack:
        first = Server(folder / "first", models)
        stack.callback(first.stop)
        app = stack.enter_context(App(f"unix:{first.uds}"))
        assert app.ask("GET", "/flights/7")[1]["by"] == "version 1"
        first.stop()
        status, said = app.ask("GET", "/flights/7")
        assert (status, said["by"], said["delay"], said["id"]) == (200, "fallback", said["departed_late"], None)
        assert app.ask("GET", "/healthz") == (200, {"status": "ok"})
        assert app.ask("POST", "/landed", {"id": "x", "delay": 1})[0] == 503
        # Where the app has a connection that it kept, and its sidecar is another process now.
        second = stack.enter_context(Server(folder / "second", models))
        second.uds.rename(first.uds)
        stack.callback(first.uds.unlink)
        assert app.ask("GET", "/flights/7")[1]["by"] == "version 1"
        assert app.answers() == {"version 1": 2, "fallback": 1}


def test_wrong_requests_are_told_so_and_a_feed_is_read_again(folder: Path) -> None:
    feed = folder / "feed.json"
    with App("http://127.0.0.1:1", feed) as app:
        assert app.ask("GET", "/flights/100000")[0] == 404
        assert app.ask("GET", "/elsewhere")[0] == 404
        assert app.ask("POST", "/landed", {"delay": 1})[0] == 400
        flights = app.ask("GET", "/flights")[1]
        feed.write_text(json.dumps([flights[0] | {"dep_delay": 99}]))
        assert app.ask("GET", "/flights/0")[1]["departed_late"] == 99
        assert app.ask("GET", "/flights/1")[0] == 404


def test_passengers_count_what_failed(folder: Path) -> None:
    models = copy_models(folder / "models", "flight-delay")
    with contextlib.ExitStack() as stack:
        server = Server(folder, models, settings={"monitor.performance": "true"})
        stack.callback(server.stop)
        app = stack.enter_context(App(server.url))
        for failing, told in ((0, r"[1-9]\d* asked, [1-9]\d* landed, 0 failed"), (1, r"\d+ asked, \d+ landed, [1-9]\d* failed")):
            if failing:
                server.stop()
            command = [sys.executable, str(PASSENGERS), app.url, "--rate", "50", "--flight-seconds", "0.1", "--verbose"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as crowd:
                assert crowd.stdout
                line = next(line for line in crowd.stdout if re.match(told, line))
                crowd.send_signal(signal.SIGTERM)
                assert crowd.wait(20) == failing, line
