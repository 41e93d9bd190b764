"""The relay that bad networks are made of: its decisions, and its sockets."""

from __future__ import annotations

import itertools
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from .front import redirect_candidates
from .link import HEADER_BYTES, Conditions, Link
from .relay import UdpRelay

pytestmark = pytest.mark.timeout(20)

PACKETS = 20_000


def outcomes(
    conditions: Conditions, seed: int = 1, gap_s: float = 0.001
) -> list[tuple[float, ...]]:
    """When each of many evenly spaced datagrams comes out, after it came in."""
    link = Link(conditions, seed)
    return [
        tuple(moment - index * gap_s for moment in link.admit(1000, index * gap_s))
        for index in range(PACKETS)
    ]


def test_the_same_seed_gives_the_same_decisions() -> None:
    conditions = Conditions(loss=0.1, jitter_s=0.01, duplicate=0.1, reorder=0.1)
    assert outcomes(conditions, 7) == outcomes(conditions, 7)
    assert outcomes(conditions, 7) != outcomes(conditions, 8)


def test_without_conditions_all_comes_out_at_once() -> None:
    assert all(len(found) == 1 and abs(found[0]) < 1e-9 for found in outcomes(Conditions()))


def test_bernoulli_loss_has_its_rate() -> None:
    lost = sum(not found for found in outcomes(Conditions(loss=0.05)))
    assert lost / PACKETS == pytest.approx(0.05, abs=0.006)


def test_gilbert_loss_comes_in_bursts() -> None:
    found = outcomes(Conditions(burst_start=0.01, burst_end=0.25))
    runs = [len(list(run)) for gone, run in itertools.groupby(not item for item in found) if gone]
    assert statistics.mean(runs) == pytest.approx(4, rel=0.15)
    assert sum(runs) / PACKETS == pytest.approx(0.01 / 0.26, rel=0.2)


def test_delay_and_jitter_keep_the_order() -> None:
    found = outcomes(Conditions(delay_s=0.04, jitter_s=0.02))
    delays = [item[0] for item in found]
    assert min(delays) >= 0.04 and max(delays) <= 0.06 + 1e-9
    moments = [index * 0.001 + delay for index, delay in enumerate(delays)]
    assert moments == sorted(moments)


def test_reordering_lets_others_overtake() -> None:
    found = outcomes(Conditions(reorder=0.1, reorder_s=0.01))
    moments = [index * 0.001 + item[0] for index, item in enumerate(found)]
    overtaken = sum(later < earlier for earlier, later in itertools.pairwise(moments))
    assert overtaken / PACKETS == pytest.approx(0.09, abs=0.015)


def test_duplicates_come_twice() -> None:
    assert sum(
        len(item) for item in outcomes(Conditions(duplicate=0.2))
    ) / PACKETS == pytest.approx(1.2, abs=0.01)


def test_a_rate_limit_passes_its_rate_and_its_queue_is_bounded() -> None:
    # 1028 bytes a millisecond are 8.2 Mbit/s, twice the rate.
    found = outcomes(Conditions(rate_bps=4e6, queue_s=0.2))
    passed = [item[0] for item in found if item]
    rate_bps = len(passed) * (1000 + HEADER_BYTES) * 8 / (PACKETS * 0.001)
    assert rate_bps == pytest.approx(4e6, rel=0.02)
    assert max(passed) <= 0.2 + (1000 + HEADER_BYTES) * 8 / 4e6 + 1e-9


def test_a_changed_condition_does_not_shift_the_others() -> None:
    without = outcomes(Conditions(loss=0.1))
    delayed = outcomes(Conditions(loss=0.1, delay_s=0.05, jitter_s=0.01))
    assert [bool(item) for item in without] == [bool(item) for item in delayed]


def test_candidates_lead_to_the_relay() -> None:
    text = (
        "a=candidate:1 1 udp 2130706431 127.0.0.1 8189 typ host\r\n"
        "a=candidate:2 1 TCP 1510080511 127.0.0.1 8189 typ host tcptype passive\r\n"
        "a=end-of-candidates\r\n"
    )
    assert redirect_candidates(text, {8189: 9000}) == (
        "a=candidate:1 1 udp 2130706431 127.0.0.1 9000 typ host\r\na=end-of-candidates\r\n"
    )


@pytest.fixture
def echo() -> Iterator[socket.socket]:
    """A socket that stands for the edge."""
    with closing(udp()) as sock:
        yield sock


def udp() -> socket.socket:
    """A UDP socket on a free port that waits a second at most."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(1)
    return sock


def test_each_client_has_a_flow_of_its_own(echo: socket.socket) -> None:
    with UdpRelay(echo.getsockname()) as relay, closing(udp()) as one, closing(udp()) as two:
        sources = []
        for client, name in ((one, b"one"), (two, b"two")):
            client.sendto(name, ("127.0.0.1", relay.port))
            data, source = echo.recvfrom(100)
            assert data == name
            sources.append(source)
        assert len(set(sources)) == relay.flows == 2
        echo.sendto(b"to two", sources[1])
        echo.sendto(b"to one", sources[0])
        assert one.recv(100) == b"to one"
        assert two.recv(100) == b"to two"


def test_conditions_change_while_it_runs(echo: socket.socket) -> None:
    with UdpRelay(echo.getsockname()) as relay, closing(udp()) as client:
        where = ("127.0.0.1", relay.port)
        client.sendto(b"first", where)
        assert echo.recv(100) == b"first"
        relay.set(up=Conditions(loss=1.0))
        client.sendto(b"lost", where)
        while relay.passed(up=True).lost == 0:
            time.sleep(0.001)
        relay.set(up=Conditions(delay_s=0.1))
        sent = time.monotonic()
        client.sendto(b"late", where)
        assert echo.recv(100) == b"late"
        assert 0.1 <= time.monotonic() - sent < 0.5
        assert relay.passed(up=True).delivered == 2
