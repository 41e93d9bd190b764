"""Candidates: addresses, ports and priorities."""

from __future__ import annotations

import ipaddress

import pytest

from edge.config import AnnounceConfig, DataPlaneConfig
from edge.server import announce
from edge.server.announce import announced_addresses, candidates


def test_udp_comes_before_tcp_and_priorities_differ() -> None:
    found = candidates(("192.0.2.1", "2001:db8::1"), 8190, tcp=True)
    assert [(c.protocol, c.address, c.tcptype) for c in found] == [
        ("udp", "192.0.2.1", None),
        ("udp", "2001:db8::1", None),
        ("tcp", "192.0.2.1", "passive"),
        ("tcp", "2001:db8::1", "passive"),
    ]
    priorities = [c.priority for c in found]
    assert priorities == sorted(set(priorities), reverse=True)
    # RFC 8445, section 5.1.2.1 for a host candidate of the highest local preference.
    assert priorities[0] == 2_130_706_431
    assert len({c.foundation for c in found}) == 4
    assert len(candidates(("192.0.2.1",), 1, tcp=False)) == 1


@pytest.mark.parametrize(
    ("bind", "configured", "host", "expected"),
    [
        ("0.0.0.0", ("203.0.113.9",), ["10.0.0.1"], ("203.0.113.9",)),
        ("127.0.0.1", (), ["10.0.0.1"], ("127.0.0.1",)),
        ("0.0.0.0", (), ["127.0.0.1", "10.0.0.1"], ("10.0.0.1",)),
        ("0.0.0.0", (), ["127.0.0.1"], ("127.0.0.1",)),
        ("0.0.0.0", (), [], ("127.0.0.1",)),
        ("::", (), ["10.0.0.1"], ("10.0.0.1", "2001:db8::5")),
    ],
)
def test_which_addresses_are_announced(
    bind: str,
    configured: tuple[str, ...],
    host: list[str],
    expected: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(announce, "ipv4_addresses", lambda: host)
    monkeypatch.setattr(announce, "ipv6_addresses", lambda: ["2001:db8::5"])
    config = AnnounceConfig(addresses=configured)
    assert announced_addresses(config, DataPlaneConfig(bind=bind)) == expected


def test_this_host_has_addresses_of_the_right_form() -> None:
    assert "127.0.0.1" in announce.ipv4_addresses()
    for address in announce.ipv4_addresses() + announce.ipv6_addresses():
        ipaddress.ip_address(address)
