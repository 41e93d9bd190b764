"""The player page on a network that fails: it repairs, restarts ICE, or joins again."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ..conftest import EdgeStarter
from ..edges import Edge, report
from ..front import Front
from ..link import Conditions
from ..relay import UdpRelay
from .conftest import OpenPage
from .test_player import PLAYING, STATS, player_url

pytestmark = pytest.mark.timeout(90)

SILENCE = Conditions(loss=1.0)


@pytest.fixture
def network(edge_server: Edge) -> Iterator[tuple[str, UdpRelay]]:
    """An address for players whose media goes through a relay, and that relay."""
    with ExitStack() as stack:
        port = edge_server.udp_ports[0]
        relay = stack.enter_context(UdpRelay(("127.0.0.1", port)))
        front = stack.enter_context(Front(edge_server.url, {port: relay.port}))
        yield front.url, relay


def test_ice_is_restarted_after_an_interruption(
    edge_server: Edge, network: tuple[str, UdpRelay], open_page: OpenPage
) -> None:
    url, relay = network
    with edge_server.push("interrupted"):
        edge_server.wait_live("interrupted")
        page = open_page(f"{url}/?stream=interrupted")
        first = page.until(PLAYING)
        page.evaluate(
            "(() => { window.patched = []; const plain = window.fetch; window.fetch = async (...a) => {"
            " const r = await plain(...a); if (a[1]?.method === 'PATCH') window.patched.push(r.status);"
            " return r; }; })()"
        )
        relay.set(up=SILENCE, down=SILENCE)
        page.until("window.patched.length > 0", 20)
        relay.set(up=Conditions(), down=Conditions())
        page.until(PLAYING, 15)
        shown = page.evaluate(f"{STATS}.framesRendered")
        after = page.until(f"(s => s.framesRendered > {shown + 30} && s)({STATS})", 15)
    assert page.evaluate("window.patched") == [200]
    assert after["sessionUrl"] == first["sessionUrl"]
    assert after["joins"] == first["joins"], "it is the same session"


def test_a_restarted_edge_is_joined_again(start_edge: EdgeStarter, open_page: OpenPage) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    edge = start_edge(http={"host": "127.0.0.1", "port": port})
    with edge.push("survivor"):
        edge.wait_live("survivor")
        page = open_page(player_url(edge, "survivor"))
        page.until(PLAYING)
        # Without a goodbye to anybody.
        edge.program.process.kill()
        edge.program.wait(5)
    page.until(f"{STATS}.state !== 'playing'")
    edge = start_edge(http={"host": "127.0.0.1", "port": port})
    with edge.push("survivor"):
        page.until(f"(s => s.joins.length === 2 && s.state === 'playing')({STATS})", 40)


@pytest.mark.long
def test_five_percent_loss_costs_no_frame(
    edge_server: Edge, network: tuple[str, UdpRelay], open_page: OpenPage
) -> None:
    url, relay = network
    spoilt = Conditions(loss=0.05, delay_s=0.04)
    with edge_server.push("lossy-page", "--size", "640x360", "--bitrate", "1500k"):
        edge_server.wait_live("lossy-page")
        relay.set(up=spoilt, down=spoilt)
        page = open_page(f"{url}/?stream=lossy-page")
        page.until(PLAYING)
        page.until(f"{STATS}.framesRendered > 90", 20)
        before = page.evaluate(STATS)
        after = page.until(
            f"(s => s.framesRendered > {before['framesRendered'] + 600} && s)({STATS})", 40
        )
    now, then = after["receiving"], before["receiving"]
    figures = {
        "nacks": now["nacks"] - then["nacks"],
        "dropped": now["framesDropped"] - then["framesDropped"],
        "key_frames_asked": now["keyFrameRequests"] - then["keyFrameRequests"],
        "freezes": after["freezes"] - before["freezes"],
        "rtt_ms": now["rttMs"],
    }
    report("chromium at 5 % loss", figures)
    assert figures["nacks"] > 20, "the relay lost nothing"
    assert figures["rtt_ms"] > 78
    assert figures["key_frames_asked"] == 0, json.dumps(figures)
    assert figures["dropped"] == 0, json.dumps(figures)
