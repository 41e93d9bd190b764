"""What ``edge watch`` offers to receive."""

from __future__ import annotations

from edge.client.description import EXTENSION_URIS, Offer, OfferedMedia, Payload
from edge.client.transport import Transport
from edge.model import ExtensionName, Kind

_H264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id="
_VIDEO = (
    Payload(number=102, encoding="H264/90000", fmtp=_H264 + "42e01f", rtx=103),
    Payload(number=104, encoding="H264/90000", fmtp=_H264 + "42001f", rtx=105),
    Payload(number=106, encoding="H264/90000", fmtp=_H264 + "4d001f", rtx=107),
    Payload(number=108, encoding="H264/90000", fmtp=_H264 + "64001f", rtx=109),
    Payload(number=96, encoding="VP8/90000", rtx=97),
    Payload(number=98, encoding="VP9/90000", fmtp="profile-id=0", rtx=99),
    Payload(number=45, encoding="AV1/90000", fmtp="profile=0;level-idx=5;tier=0", rtx=46),
    Payload(number=49, encoding="H265/90000", fmtp="profile-id=1;tier-flag=0;level-id=93", rtx=50),
)
_AUDIO = (Payload(number=111, encoding="opus/48000/2", fmtp="minptime=10;useinbandfec=1;stereo=1"),)
_EXTENSION_NUMBERS: dict[ExtensionName, int] = {
    name: number
    for number, name in enumerate(EXTENSION_URIS, start=1)
    if name not in ("rid", "repaired_rid")
}


def playback_offer(transport: Transport, host: str, *, data_channel: bool) -> Offer:
    """
    An offer to receive one audio and one video track from ``host``.
    """
    return Offer(
        ice=transport.ice.local,
        fingerprint=transport.fingerprint,
        media=(_offered("audio", "0", _AUDIO), _offered("video", "1", _VIDEO)),
        candidates=transport.ice.candidates(host),
        data_channel_mid="2" if data_channel else None,
    )


def _offered(kind: Kind, mid: str, payloads: tuple[Payload, ...]) -> OfferedMedia:
    return OfferedMedia(
        kind=kind,
        mid=mid,
        direction="recvonly",
        payloads=payloads,
        extensions=_EXTENSION_NUMBERS,
    )
