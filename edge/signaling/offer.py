"""An offer as read: what is common to WHIP and WHEP, before the edge has credentials of its own.

One transport carries a session (BUNDLE, RFC 9143; max-bundle of RFC 9429): sections outside it are
refused with port 0, and offers that cannot live on one transport are refused as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

from edge.errors import ErrorCode, PeerError
from edge.model import IceCredentials
from edge.signaling import attributes
from edge.signaling.codecs import OfferedCodec, offered_codecs
from edge.signaling.sdp import Body, MediaSection, SessionDescription, parse, refusal
from edge.signaling.transport import FINGERPRINT_HASHES, RemoteTransport

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]

RTP_PROTOCOLS = frozenset(
    f"{lower}{profile}"
    for lower in ("UDP/TLS/RTP/", "TCP/TLS/RTP/", "TCP/DTLS/RTP/", "RTP/")
    for profile in ("SAVPF", "SAVP")
)
"""Profiles that all mean DTLS-SRTP to a WebRTC peer (RFC 9429, section 5.1.2)."""
DATA_PROTOCOLS = frozenset({"UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP"})

_DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedMedia:
    """One section of an offer."""

    section: MediaSection
    name: str
    """Its mid, or its index where the offer gives none."""
    direction: Direction
    usable: bool
    """Whether it can be carried: encrypted, not refused, on the session's transport."""
    codecs: tuple[OfferedCodec, ...]

    @property
    def is_rtp(self) -> bool:
        """Whether this is audio or video over RTP."""
        return self.section.media in ("audio", "video")

    @property
    def sends(self) -> bool:
        """Whether the offerer would send."""
        return self.direction in ("sendrecv", "sendonly")

    @property
    def receives(self) -> bool:
        """Whether the offerer would receive."""
        return self.direction in ("sendrecv", "recvonly")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A peer's offer with its transport."""

    description: SessionDescription
    media: tuple[OfferedMedia, ...]
    bundle: tuple[str, ...]
    """The mids of the group that is used; empty when the offer groups nothing."""
    remote: RemoteTransport


def read_offer(text: str) -> Offer:
    """Read an offer. Raises PeerError: MALFORMED_SDP, or UNACCEPTABLE_OFFER without a transport."""
    description = parse(text)
    bundle = _bundle(description)
    media = tuple(
        _read_media(description, bundle, index) for index in range(len(description.media))
    )
    usable = [entry for entry in media if entry.usable]
    if not usable:
        _refuse(
            "the offer has no audio, video or data channel section with DTLS on its first transport"
        )
    if not bundle and len(usable) > 1:
        _refuse("the offer has several sections and needs a=group:BUNDLE: there is one transport")
    for entry in usable:
        body = entry.section.body
        if entry.is_rtp and not (body.has("rtcp-mux") or body.has("rtcp-mux-only")):
            raise refusal(
                ErrorCode.UNACCEPTABLE_OFFER, entry.section.number, "the section needs a=rtcp-mux"
            )
    remote = _read_remote(description, _transport_order(usable, bundle))
    return Offer(description=description, media=media, bundle=bundle, remote=remote)


def _bundle(description: SessionDescription) -> tuple[str, ...]:
    known = {section.mid for section in description.media}
    groups = (attributes.group(value) for value in description.body.values("group"))
    members = (
        tuple(mid for mid in dict.fromkeys(mids) if mid in known)
        for semantics, mids in groups
        if semantics == "BUNDLE"
    )
    return next((mids for mids in members if mids), ())


def _read_media(description: SessionDescription, bundle: Sequence[str], index: int) -> OfferedMedia:
    section = description.media[index]
    codecs = offered_codecs(section)
    refused = section.port == 0 and not section.body.has("bundle-only")
    return OfferedMedia(
        section=section,
        name=section.mid or str(index),
        direction=_direction(section.body) or _direction(description.body) or "sendrecv",
        usable=not refused and _encrypted(section) and (not bundle or section.mid in bundle),
        codecs=codecs,
    )


def _encrypted(section: MediaSection) -> bool:
    if section.media in ("audio", "video"):
        return section.protocol.upper() in RTP_PROTOCOLS
    return section.media == "application" and section.protocol.upper() in DATA_PROTOCOLS


def _direction(body: Body) -> Direction | None:
    return next((direction for direction in _DIRECTIONS if body.has(direction)), None)


def _transport_order(usable: Sequence[OfferedMedia], bundle: Sequence[str]) -> list[MediaSection]:
    """The section whose transport is the group's comes first (RFC 9143, section 7.2)."""
    places = {mid: place for place, mid in enumerate(bundle)}
    return [
        entry.section
        for entry in sorted(usable, key=lambda entry: places.get(entry.name, len(places)))
    ]


def _read_remote(
    description: SessionDescription, sections: Sequence[MediaSection]
) -> RemoteTransport:
    bodies = [*(section.body for section in sections), description.body]
    if description.body.has("ice-lite"):
        _refuse("both sides are ICE-lite: nobody would check connectivity")
    ufrag, pwd = _credentials(bodies)
    fingerprints = _fingerprints(bodies)
    setup = next((value for body in bodies for value in body.values("setup")), "actpass")
    return RemoteTransport(
        ice=IceCredentials(ufrag=ufrag, pwd=pwd),
        setup="active" if attributes.setup(setup) == "passive" else "passive",
        fingerprints=fingerprints,
        candidates=tuple(bodies[0].values("candidate")),
    )


def _credentials(bodies: Sequence[Body]) -> tuple[str, str]:
    for body in bodies:
        ufrag, pwd = body.first("ice-ufrag"), body.first("ice-pwd")
        if ufrag and pwd:
            return ufrag, pwd
    _refuse("a=ice-ufrag and a=ice-pwd are needed")


def _fingerprints(bodies: Sequence[Body]) -> tuple[tuple[str, str], ...]:
    for body in bodies:
        offered = map(attributes.fingerprint, body.values("fingerprint"))
        accepted = tuple(
            dict.fromkeys(entry for entry in offered if entry[0] in FINGERPRINT_HASHES)
        )
        if accepted:
            return accepted
    _refuse("a=fingerprint is needed with one of " + ", ".join(FINGERPRINT_HASHES))


def _refuse(reason: str) -> NoReturn:
    raise PeerError(ErrorCode.UNACCEPTABLE_OFFER, reason)
