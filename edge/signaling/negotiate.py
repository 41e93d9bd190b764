"""The door to offers and answers: read an offer, then answer it as a studio's or as a player's."""

from __future__ import annotations

from edge.signaling.codecs import DEFAULT_PREFERENCE
from edge.signaling.datachannel import DataChannelSection
from edge.signaling.negotiated import Negotiated
from edge.signaling.offer import Offer, read_offer
from edge.signaling.publisher import answer_publisher
from edge.signaling.subscriber import answer_subscriber
from edge.signaling.transport import Candidate, LocalTransport, RemoteTransport

__all__ = [
    "DEFAULT_PREFERENCE",
    "Candidate",
    "DataChannelSection",
    "LocalTransport",
    "Negotiated",
    "Offer",
    "RemoteTransport",
    "answer_publisher",
    "answer_subscriber",
    "read_offer",
]
