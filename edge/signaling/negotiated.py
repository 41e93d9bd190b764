"""What a negotiation ends in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from edge.model import PublisherSpec, StreamTrack, SubscriberSpec
from edge.signaling.datachannel import DataChannelSection
from edge.signaling.transport import RemoteTransport

SpecT = TypeVar("SpecT", PublisherSpec, SubscriberSpec)


@dataclass(frozen=True, slots=True, kw_only=True)
class Negotiated(Generic[SpecT]):
    """An answer and what follows from it."""

    answer: str
    spec: SpecT
    remote: RemoteTransport
    data_channel: DataChannelSection | None
    tracks: tuple[StreamTrack, ...]
    """Publisher: what the stream will carry. Subscriber: what of it the player gets."""
