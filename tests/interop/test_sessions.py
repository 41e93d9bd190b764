"""Sessions that come, stay, lapse and are refused."""

from __future__ import annotations

import asyncio
import signal
import time

import pytest

from edge.client.description import parse_answer
from edge.client.signalling import Signalling
from edge.client.transport import Transport
from edge.client.wanted import playback_offer

from .conftest import EdgeStarter
from .edges import Edge, report, watch, watched
from .player import Player
from .program import until

pytestmark = pytest.mark.timeout(60)

QUICK_JOINS = 200
AT_A_TIME = 8


def test_a_player_over_tcp_only(edge_server: Edge) -> None:
    with edge_server.push("tcp"):
        edge_server.wait_live("tcp")
        with Player(edge_server.whep("tcp"), over_tcp=True) as player:
            player.wait_pictures(90)
            rows = [row for row in edge_server.sessions("tcp") if row["role"] == "subscriber"]
            assert [row["path"][1] for row in rows] == ["tcp"]
            counters = player.viewer.counters
            report(
                "TCP only", {"pictures": len(player.pictures), "frames": player.tcp.frames_received}
            )
    assert counters["video"].lost == counters["video"].frames_dropped == 0
    assert counters["audio"].packets > 100


def test_a_data_channel_echoes(edge_server: Edge) -> None:
    with edge_server.push("channel"):
        edge_server.wait_live("channel")
        result = watched(watch(edge_server.whep("channel"), 2, "--data-channel"), 20)
    assert result["data_channel_open_ms"] < 1000
    assert result["data_channel_rtt_ms"] < 200


def test_players_on_both_workers(start_edge: EdgeStarter) -> None:
    edge = start_edge(data_plane={"workers": 2, "port": 0})
    with edge.push("shared"):
        edge.wait_live("shared")
        with Player(edge.whep("shared")) as one, Player(edge.whep("shared")) as two:
            # The publisher is on one of the workers: one player is on the other.
            assert len(one.edge_ports) == len(two.edge_ports) == 1
            assert one.edge_ports | two.edge_ports == set(edge.udp_ports)
            for player in (one, two):
                player.wait_pictures(60)
                assert player.viewer.counters["video"].lost == 0
                assert player.viewer.counters["video"].frames_dropped == 0


@pytest.mark.long
def test_a_killed_player_is_closed_within_30_s(edge_server: Edge) -> None:
    def subscribers() -> int:
        return sum(row["role"] == "subscriber" for row in edge_server.sessions("lapse"))

    with edge_server.push("lapse"):
        edge_server.wait_live("lapse")
        with watch(edge_server.whep("lapse"), 60) as program:
            until("it plays", lambda: subscribers() == 1 and edge_server.stream("lapse"))
            until("it is connected", lambda: edge_server.sessions("lapse")[-1]["connected"])
            program.send(signal.SIGKILL)
            program.wait(5)
        killed = time.monotonic()
        until("its session is closed", lambda: subscribers() == 0, 32)
        closed_s = time.monotonic() - killed
        row = edge_server.stream("lapse")
        assert row is not None and row["state"] == "live"
    report("consent lapse", {"closed_s": round(closed_s, 2)})
    assert closed_s <= 30
    closed = edge_server.metric(
        "edge_sessions_closed_total", role="subscriber", reason="consent_lapsed"
    )
    assert closed == 1


def test_a_full_node_refuses_only_newcomers(start_edge: EdgeStarter) -> None:
    edge = start_edge(limits={"max_sessions": 2, "retry_after_s": 7})
    with edge.push("full"):
        edge.wait_live("full")
        with Player(edge.whep("full")) as player:
            with watch(edge.whep("full"), 3) as third:
                assert third.wait(15) == 1
                assert "503" in third.log() and "node_full" in third.log()
            ready = edge.request("GET", "/readyz")
            assert (ready.status, ready.headers["Retry-After"]) == (503, "7")
            assert ready.json()["code"] == "node_full"
            player.wait_pictures(30)
        until("there is room again", lambda: edge.request("GET", "/readyz").status == 200)
        assert watched(watch(edge.whep("full"), 2), 15)["frames"] > 30


def test_quick_joins_leave_nothing_behind(edge_server: Edge) -> None:
    with edge_server.push("quick"):
        edge_server.wait_live("quick")
        asyncio.run(join_often(edge_server.whep("quick"), 50))  # what is allocated once
        before_kib = edge_server.resident_kib()
        began = time.monotonic()
        asyncio.run(join_often(edge_server.whep("quick"), QUICK_JOINS))
        joins_s = time.monotonic() - began
        until("only the studio is left", lambda: len(edge_server.sessions("quick")) == 1)
        grown_kib = edge_server.resident_kib() - before_kib
    report(
        "quick joins",
        {"joins": QUICK_JOINS, "seconds": round(joins_s, 2), "grown_kib": grown_kib},
    )
    until("all sessions are gone", lambda: edge_server.sessions("quick") == [])
    # A leaked session would keep its SRTP and DTLS state: 50 KiB each at least.
    assert grown_kib < QUICK_JOINS * 25


async def join_often(url: str, count: int) -> None:
    """Join, wait for the first packet, leave; some leave by DELETE only, some by DTLS only."""
    room = asyncio.Semaphore(AT_A_TIME)

    async def join(number: int) -> None:
        first: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def note(_data: bytes, _at: float) -> None:
            if not first.done():
                first.set_result(None)

        async with room, Signalling() as signalling:
            transport = Transport(note, lambda _data, _at: None)
            try:
                offer = playback_offer(transport, "127.0.0.1", data_channel=False)
                taken = await signalling.offer(url, str(offer))
                await transport.connect(parse_answer(taken.answer))
                await asyncio.wait_for(first, 10)
                if number % 2:
                    await signalling.delete(taken.location)
            finally:
                await transport.close()

    await asyncio.gather(*(join(number) for number in range(count)))
