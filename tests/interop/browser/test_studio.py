"""Chromium publishes through the studio page."""

from __future__ import annotations

import pytest

from ..edges import Edge
from ..program import until
from .conftest import OpenPage, studio_url
from .page import Page

pytestmark = pytest.mark.timeout(60)


def test_three_layers_of_the_card_arrive(edge_server: Edge, studio: Page) -> None:
    row = edge_server.stream("card")
    assert row is not None
    sizes = {layer["rid"]: (layer["width"], layer["height"]) for layer in row["layers"]}
    assert sizes == {"l": (240, 134), "m": (480, 270), "h": (960, 540)}
    assert [layer["rid"] for layer in row["layers"]] == ["l", "m", "h"]
    assert {track["codec"] for track in row["tracks"]} == {"opus", "H264"}


def test_figures_of_what_is_sent_are_shown(studio: Page) -> None:
    sending = studio.until(
        "(s => s?.layers.length === 3 && s.layers.every(l => l.bitrateBps > 0) && s)"
        "(window.edgeStudio.stats().sending)"
    )
    assert sending["codec"] == "H264"
    studio.until("document.querySelectorAll('#layers tr').length === 3")
    studio.until("document.getElementById('badge').textContent === 'On air'")
    # The beep of each second moves the meter.
    studio.until("document.getElementById('level').value > -50", 5)


@pytest.mark.parametrize("codec", ["VP8", "VP9", "AV1"])
def test_another_codec_is_sent_when_wanted(
    edge_server: Edge, open_page: OpenPage, codec: str
) -> None:
    stream = f"codec-{codec}"
    page = open_page(studio_url(edge_server, stream, codec=codec, simulcast="0", size="640x360"))
    page.until("window.edgeStudio.stats().state === 'live'")
    edge_server.wait_live(stream, timeout_s=20)
    row = edge_server.stream(stream)
    assert row is not None
    assert codec in {track["codec"] for track in row["tracks"]}
    player = open_page(f"{edge_server.url}/?stream={stream}")
    player.until("window.edgePlayer.stats().framesRendered > 15", 20)
    player.until(f"window.edgePlayer.stats().receiving?.codec === '{codec}'")


def test_stop_ends_the_session_at_the_edge(edge_server: Edge, open_page: OpenPage) -> None:
    page = open_page(studio_url(edge_server, "short", simulcast="0"))
    page.until("window.edgeStudio.stats().state === 'live'")
    until("the session is there", lambda: edge_server.sessions("short"))
    page.tab_to("stop")
    page.press("Enter")
    until("the session is gone", lambda: not edge_server.sessions("short"))
    assert page.evaluate("document.getElementById('badge').textContent") == "Off air"
    assert page.focused() == "start"


def test_a_closed_page_ends_its_session(edge_server: Edge, open_page: OpenPage) -> None:
    page = open_page(studio_url(edge_server, "closed", simulcast="0"))
    page.until("window.edgeStudio.stats().state === 'live'")
    until("the session is there", lambda: edge_server.sessions("closed"))
    page.go("about:blank")
    until("the session is gone", lambda: not edge_server.sessions("closed"), 5)


def test_a_lost_session_is_published_again(edge_server: Edge, open_page: OpenPage) -> None:
    page = open_page(studio_url(edge_server, "again", simulcast="0"))
    page.until("window.edgeStudio.stats().state === 'live'")
    first = page.evaluate("window.edgeStudio.stats().sessionUrl")
    assert edge_server.request("DELETE", first.removeprefix(edge_server.url)).status == 200
    page.until(
        "(s => s.state === 'live' && s.sessions === 2 && s.sessionUrl)(window.edgeStudio.stats())",
        20,
    )
    assert page.evaluate("window.edgeStudio.stats().sessionUrl") != first
