"""Opens a session's transport: chooses a worker, negotiates, and writes the answer."""

from __future__ import annotations

import secrets
from typing import Any

from edge.config import EdgeConfig
from edge.errors import ErrorCode, PeerError
from edge.model import IceCredentials, Role
from edge.server.announce import announced_addresses, candidates
from edge.server.engine import Engine
from edge.server.records import SessionRecord
from edge.server.transport import Certificate, Owner, Transport, TransportSpec
from edge.signaling.negotiate import (
    LocalTransport,
    Negotiated,
    answer_publisher,
    answer_subscriber,
)
from edge.signaling.session import TransportOpened

SSRCS = 4
"""Numbers drawn for a player: media and retransmission of sound and picture."""


class Opener:
    """What all sessions of a node have in common when they are answered."""

    def __init__(self, config: EdgeConfig, engine: Engine, certificate: Certificate) -> None:
        self._config = config
        self._engine = engine
        self._certificate = certificate
        self._fingerprints = tuple(certificate.fingerprints)
        self.addresses = announced_addresses(config.announce, config.data_plane)
        ports = (config.announce.port_map.get(port, port) for port in engine.ports)
        self._candidates = [
            candidates(self.addresses, port, tcp=config.data_plane.tcp) for port in ports
        ]

    def open(self, record: SessionRecord, owner: Owner) -> TransportOpened:
        """Fill the record in. Raises PeerError when the offer cannot be answered or the node is full."""
        worker = self._engine.choose_worker()
        local = fresh_credentials()
        record.candidates = self._candidates[worker]
        negotiated = self._negotiate(record, local)
        try:
            record.handle = self._engine.open_session(worker, local, negotiated.remote.ice)
        except (RuntimeError, ValueError) as error:
            raise node_full(self._config, str(error)) from error
        record.transport = Transport(self._certificate, _transport_spec(negotiated), owner)
        record.spec, record.tracks = negotiated.spec, negotiated.tracks
        record.answer, record.video_line = negotiated.answer, _video_line(negotiated.answer)
        # A parsed offer of a browser is tens of kilobytes, and nobody asks for it again.
        record.offer = None
        return TransportOpened(
            answer=negotiated.answer, etag=fresh_etag(), remote=negotiated.remote.ice
        )

    def _negotiate(self, record: SessionRecord, ice: IceCredentials) -> Negotiated[Any]:
        local = LocalTransport(
            ice=ice, fingerprints=self._fingerprints, candidates=record.candidates
        )
        assert record.offer is not None
        stream = record.stream.machine
        number = secrets.randbits(62)
        if record.role is Role.PUBLISHER:
            return answer_publisher(
                record.offer,
                local,
                session_number=number,
                keep_codecs=stream.codecs,
                preference=(*self._config.codecs.video, "opus"),
            )
        return answer_subscriber(
            record.offer,
            local,
            session_number=number,
            stream=stream.tracks,
            ssrcs=_ssrcs(),
            cname=secrets.token_hex(8),
            playout_delay_ms=self._config.streams.playout_delay_ms,
        )


def fresh_credentials() -> IceCredentials:
    """RFC 8839, section 5.4 wants 24 and 128 bits of randomness; these have 48 and 144."""
    return IceCredentials(ufrag=secrets.token_hex(6), pwd=secrets.token_hex(18))


def fresh_etag() -> str:
    """An entity tag for an ICE generation."""
    return secrets.token_hex(8)


def node_full(config: EdgeConfig, detail: str) -> PeerError:
    """503, and when to come again."""
    headers = {"Retry-After": str(config.limits.retry_after_s)}
    return PeerError(ErrorCode.NODE_FULL, detail, headers)


def _transport_spec(negotiated: Negotiated[Any]) -> TransportSpec:
    remote, channel = negotiated.remote, negotiated.data_channel
    return TransportSpec(
        dtls_client=remote.setup == "active",
        fingerprints=remote.fingerprints,
        sctp_port=channel.sctp_port if channel else None,
        max_message_size=channel.max_message_size if channel else 0,
    )


def _video_line(answer: str) -> int:
    lines = [line for line in answer.splitlines() if line.startswith("m=")]
    return next((index for index, line in enumerate(lines) if line.startswith("m=video")), 0)


def _ssrcs() -> tuple[int, ...]:
    numbers: set[int] = set()
    while len(numbers) < SSRCS:
        numbers.add(1 + secrets.randbelow(0xFFFF_FFFE))
    return tuple(numbers)
