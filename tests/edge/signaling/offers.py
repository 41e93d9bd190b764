"""Short offers for rules that no recording shows."""

from __future__ import annotations

from collections.abc import Sequence

FINGERPRINT = "a=fingerprint:sha-256 " + ":".join(["5A"] * 32)
TRANSPORT = (
    "a=ice-ufrag:user",
    "a=ice-pwd:passwordpasswordpassword",
    FINGERPRINT,
    "a=setup:actpass",
)
OPUS = ("a=rtpmap:111 opus/48000/2",)
H264 = ("a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=1;profile-level-id=42e01f")


def offer(
    *sections: Sequence[str],
    session: Sequence[str] = TRANSPORT,
    bundle: str | None = "BUNDLE 0 1 2 3",
) -> str:
    """A whole offer out of sections."""
    group = [f"a=group:{bundle}"] if bundle else []
    lines = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", *group, *session]
    for section in sections:
        lines.extend(section)
    return "".join(f"{line}\r\n" for line in lines)


def audio(
    *lines: str, mid: str = "0", formats: str = "111", direction: str = "sendonly"
) -> list[str]:
    """An audio section with Opus unless other lines are given."""
    head = [
        f"m=audio 9 UDP/TLS/RTP/SAVPF {formats}",
        f"a=mid:{mid}",
        f"a={direction}",
        "a=rtcp-mux",
    ]
    return [*head, *(lines or OPUS)]


def video(
    *lines: str, mid: str = "1", formats: str = "96", direction: str = "sendonly"
) -> list[str]:
    """A video section with H.264 unless other lines are given."""
    head = [
        f"m=video 9 UDP/TLS/RTP/SAVPF {formats}",
        f"a=mid:{mid}",
        f"a={direction}",
        "a=rtcp-mux",
    ]
    return [*head, *(lines or H264)]


def without(text: str, *starts: str) -> str:
    """The text without the lines that start so."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(starts))
