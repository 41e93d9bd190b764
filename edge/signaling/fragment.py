"""Trickle ICE fragments (RFC 8840, section 9; RFC 9725, section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge.errors import ErrorCode
from edge.model import IceCredentials
from edge.signaling.sdp import Line, read_lines, refusal, split_sections
from edge.signaling.transport import Candidate, candidate_lines

CONTENT_TYPE = "application/trickle-ice-sdpfrag"
MAX_CANDIDATES = 256
"""Most candidates in one fragment; a host with many interfaces has about 40."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """What a PATCH says: further candidates, or new credentials for an ICE restart."""

    ufrag: str | None = None
    pwd: str | None = None
    candidates: tuple[str, ...] = ()
    """Values of `a=candidate` as they came, over all sections (the transport is bundled)."""
    end_of_candidates: bool = False
    mid: str | None = None
    """The first section's name."""
    media: str = "audio"
    """The first section's kind of media."""

    @property
    def credentials(self) -> IceCredentials | None:
        """User fragment and password where both are given."""
        return IceCredentials(ufrag=self.ufrag, pwd=self.pwd) if self.ufrag and self.pwd else None


def parse_fragment(text: str) -> Fragment:
    """Read a fragment. Raises PeerError(MALFORMED_FRAGMENT) naming the line."""
    lines = read_lines(text, ErrorCode.MALFORMED_FRAGMENT)
    if not lines:
        raise refusal(ErrorCode.MALFORMED_FRAGMENT, 1, "a fragment needs at least one line")
    session, media = split_sections(lines, ErrorCode.MALFORMED_FRAGMENT)
    bodies = (*(section.body for section in media), session)
    candidates = tuple(value for body in bodies for value in body.values("candidate"))
    if len(candidates) > MAX_CANDIDATES:
        raise refusal(
            ErrorCode.MALFORMED_FRAGMENT, lines[-1].number, f"more than {MAX_CANDIDATES} candidates"
        )
    return Fragment(
        ufrag=next((value for body in bodies for value in body.values("ice-ufrag")), None),
        pwd=next((value for body in bodies for value in body.values("ice-pwd")), None),
        candidates=candidates,
        end_of_candidates=any(body.has("end-of-candidates") for body in bodies),
        mid=next((section.mid for section in media if section.mid is not None), None),
        media=media[0].media if media else "audio",
    )


def write_fragment(
    ice: IceCredentials, candidates: Sequence[Candidate], *, mid: str = "0", media: str = "audio"
) -> str:
    """The answer to an ICE restart: the edge's new credentials and all its candidates."""
    section = "RTP/AVP 0" if media in ("audio", "video") else "UDP/DTLS/SCTP webrtc-datachannel"
    lines = [
        Line(kind="a", value="ice-lite"),
        Line(kind="a", value="ice-options:ice2 trickle"),
        Line(kind="a", value=f"ice-ufrag:{ice.ufrag}"),
        Line(kind="a", value=f"ice-pwd:{ice.pwd}"),
        Line(kind="m", value=f"{media} 9 {section}"),
        Line(kind="a", value=f"mid:{mid}"),
        *(Line(kind="a", value=value) for value in candidate_lines(tuple(candidates))),
    ]
    return "".join(f"{line}\r\n" for line in lines)
