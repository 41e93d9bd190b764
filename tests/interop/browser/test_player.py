"""Chromium plays through the player page: pictures that are really decoded and shown."""

from __future__ import annotations

import time

import jwt
import pytest

from ..conftest import EdgeStarter
from ..edges import Edge, report
from ..program import until
from .conftest import STUDIO_FPS, OpenPage
from .page import Page

pytestmark = pytest.mark.timeout(60)

STATS = "window.edgePlayer.stats()"
PLAYING = f"(s => s.state === 'playing' && s)({STATS})"


def player_url(edge: Edge, stream: str) -> str:
    """The player of a stream."""
    return f"{edge.url}/?stream={stream}"


def resolution(page: Page) -> list[int]:
    """Width and height of the picture that is seen."""
    size: list[int] = page.evaluate(
        "(v => [v.videoWidth, v.videoHeight])(document.querySelector('video.front'))"
    )
    return size


def until_shown(page: Page, size: list[int]) -> None:
    """Until the picture has a size."""
    until(f"the picture is {size}", lambda: resolution(page) == size, 20)


def check_smooth(page: Page, name: str, *, seconds: int, fps: int) -> None:
    """No freeze for some seconds, and about as many frames as are sent."""
    joined = page.until(PLAYING)
    # The edge may change the layer while it gets to know the network.
    page.until(f"{STATS}.framesRendered > {3 * fps}")
    before = page.evaluate(STATS)
    began = time.monotonic()
    enough = before["framesRendered"] + seconds * fps
    page.until(f"{STATS}.framesRendered > {enough}", seconds * 1.5)
    took_s = time.monotonic() - began
    after = page.evaluate(STATS)
    gaps = after["gaps"][len(before["gaps"]) :]
    report(
        name,
        {
            "join_ms": joined["joinMs"],
            "fps": len(gaps) / took_s,
            "longest_gap_ms": max(gaps),
            "freezes": after["freezes"] - before["freezes"],
            "delay_ms": after["cardDelayMs"],
        },
    )
    assert after["freezes"] == before["freezes"], sorted(gaps)[-5:]
    assert after["receiving"]["framesDecoded"] > seconds * fps
    assert 0 < joined["joinMs"] < 5000
    # The clock in the picture is read, and agrees with abs-capture-time.
    assert 0 <= after["cardDelayMs"] < 1500
    assert abs(after["cardDelayMs"] - after["captureDelayMs"]) < 150


def test_a_pushed_card_plays_without_a_freeze(edge_server: Edge, open_page: OpenPage) -> None:
    with edge_server.push("pushed"):
        edge_server.wait_live("pushed")
        page = open_page(player_url(edge_server, "pushed"))
        check_smooth(page, "chromium plays a push", seconds=8, fps=30)


@pytest.mark.long
def test_a_studio_page_plays_half_a_minute_without_a_freeze(
    edge_server: Edge, studio: Page, open_page: OpenPage
) -> None:
    page = open_page(player_url(edge_server, "card"))
    check_smooth(page, "chromium plays a studio page", seconds=30, fps=STUDIO_FPS)


def test_the_menu_switches_the_layer(edge_server: Edge, studio: Page, open_page: OpenPage) -> None:
    page = open_page(player_url(edge_server, "card"))
    page.until(PLAYING)
    options = page.until(
        "(o => o.length === 4 && o.every(e => !e.disabled) && o.map(e => e.value))"
        "([...document.getElementById('layer').options])"
    )
    assert options == ["", "h", "m", "l"]
    for rid, size in (("l", [240, 134]), ("h", [960, 540]), ("m", [480, 270])):
        page.choose("layer", rid)
        until_shown(page, size)
    page.choose("layer", "")
    until_shown(page, [960, 540])


def test_a_deleted_session_is_joined_again(
    edge_server: Edge, studio: Page, open_page: OpenPage
) -> None:
    page = open_page(player_url(edge_server, "card"))
    first = page.until(PLAYING)["sessionUrl"]
    assert edge_server.request("DELETE", first.removeprefix(edge_server.url)).status == 200
    again = page.until(f"(s => s.joins.length === 2 && s.state === 'playing' && s)({STATS})", 15)
    assert again["sessionUrl"] != first
    # The last picture stands until the next one is there: no black between.
    assert resolution(page)[0] > 0


def test_a_player_who_is_told_to_move_sees_no_gap(edge_server: Edge, open_page: OpenPage) -> None:
    with edge_server.push("moving"):
        edge_server.wait_live("moving")
        page = open_page(player_url(edge_server, "moving"))
        page.until(PLAYING)
        page.until(f"{STATS}.framesRendered > 90")
        before = page.evaluate(STATS)
        assert edge_server.request("POST", "/v1/drain", {"tell_players": True}).status == 200
        # For a moment the edge takes nobody: the picture stays.
        assert edge_server.request("DELETE", "/v1/drain").status == 200
        after = page.until(f"(s => s.joins.length === 2 && s)({STATS})", 15)
        shown = after["framesRendered"]
        after = page.until(f"(s => s.framesRendered > {shown + 60} && s)({STATS})")
        assert after["sessionUrl"] != before["sessionUrl"]
        assert max(after["gaps"][len(before["gaps"]) :]) < 500
        until("the old session is gone", lambda: len(edge_server.sessions("moving")) == 2)


def test_the_picture_comes_back_with_the_studio(edge_server: Edge, open_page: OpenPage) -> None:
    page = open_page(player_url(edge_server, "comes-back"))
    page.until(f"{STATS}.state === 'waiting'")
    assert "not live" in page.text()
    with edge_server.push("comes-back"):
        page.until(PLAYING, 20)
    page.until(f"{STATS}.state === 'waiting'")
    assert "studio is away" in page.text()
    shown = page.evaluate(f"{STATS}.framesRendered")
    with edge_server.push("comes-back"):
        page.until(f"(s => s.state === 'playing' && s.framesRendered > {shown + 30})({STATS})", 20)


def test_a_player_that_is_closed_ends_its_session(
    edge_server: Edge, studio: Page, open_page: OpenPage
) -> None:
    def players() -> list[object]:
        return [row for row in edge_server.sessions("card") if row["role"] == "subscriber"]

    until("others have left", lambda: not players())
    page = open_page(player_url(edge_server, "card"))
    page.until(PLAYING)
    assert len(players()) == 1
    page.go("about:blank")
    until("the session is gone", lambda: not players(), 5)


def test_a_token_is_asked_for(start_edge: EdgeStarter, open_page: OpenPage) -> None:
    secret = "a secret of thirty-two characters"
    key = {"kid": "test", "algorithm": "HS256", "secret": secret}
    edge = start_edge(open_to_all=False, auth={"keys": [key]})
    claims = {"exp": int(time.time()) + 600, "scope": "publish watch", "stream": "closed"}
    token = jwt.encode(claims, secret, algorithm="HS256", headers={"kid": "test"})
    with edge.push("closed", "--token", token):
        page = open_page(player_url(edge, "closed"))
        page.until("document.activeElement?.id === 'choose-token'")
        assert "needs an access token" in page.text()
        page.write(token)
        page.press("Enter")
        page.until(PLAYING)
        page.go(f"{player_url(edge, 'closed')}&token={token}")
        page.until(PLAYING)
        assert "token" not in page.evaluate("location.href")


def test_what_is_refused_is_said_in_words(edge_server: Edge, open_page: OpenPage) -> None:
    page = open_page(player_url(edge_server, "not%20a%20name"))
    page.until(f"{STATS}.state === 'failed'")
    assert page.evaluate("document.getElementById('badge').textContent") == "Stopped"
    assert "a stream is named by" in page.text().lower()
    assert page.evaluate("!document.getElementById('chooser').hidden")
