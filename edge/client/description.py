"""
Session descriptions as the clients need them: an offer from a template, an answer by lines.

Only what WHIP and WHEP use is here: BUNDLE, rtcp-mux, one ICE and DTLS transport (RFC 9725,
section 4.4). The gateway has a parser of its own; a client that shared it would share its mistakes.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Literal

from edge.client.failure import ClientError
from edge.model import ExtensionName, IceCredentials

Direction = Literal["sendonly", "recvonly"]

EXTENSION_URIS: dict[ExtensionName, str] = {
    "mid": "urn:ietf:params:rtp-hdrext:sdes:mid",
    "rid": "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
    "repaired_rid": "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
    "transport_cc": "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    "abs_send_time": "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    "abs_capture_time": "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
    "playout_delay": "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
}

_NAME_BY_URI = {uri: name for name, uri in EXTENSION_URIS.items()}

_VIDEO_FEEDBACK = ("nack", "nack pli", "ccm fir", "goog-remb", "transport-cc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One payload type of an offer with the parameters of its format."""

    number: int
    encoding: str
    """As in ``a=rtpmap``, such as ``H264/90000``."""
    fmtp: str = ""
    rtx: int | None = None
    """Payload type of its retransmissions (RFC 4588)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedMedia:
    """One audio or video section of an offer."""

    kind: Literal["audio", "video"]
    mid: str
    direction: Direction
    payloads: tuple[Payload, ...]
    extensions: dict[ExtensionName, int]
    ssrc: int | None = None
    rtx_ssrc: int | None = None
    rids: tuple[str, ...] = ()
    """Simulcast RIDs to send, best first; with RIDs no SSRC is announced (RFC 8853)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Everything an offer says."""

    ice: IceCredentials
    fingerprint: str
    """Value of ``a=fingerprint``: hash function and digest."""
    media: tuple[OfferedMedia, ...]
    candidates: tuple[str, ...] = ()
    cname: str = "edge-client"
    data_channel_mid: str | None = None

    def __str__(self) -> str:
        mids = [media.mid for media in self.media]
        if self.data_channel_mid is not None:
            mids.append(self.data_channel_mid)
        lines = [
            "v=0",
            f"o=- {secrets.randbits(62)} 1 IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
            "a=group:BUNDLE " + " ".join(mids),
            "a=extmap-allow-mixed",
            "a=msid-semantic: WMS *",
        ]
        for media in self.media:
            lines += self._section(media)
        if self.data_channel_mid is not None:
            lines += [
                "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
                "c=IN IP4 0.0.0.0",
                *self._transport(self.data_channel_mid),
                "a=sctp-port:5000",
                "a=max-message-size:262144",
            ]
        return "\r\n".join(lines) + "\r\n"

    def _section(self, media: OfferedMedia) -> list[str]:
        numbers = [n for p in media.payloads for n in (p.number, p.rtx) if n is not None]
        lines = [
            f"m={media.kind} 9 UDP/TLS/RTP/SAVPF " + " ".join(map(str, numbers)),
            "c=IN IP4 0.0.0.0",
            *self._transport(media.mid),
            f"a={media.direction}",
            "a=rtcp-mux",
            "a=rtcp-rsize",
        ]
        lines += [f"a=extmap:{n} {EXTENSION_URIS[name]}" for name, n in media.extensions.items()]
        for payload in media.payloads:
            lines += _payload_lines(media.kind, payload)
        return lines + self._source_lines(media)

    def _transport(self, mid: str) -> list[str]:
        return [
            f"a=mid:{mid}",
            f"a=ice-ufrag:{self.ice.ufrag}",
            f"a=ice-pwd:{self.ice.pwd}",
            f"a=fingerprint:{self.fingerprint}",
            "a=setup:actpass",
            *[f"a=candidate:{candidate}" for candidate in self.candidates],
            "a=end-of-candidates",
        ]

    def _source_lines(self, media: OfferedMedia) -> list[str]:
        if media.direction == "recvonly":
            return []
        lines = [f"a=msid:{self.cname} {media.kind}"]
        if media.rids:
            lines += [f"a=rid:{rid} send" for rid in media.rids]
            return [*lines, "a=simulcast:send " + ";".join(media.rids)]
        if media.ssrc is None:
            return lines
        if media.rtx_ssrc is not None:
            lines.append(f"a=ssrc-group:FID {media.ssrc} {media.rtx_ssrc}")
        for ssrc in filter(None, (media.ssrc, media.rtx_ssrc)):
            lines.append(f"a=ssrc:{ssrc} cname:{self.cname}")
        return lines


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredMedia:
    """One section of an answer."""

    kind: str
    mid: str
    accepted: bool
    payload_types: tuple[int, ...]
    encodings: dict[int, str] = field(default_factory=dict)
    """Payload type to ``a=rtpmap`` text."""
    fmtp: dict[int, str] = field(default_factory=dict)
    extensions: dict[ExtensionName, int] = field(default_factory=dict)
    rids: tuple[str, ...] = ()
    """RIDs the other side agreed to receive."""
    ssrcs: tuple[int, ...] = ()

    def rtx_of(self, payload_type: int) -> int | None:
        """
        The payload type of retransmissions for ``payload_type``, or ``None``.
        """
        for number, text in self.fmtp.items():
            if f"apt={payload_type}" in text.replace(" ", "").split(";"):
                return number
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteCandidate:
    """Where the edge may be reached."""

    address: str
    port: int
    transport: Literal["udp", "tcp"]
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Everything a client needs from an answer."""

    ice: IceCredentials
    fingerprints: tuple[tuple[str, str], ...]
    dtls_role: Literal["client", "server"]
    """Our side of the DTLS handshake."""
    candidates: tuple[RemoteCandidate, ...]
    media: tuple[AnsweredMedia, ...]
    ice_lite: bool = False
    sctp_port: int | None = None

    def accepted(self, mid: str) -> AnsweredMedia | None:
        """
        The accepted section with this mid, or ``None``.
        """
        return next((m for m in self.media if m.mid == mid and m.accepted), None)


def parse_answer(text: str) -> Answer:
    """
    Parse an SDP answer (RFC 8866, RFC 8839, RFC 8842).

    Raises `ClientError` naming what is missing or malformed.
    """
    session, sections = _split(text)
    everything = session + [line for section in sections for line in section]
    ufrag, pwd = _first(everything, "ice-ufrag"), _first(everything, "ice-pwd")
    if not ufrag or not pwd:
        raise ClientError("the answer has no ICE credentials")
    fingerprints = tuple(dict.fromkeys(_fingerprint(v) for v in _all(everything, "fingerprint")))
    if not fingerprints:
        raise ClientError("the answer has no certificate fingerprint")
    sctp_port = _first(everything, "sctp-port")
    return Answer(
        ice=IceCredentials(ufrag=ufrag, pwd=pwd),
        fingerprints=fingerprints,
        dtls_role="server" if _first(everything, "setup") == "active" else "client",
        candidates=_candidates(everything),
        media=tuple(_media(section) for section in sections),
        ice_lite="a=ice-lite" in everything,
        sctp_port=int(sctp_port) if sctp_port and sctp_port.isdigit() else None,
    )


def _payload_lines(kind: str, payload: Payload) -> list[str]:
    number = payload.number
    lines = [f"a=rtpmap:{number} {payload.encoding}"]
    if payload.fmtp:
        lines.append(f"a=fmtp:{number} {payload.fmtp}")
    feedback = _VIDEO_FEEDBACK if kind == "video" else ("transport-cc",)
    lines += [f"a=rtcp-fb:{number} {name}" for name in feedback]
    if payload.rtx is not None:
        clock = payload.encoding.split("/")[1]
        lines += [f"a=rtpmap:{payload.rtx} rtx/{clock}", f"a=fmtp:{payload.rtx} apt={number}"]
    return lines


def _split(text: str) -> tuple[list[str], list[list[str]]]:
    session: list[str] = []
    sections: list[list[str]] = []
    for line in filter(None, (raw.strip() for raw in text.splitlines())):
        if line.startswith("m="):
            sections.append([])
        (sections[-1] if sections else session).append(line)
    if not session or not session[0].startswith("v=0"):
        raise ClientError("the edge's reply is not a session description")
    return session, sections


def _all(lines: list[str], name: str) -> list[str]:
    prefix = f"a={name}:"
    return [line[len(prefix) :].strip() for line in lines if line.startswith(prefix)]


def _first(lines: list[str], name: str) -> str:
    return next(iter(_all(lines, name)), "")


def _fingerprint(value: str) -> tuple[str, str]:
    algorithm, _, digest = value.partition(" ")
    return algorithm.lower(), digest.strip()


def _candidates(lines: list[str]) -> tuple[RemoteCandidate, ...]:
    found: dict[tuple[str, str, int], RemoteCandidate] = {}
    for value in _all(lines, "candidate"):
        part = value.split()
        if len(part) < 8 or part[1] != "1" or not (part[3].isdigit() and part[5].isdigit()):
            continue
        transport: Literal["udp", "tcp"] = "tcp" if part[2].lower() == "tcp" else "udp"
        candidate = RemoteCandidate(
            address=part[4], port=int(part[5]), transport=transport, priority=int(part[3])
        )
        found.setdefault((transport, candidate.address, candidate.port), candidate)
    return tuple(sorted(found.values(), key=lambda c: -c.priority))


def _media(section: list[str]) -> AnsweredMedia:
    words = section[0][2:].split()
    if len(words) < 4 or not words[1].isdigit():
        raise ClientError(f"the answer has a malformed line: {section[0]}")
    direction = "inactive" if "a=inactive" in section else ""
    return AnsweredMedia(
        kind=words[0],
        mid=_first(section, "mid"),
        accepted=words[1] != "0" and direction != "inactive",
        payload_types=tuple(int(word) for word in words[3:] if word.isdigit()),
        encodings=_numbered(section, "rtpmap"),
        fmtp=_numbered(section, "fmtp"),
        extensions=_extensions(section),
        rids=tuple(v.split()[0] for v in _all(section, "rid") if v.split()[1:2] == ["recv"]),
        ssrcs=tuple(
            dict.fromkeys(
                int(v.split()[0]) for v in _all(section, "ssrc") if v.split()[0].isdigit()
            )
        ),
    )


def _numbered(section: list[str], name: str) -> dict[int, str]:
    pairs = (value.partition(" ") for value in _all(section, name))
    return {int(number): text for number, _, text in pairs if number.isdigit()}


def _extensions(section: list[str]) -> dict[ExtensionName, int]:
    found: dict[ExtensionName, int] = {}
    for value in _all(section, "extmap"):
        words = value.split()
        number = words[0].split("/")[0] if words else ""
        if len(words) >= 2 and number.isdigit() and words[1] in _NAME_BY_URI:
            found[_NAME_BY_URI[words[1]]] = int(number)
    return found
