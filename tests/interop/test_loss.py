"""Players on bad networks: what is lost is repaired, and the layer follows the bandwidth."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from .conftest import BadNetwork
from .edges import Edge, push, report, watch, watched
from .link import Conditions
from .player import Player
from .program import until

pytestmark = pytest.mark.timeout(90)


@pytest.mark.long
def test_five_percent_loss_is_repaired(edge_server: Edge, bad_network: BadNetwork) -> None:
    with edge_server.push("lossy", "--size", "640x360", "--bitrate", "1500k"):
        edge_server.wait_live("lossy")
        spoilt = Conditions(loss=0.05, delay_s=0.04)
        bad_network.relay.set(up=spoilt, down=spoilt)
        result = watched(watch(f"{bad_network.url}/whep/lossy", 21), 40)
    assert result["packets_missed"] > 0.03 * result["packets"], "the relay lost nothing"
    assert result["rtt_ms"] > 78
    assert result["packets_lost"] == 0
    assert result["frames_dropped"] == 0
    assert result["decode_errors"] == 0
    assert result["fps"] > 25


def test_a_studios_loss_is_repaired(edge_server: Edge, bad_network: BadNetwork) -> None:
    spoilt = Conditions(loss=0.05, delay_s=0.02)
    bad_network.relay.set(up=spoilt, down=spoilt)
    with push(f"{bad_network.url}/whip/far", "--size", "640x360", "--bitrate", "1500k"):
        edge_server.wait_live("far")
        result = watched(watch(edge_server.whep("far"), 6), 25)
    assert bad_network.relay.passed(up=True).lost > 30
    assert result["packets_lost"] == result["frames_dropped"] == result["decode_errors"] == 0
    assert result["fps"] > 25
    # What came late to the edge was passed on late: nothing was left for the player to ask for.
    assert result["key_requests"] == 0


def test_jitter_reordering_and_duplicates_do_no_harm(
    edge_server: Edge, bad_network: BadNetwork
) -> None:
    rough = Conditions(
        delay_s=0.02,
        jitter_s=0.015,
        reorder=0.02,
        reorder_s=0.01,
        duplicate=0.02,
        burst_start=0.002,
    )
    with edge_server.push("rough", "--size", "640x360", "--bitrate", "1500k"):
        edge_server.wait_live("rough")
        bad_network.relay.set(up=rough, down=rough)
        result = watched(watch(f"{bad_network.url}/whep/rough", 8), 25)
    assert result["packets_missed"] > 0
    assert result["packets_lost"] == result["frames_dropped"] == result["decode_errors"] == 0
    assert result["fps"] > 25


STEADY_PICTURES = 90


def steady(player: Player, height: int, count: int) -> bool:
    """Whether that many pictures in a row, up to now, had this height."""
    last = player.pictures[-count:]
    return len(last) == count and all(picture.height == height for picture in last)


def switches(player: Player, since: float) -> list[tuple[float, int]]:
    """When the picture's height changed, and to what."""
    found: list[tuple[float, int]] = []
    for picture in player.pictures:
        if not found or found[-1][1] != picture.height:
            found.append((round(picture.at - since, 2), picture.height))
    return found


@pytest.mark.long
def test_the_layer_follows_the_bandwidth(edge_server: Edge, bad_network: BadNetwork) -> None:
    fast = Conditions(delay_s=0.02, rate_bps=4e6)
    slow = Conditions(delay_s=0.02, rate_bps=1e6)
    bad_network.relay.set(up=Conditions(delay_s=0.02), down=fast)
    with (
        edge_server.push("layers", "--simulcast", "--size", "1280x720", "--bitrate", "2500k"),
        ExitStack() as players,
    ):
        edge_server.wait_live("layers", layers=3)
        player = players.enter_context(Player(f"{bad_network.url}/whep/layers"))
        joined = time.monotonic()
        until("the top layer for 3 s", lambda: steady(player, 720, STEADY_PICTURES), 25)
        up_s = time.monotonic() - joined - STEADY_PICTURES / 30
        bad_network.relay.set(down=slow)
        dropped = time.monotonic()
        down_s = player.wait_height(lambda height: height < 720, 10) - dropped
        player.wait_pictures(120)
        settled = {picture.height for picture in player.pictures[-60:]}
        bad_network.relay.set(down=fast)
        recovered = time.monotonic()
        back_s = player.wait_height(lambda height: height == 720, 30) - recovered
        lost = player.viewer.counters["video"].lost
    report(
        "rate 4 -> 1 -> 4 Mbit/s",
        {"to_top_s": up_s, "down_s": down_s, "back_s": back_s, "settled": sorted(settled)}
        | {
            "switches": switches(player, joined),
            "lost": lost,
            "overflowed": bad_network.relay.passed(up=False).overflowed,
        },
    )
    assert down_s <= 2
    assert settled <= {180, 360}
    assert back_s <= 15
