"""Packets carry the traffic class of what is in them (RFC 8837, table 1), seen on the wire."""

from __future__ import annotations

import socket
import threading
from collections import Counter

import pytest

from .edges import Edge, watch, watched

ETH_P_IP = 0x0800
ETHERNET = 14
AUDIO, VIDEO, OTHER = 46 << 2, 34 << 2, 0


def sniff(port: int, stop: threading.Event, seen: Counter[tuple[str, int]]) -> None:
    """Count (kind, TOS byte) of the UDP datagrams that leave a port of loopback."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP)) as wire:
        wire.bind(("lo", 0))
        wire.settimeout(0.1)
        while not stop.is_set():
            try:
                frame = wire.recv(65_535)
            except TimeoutError:
                continue
            header = frame[ETHERNET:]
            udp = header[(header[0] & 15) * 4 :]
            if header[9] == socket.IPPROTO_UDP and int.from_bytes(udp[:2], "big") == port:
                seen[kind(udp[8:]), header[1]] += 1


def kind(payload: bytes) -> str:
    """What RFC 7983 says of the first byte, RTCP apart from RTP."""
    if 128 <= payload[0] <= 191:
        return "rtcp" if 192 <= payload[1] <= 223 else "rtp"
    return "stun" if payload[0] < 4 else "dtls"


def test_media_is_marked_and_handshakes_are_not(edge_server: Edge) -> None:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP)).close()
    except PermissionError:
        pytest.skip("reading the wire needs CAP_NET_RAW")
    seen: Counter[tuple[str, int]] = Counter()
    stop = threading.Event()
    with edge_server.push("marked"):
        edge_server.wait_live("marked")
        reader = threading.Thread(target=sniff, args=(edge_server.udp_ports[0], stop, seen))
        reader.start()
        try:
            watched(watch(edge_server.whep("marked"), 2), 20)
        finally:
            stop.set()
            reader.join()
    assert seen["rtp", VIDEO] > 100
    assert seen["rtp", AUDIO] > 50
    assert seen["stun", OTHER] > 0
    assert seen["dtls", OTHER] > 0
    assert {tos for what, tos in seen if what == "rtp"} == {VIDEO, AUDIO}
    assert {tos for what, tos in seen if what in ("stun", "dtls")} == {OTHER}
