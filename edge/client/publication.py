"""One WHIP session of ``edge push``: its offer, what was agreed, its end."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from edge.client.description import (
    EXTENSION_URIS,
    Answer,
    Offer,
    OfferedMedia,
    Payload,
    parse_answer,
)
from edge.client.failure import ClientError
from edge.client.outgoing import StreamSpec
from edge.client.sender import MediaSender
from edge.client.signalling import Signalling, host_of
from edge.client.sources import SourceFormat, VideoSettings
from edge.client.transport import Transport
from edge.model import CodecName, ExtensionName

_EXTENSION_NUMBERS: dict[ExtensionName, int] = {
    name: number for number, name in enumerate(EXTENSION_URIS, start=1) if name != "playout_delay"
}
_VIDEO_PT, _RTX_PT, _AUDIO_PT = 96, 97, 111


class Publication:
    """
    One WHIP session.
    """

    def __init__(
        self,
        source: SourceFormat,
        settings: VideoSettings,
        on_key_request: Callable[[str], None],
    ) -> None:
        self._source = source
        self._settings = settings
        self._on_key_request = on_key_request
        self._ssrcs = {
            (kind, rid): (secrets.randbits(31) | 1, secrets.randbits(31) | 1)
            for kind in ("audio", "video")
            for rid in settings.rids
        }
        self.transport = Transport(lambda _data, _at: None, self._handle_rtcp)
        self.sender: MediaSender | None = None
        self.location = ""

    @property
    def live(self) -> MediaSender:
        """
        The sender of an open session.
        """
        assert self.sender is not None
        return self.sender

    async def open(self, signalling: Signalling, url: str) -> None:
        candidates = self.transport.ice.candidates(host_of(url))
        established = await signalling.offer(url, str(self._offer(candidates)))
        self.location = established.location
        answer = parse_answer(established.answer)
        streams = self._streams(answer)
        if not streams:
            raise ClientError("the edge accepted neither the video nor the audio offered")
        self.sender = MediaSender(self.transport, streams, self._on_key_request)
        await self.transport.connect(answer)

    async def close(self, signalling: Signalling) -> None:
        if self.sender is not None and self.transport.dtls_connected_at:
            self.sender.goodbye()
        if self.location:
            await signalling.delete(self.location)
        await self.transport.close()

    def _handle_rtcp(self, data: bytes, arrival: float) -> None:
        if self.sender is not None:
            self.sender.handle_rtcp(data, arrival)

    def _offer(self, candidates: tuple[str, ...]) -> Offer:
        media = []
        if self._source.has_audio:
            media.append(self._offered_audio())
        if self._source.codec is not None:
            media.append(self._offered_video(self._source.codec))
        return Offer(
            ice=self.transport.ice.local,
            fingerprint=self.transport.fingerprint,
            media=tuple(media),
            candidates=candidates,
        )

    def _offered_audio(self) -> OfferedMedia:
        video_only = ("rid", "repaired_rid")
        return OfferedMedia(
            kind="audio",
            mid="0",
            direction="sendonly",
            payloads=(
                Payload(
                    number=_AUDIO_PT,
                    encoding="opus/48000/2",
                    fmtp="minptime=10;useinbandfec=1;stereo=1",
                ),
            ),
            extensions={k: n for k, n in _EXTENSION_NUMBERS.items() if k not in video_only},
            ssrc=self._ssrcs["audio", self._settings.rids[0]][0],
        )

    def _offered_video(self, codec: CodecName) -> OfferedMedia:
        simulcast = len(self._settings.rids) > 1
        ssrc, rtx_ssrc = self._ssrcs["video", self._settings.rids[0]]
        return OfferedMedia(
            kind="video",
            mid="1",
            direction="sendonly",
            payloads=(
                Payload(
                    number=_VIDEO_PT,
                    encoding=f"{codec}/90000",
                    fmtp=_video_fmtp(codec, self._source.profile),
                    rtx=_RTX_PT,
                ),
            ),
            extensions=_EXTENSION_NUMBERS,
            ssrc=None if simulcast else ssrc,
            rtx_ssrc=None if simulcast else rtx_ssrc,
            rids=self._settings.rids if simulcast else (),
        )

    def _streams(self, answer: Answer) -> list[StreamSpec]:
        streams = []
        audio, video = answer.accepted("0"), answer.accepted("1")
        if audio is not None and _AUDIO_PT in audio.payload_types:
            ssrc, rtx_ssrc = self._ssrcs["audio", self._settings.rids[0]]
            streams.append(
                StreamSpec(
                    kind="audio",
                    codec="opus",
                    rid="",
                    ssrc=ssrc,
                    rtx_ssrc=rtx_ssrc,
                    media=audio,
                    payload_type=_AUDIO_PT,
                    clock_rate=48000,
                )
            )
        if video is None or _VIDEO_PT not in video.payload_types or self._source.codec is None:
            return streams
        agreed = video.rids if len(self._settings.rids) > 1 else ("",)
        for rid in (r for r in self._settings.rids if r in agreed):
            ssrc, rtx_ssrc = self._ssrcs["video", rid]
            streams.append(
                StreamSpec(
                    kind="video",
                    codec=self._source.codec,
                    rid=rid,
                    ssrc=ssrc,
                    rtx_ssrc=rtx_ssrc,
                    media=video,
                    payload_type=_VIDEO_PT,
                    clock_rate=90000,
                )
            )
        return streams


def _video_fmtp(codec: CodecName, profile: str) -> str:
    if codec == "H264":
        return f"level-asymmetry-allowed=1;packetization-mode=1;profile-level-id={profile}"
    return {"VP9": "profile-id=0", "AV1": "profile=0;level-idx=5;tier=0"}.get(codec, "")
