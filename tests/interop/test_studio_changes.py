"""Studios that replace one another: players go on without renegotiation."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Sequence

import jwt
import pytest

from .conftest import EdgeStarter
from .edges import Edge, report
from .player import Player, Received, sequence_gaps
from .program import until

pytestmark = pytest.mark.timeout(60)

SECRET = "studios take over one another in here"


JOINED_S = 0.5
"""What came before the handshake was done is handled later than what came right after it."""


def token(*scopes: str, **claims: object) -> str:
    """A grant for every stream."""
    payload = {"scope": " ".join(scopes), "stream": "*", "exp": time.time() + 600, **claims}
    return jwt.encode(payload, SECRET, "HS256", headers={"kid": "test"})


def check_continuity(packets: Sequence[Received]) -> None:
    """One SSRC, numbers without a gap, and time that does not go back, once the player has joined."""
    packets = [packet for packet in packets if packet.at > packets[0].at + JOINED_S]
    assert len(packets) > 100
    assert len({packet.ssrc for packet in packets}) == 1
    assert sequence_gaps(packets) == []
    steps = [
        (two.timestamp - one.timestamp) & 0xFFFFFFFF for one, two in itertools.pairwise(packets)
    ]
    assert all(step < 1 << 31 for step in steps), "RTP time went back"


def publisher_id(edge: Edge, stream: str) -> str | None:
    """The session that publishes."""
    rows = [row for row in edge.sessions(stream) if row["role"] == "publisher"]
    live = [row for row in rows if row["connected"]]
    return live[0]["session"] if len(rows) == len(live) == 1 else None


def test_take_over_while_a_player_watches(start_edge: EdgeStarter) -> None:
    keys = [{"kid": "test", "algorithm": "HS256", "secret": SECRET}]
    edge = start_edge(open_to_all=False, auth={"keys": keys})
    edge.token = token("ops")
    first, second = token("publish"), token("publish", take_over=True)
    with edge.push("table", "--no-reconnect", "--token", first) as old:
        edge.wait_live("table")
        before = publisher_id(edge, "table")
        with edge.push("table", "--no-reconnect", "--token", first) as refused:
            assert refused.wait(15) == 1
            assert "409" in refused.log() and "take_over" in refused.log()
        with Player(edge.whep("table"), token=token("watch")) as player:
            player.wait_pictures(60)
            began = time.monotonic()
            with edge.push("table", "--no-reconnect", "--token", second):
                until(
                    "the new studio publishes",
                    lambda: publisher_id(edge, "table") not in (None, before),
                    15,
                )
                assert old.wait(10) == 1
                assert "closed the session" in old.log()
                player.wait_pictures(90)
                video, audio = player.of("video"), player.of("audio")
                gap_s = player.longest_gap_s(began)
            assert player.lost is None
    report("take-over", {"longest_gap_s": round(gap_s, 3), "pictures": len(player.pictures)})
    check_continuity(video)
    check_continuity(audio)
    # The picture that was under way when the old studio was silenced.
    assert player.viewer.counters["video"].frames_dropped <= 1
    assert gap_s < 2
    assert edge.metric("edge_sessions_closed_total", role="publisher", reason="replaced") == 1


def test_a_killed_studio_comes_back(edge_server: Edge) -> None:
    with edge_server.push("killed") as first, Player(edge_server.whep("killed?wait=10")) as player:
        player.wait_pictures(60)
        began = time.monotonic()
        first.send(signal.SIGKILL)
        first.wait(5)
        with edge_server.push("killed"):
            player.wait_pictures(90, 45)
            gap_s = player.longest_gap_s(began)
            video, audio = player.of("video"), player.of("audio")
        assert player.lost is None
    report("studio killed and back", {"longest_gap_s": round(gap_s, 3)})
    check_continuity(video)
    check_continuity(audio)
    assert gap_s < 15
