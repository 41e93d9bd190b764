"""What operators do while players watch: tiers and draining."""

from __future__ import annotations

import signal
import threading
import time
import urllib.request

import pytest

from .conftest import EdgeStarter
from .edges import Edge, report
from .player import Player
from .program import until

pytestmark = pytest.mark.timeout(60)

APPLIED_S = 0.2
"""How soon a tier is to be seen at the player."""


def test_a_tier_is_applied_at_once(edge_server: Edge) -> None:
    with edge_server.push("tiers", "--simulcast", "--size", "640x360", "--bitrate", "900k"):
        edge_server.wait_live("tiers", layers=3)
        with Player(edge_server.whep("tiers")) as player:
            taken: list[float] = []
            for _ in range(3):
                player.wait_height(lambda height: height > 90, 15)
                player.wait_pictures(15)
                put = time.monotonic()
                body = {"tier": 2, "stream": "tiers"}
                assert edge_server.request("PUT", "/v1/tier", body).status == 200
                taken.append(player.wait_height(lambda height: height < 100, 5) - put)
                audio = len(player.of("audio"))
                player.wait_pictures(15)
                assert len(player.of("audio")) > audio, "a tier never touches audio"
                body = {"tier": 0, "stream": "tiers"}
                assert edge_server.request("PUT", "/v1/tier", body).status == 200
    report("tier 2 at the player", {"seconds": [round(value, 3) for value in taken]})
    assert max(taken) <= APPLIED_S


def test_sigterm_drains(start_edge: EdgeStarter) -> None:
    edge = start_edge(drain={"deadline_s": 30})
    with edge.push("table"):
        edge.wait_live("table")
        with Player(edge.whep("table")) as player:
            player.wait_pictures(15)
            notices = Notices(player.location + "/events", "event: reconnect")
            edge.program.send(signal.SIGTERM)
            notices.wait()
            assert edge.request("GET", "/readyz").status == 503
            refused = edge.request("POST", "/whep/table")
            assert (refused.status, refused.json()["code"]) == (503, "draining")
            assert int(refused.headers["Retry-After"]) > 0
            player.wait_pictures(30)
            assert edge.program.running
        left = time.monotonic()
        assert edge.program.wait(10) == 0
    report("drain", {"ended_after_last_player_s": round(time.monotonic() - left, 2)})


def test_a_drain_ends_at_its_deadline(start_edge: EdgeStarter) -> None:
    edge = start_edge(drain={"deadline_s": 1.5})
    with edge.push("table", "--no-reconnect"):
        edge.wait_live("table")
        with Player(edge.whep("table")) as player:
            player.wait_pictures(15)
            sent = time.monotonic()
            edge.program.send(signal.SIGTERM)
            assert edge.program.wait(10) == 0
            assert 1.4 < time.monotonic() - sent < 4
            until("the player is told goodbye", lambda: player.lost, 3)
            assert player.lost == "the edge closed the session"


def test_a_second_sigterm_ends_at_once(start_edge: EdgeStarter) -> None:
    edge = start_edge(drain={"deadline_s": 30})
    with edge.push("table", "--no-reconnect"):
        edge.wait_live("table")
        with Player(edge.whep("table")) as player:
            player.wait_pictures(15)
            edge.program.send(signal.SIGTERM)
            edge.program.line(lambda line: '"drain_started"' in line)
            sent = time.monotonic()
            edge.program.send(signal.SIGTERM)
            assert edge.program.wait(5) == 1
            assert time.monotonic() - sent < 1


class Notices:
    """Reads server-sent events in a thread, up to the one that is waited for."""

    def __init__(self, url: str, last: str) -> None:
        self.lines: list[str] = []
        self._last = last
        self._answer = urllib.request.urlopen(url, timeout=10)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        until("the first event", lambda: self.lines)

    def wait(self) -> None:
        """Until the event came."""
        self._thread.join(10)
        self._answer.close()
        assert self._last in self.lines, self.lines

    def _read(self) -> None:
        while line := self._answer.readline():
            self.lines.append(line.decode().rstrip())
            if self.lines[-1] == self._last:
                return
