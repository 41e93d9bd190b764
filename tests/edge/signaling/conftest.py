"""Golden offers, named after the program that made them, and one local side for all answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge.model import IceCredentials, PublisherSpec, StreamTrack, SubscriberSpec
from edge.signaling.negotiate import (
    Candidate,
    LocalTransport,
    Negotiated,
    answer_publisher,
    answer_subscriber,
    read_offer,
)

VECTORS = Path(__file__).parents[2] / "vectors" / "sdp"
STREAM = (
    StreamTrack(kind="video", codec="H264", fmtp="profile-level-id=640028"),
    StreamTrack(kind="audio", codec="opus", red=True),
)
LOCAL = LocalTransport(
    ice=IceCredentials(ufrag="edge0001", pwd="b66f472495ef0ccac7bda653ab6be49e"),
    fingerprints=(("sha-256", ":".join(f"{byte:02X}" for byte in range(0xA0, 0xC0))),),
    candidates=(
        Candidate(
            foundation="2",
            protocol="tcp",
            priority=1_671_430_143,
            address="192.0.2.10",
            port=8189,
            tcptype="passive",
        ),
        Candidate(foundation="1", priority=2_130_706_431, address="192.0.2.10", port=8189),
    ),
)

Publish = Callable[..., Negotiated[PublisherSpec]]
Play = Callable[..., Negotiated[SubscriberSpec]]


@pytest.fixture
def local() -> LocalTransport:
    """The edge's side; the TCP candidate comes first on purpose."""
    return LOCAL


@pytest.fixture
def vector() -> Callable[[str], str]:
    """Reads a golden file, keeping its line ends."""
    return lambda name: (VECTORS / f"{name}.sdp").read_bytes().decode()


@pytest.fixture
def publish() -> Publish:
    """Answers a studio's offer text."""

    def answer(text: str, **options: Any) -> Negotiated[PublisherSpec]:
        return answer_publisher(read_offer(text), LOCAL, session_number=7, **options)

    return answer


@pytest.fixture
def play() -> Play:
    """Answers a player's offer text with an H.264 High and Opus stream unless told otherwise."""

    def answer(text: str, **options: Any) -> Negotiated[SubscriberSpec]:
        options = {"stream": STREAM, "ssrcs": (11, 12, 13, 14), "cname": "table-7", **options}
        return answer_subscriber(read_offer(text), LOCAL, session_number=7, **options)

    return answer
