"""The pages at a phone's width and without a mouse, and what they look like."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..edges import Edge
from .conftest import OpenPage
from .page import Page
from .test_player import PLAYING, STATS, player_url

pytestmark = pytest.mark.timeout(60)

PHONE = {"width": 360, "height": 740}

OVERFLOWING = (
    "[...document.querySelectorAll('body *')]"
    ".filter(e => !e.closest('.scroll') && e.getClientRects().length > 0"
    " && e.getBoundingClientRect().right > innerWidth + 1).map(e => e.id || e.tagName)"
)
SMALL_TARGETS = (
    "[...document.querySelectorAll('button, select, input:not([type=checkbox])')]"
    ".filter(e => e.getClientRects().length > 0 && e.getBoundingClientRect().height < 43)"
    ".map(e => e.id || e.textContent)"
)
NAMELESS = (
    "[...document.querySelectorAll('button, select, input')].filter(e => e.getClientRects().length > 0"
    " && !(e.getAttribute('aria-label') || e.textContent.trim() && e.tagName === 'BUTTON'"
    " || e.labels?.length)).map(e => e.id || e.outerHTML)"
)


def check_layout(page: Page) -> None:
    """Nothing stands out to the right, controls can be hit by a thumb and have names."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(OVERFLOWING) == []
    assert page.evaluate(SMALL_TARGETS) == []
    assert page.evaluate(NAMELESS) == []


def test_the_player_fits_a_phone(
    edge_server: Edge, studio: Page, open_page: OpenPage, pictures: Path
) -> None:
    page = open_page(player_url(edge_server, "card"), **PHONE)
    page.until(PLAYING)
    page.press("s")
    page.until("!document.getElementById('figures').hidden")
    check_layout(page)
    page.screenshot(pictures / "player-phone.png")
    page.go(f"{edge_server.url}/")
    page.until("document.querySelectorAll('#live-streams button').length > 0")
    check_layout(page)
    page.screenshot(pictures / "chooser-phone.png")


def test_studio_and_dashboard_fit_a_phone(
    edge_server: Edge, studio: Page, open_page: OpenPage, pictures: Path
) -> None:
    page = open_page(f"{edge_server.url}/studio?source=camera", **PHONE)
    page.until("document.querySelectorAll('#codec option').length > 0")
    check_layout(page)
    page.screenshot(pictures / "studio-phone.png")
    page.go(f"{edge_server.url}/ops")
    page.until("document.querySelectorAll('#streams .tiers').length > 0")
    check_layout(page)
    page.screenshot(pictures / "ops-phone.png")


def test_the_player_works_by_keyboard(edge_server: Edge, studio: Page, open_page: OpenPage) -> None:
    page = open_page(f"{edge_server.url}/")
    page.until("document.activeElement?.id === 'choose-stream'")
    page.write("card")
    page.press("Enter")
    page.until(PLAYING)
    page.press("k")
    page.until(f"{STATS}.state === 'paused'")
    page.press("k")
    page.until(PLAYING)
    page.press("m")
    page.until("!document.querySelector('video.front').muted")
    page.tab_to("mute")
    page.press("Space")
    page.until("document.querySelector('video.front').muted")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.tab_to("layer")
    for _ in range(3):
        page.press("ArrowDown")
    page.until("document.querySelector('video.front').videoHeight === 134")
    page.tab_to("stats")
    page.press("Enter")
    page.until("!document.getElementById('figures').hidden")
    assert "Join time" in page.text()


def test_tiers_are_set_from_the_dashboard_by_keyboard(
    edge_server: Edge, studio: Page, open_page: OpenPage
) -> None:
    page = open_page(f"{edge_server.url}/ops")
    page.until("document.querySelectorAll('#streams .tiers').length > 0")
    for tier in (2, 0):
        page.evaluate(
            f"document.querySelectorAll('#streams tr')[0].querySelectorAll('button')[{tier}].focus()"
        )
        page.press("Enter")
        page.until(
            f"document.getElementById('done').textContent.startsWith('Tier {tier} is set for')"
        )
        row = edge_server.stream(page.evaluate("document.querySelector('#streams th').textContent"))
        assert row is not None
        assert row["tier"] == tier
        pressed = "#streams [aria-pressed=true]"
        page.until(f"document.querySelector('{pressed}').textContent === '{tier}'")


def test_the_dashboard_lists_sessions(edge_server: Edge, studio: Page, open_page: OpenPage) -> None:
    page = open_page(f"{edge_server.url}/ops")
    page.until("document.getElementById('sessions').innerText.includes('card')")
    text = page.text()
    assert "publisher, WHIP" in text
    assert "960×540" in text


def test_pictures_for_the_readme(
    edge_server: Edge, studio: Page, open_page: OpenPage, pictures: Path
) -> None:
    player = open_page(player_url(edge_server, "card"), width=1100, height=720)
    player.until(PLAYING)
    player.press("s")
    player.until(f"{STATS}.receiving?.height === 540", 20)
    player.until(f"{STATS}.cardDelayMs !== null")
    player.screenshot(pictures / "player.png")
    ops = open_page(f"{edge_server.url}/ops", width=1100, height=560)
    ops.until("document.getElementById('sessions').innerText.includes('subscriber')")
    ops.screenshot(pictures / "ops.png")
    studio.resize(1100, 860)
    studio.until("document.querySelectorAll('#layers tr').length === 3")
    studio.screenshot(pictures / "studio.png")
    for name in ("player", "ops", "studio"):
        assert (pictures / f"{name}.png").stat().st_size > 10_000
