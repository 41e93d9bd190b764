"""ICE, DTLS and SRTP between two transports over loopback, and a session with loss."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import pytest

from edge.client import rtcp
from edge.client.description import RemoteCandidate
from edge.client.failure import ClientError
from edge.client.outgoing import StreamSpec
from edge.client.receiver import Frame
from edge.client.rtp import RtpPacket
from edge.client.sender import MediaSender
from edge.client.sources import AccessUnit
from edge.client.transport import Transport
from edge.client.viewer import Viewer
from edge.model import CodecName

from .pair import VIDEO, connected, description_of

pytestmark = pytest.mark.timeout(30)


def _ignore(_data: bytes, _arrival: float) -> None:
    pass


async def test_packets_cross_under_the_cheapest_profile() -> None:
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    def note(data: bytes, _arrival: float) -> None:
        arrived.put_nowait(data)

    one, other = Transport(_ignore, _ignore), Transport(note, note)
    packet = bytes(RtpPacket(payload_type=96, sequence=1, timestamp=2, ssrc=3, payload=b"media"))
    report = bytes(rtcp.ReceiverReport(ssrc=3))
    async with connected(one, other):
        assert one.srtp_profile == other.srtp_profile == "SRTP_AEAD_AES_128_GCM"
        one.send_rtp(packet)
        one.send_rtcp(report)
        assert [await arrived.get(), await arrived.get()] == [packet, report]
        assert one.ice.rtt_s is not None
        assert 0 < one.ice.rtt_s < 5


async def test_forged_media_is_counted_and_dropped() -> None:
    other_got: list[bytes] = []
    one = Transport(_ignore, _ignore)
    other = Transport(lambda data, _at: other_got.append(data), _ignore)
    async with connected(one, other):
        one.ice.send(b"\x80\x60" + bytes(60))
        one.ice.send(b"\x80")
        done = asyncio.Event()
        other._on_rtcp = lambda _data, _at: done.set()
        one.send_rtcp(bytes(rtcp.ReceiverReport(ssrc=3)))
        await done.wait()
        assert (other.unprotect_failures, other_got) == (2, [])


async def test_the_other_side_closing_is_noticed() -> None:
    one, other = Transport(_ignore, _ignore), Transport(_ignore, _ignore)
    async with connected(one, other):
        await other._dtls.stop()
        assert await one.lost == "the edge closed the session"


async def test_wrong_certificate_is_refused() -> None:
    one, other = Transport(_ignore, _ignore), Transport(_ignore, _ignore)
    stranger = Transport(_ignore, _ignore)
    wrong = description_of(stranger, server=False)
    right = description_of(other, server=False)
    mixed = type(right)(
        ice=right.ice,
        fingerprints=wrong.fingerprints,
        dtls_role="client",
        candidates=right.candidates,
        media=right.media,
    )
    accepting = asyncio.create_task(other.connect(description_of(one, server=True)))
    with pytest.raises(ClientError, match="DTLS handshake failed"):
        await one.connect(mixed)
    for transport in (one, other, stranger):
        await transport.close()
    accepting.cancel()
    with contextlib.suppress(asyncio.CancelledError, ClientError):
        await accepting


async def test_silent_edge_is_named_with_its_address() -> None:
    one, other = Transport(_ignore, _ignore), Transport(_ignore, _ignore)
    silent = RemoteCandidate(address="192.0.2.9", port=9, transport="udp", priority=1)
    with pytest.raises(ClientError, match=r"192\.0\.2\.9:9"):
        await one.ice.connect(other.ice.local, [silent], 0.2)
    with pytest.raises(ClientError, match="no UDP candidate"):
        await one.ice.connect(other.ice.local, [], 0.2)
    await one.close()
    await other.close()


async def test_data_channel_opens_and_answers() -> None:
    one, other = Transport(_ignore, _ignore), Transport(_ignore, _ignore)
    async with connected(one, other):
        answered = asyncio.Event()
        channels = await asyncio.gather(
            one.open_data_channel("ping", 5000), other.open_data_channel("other", 5000)
        )
        other_sctp = other._sctp
        assert other_sctp is not None

        def echo(channel: object) -> None:
            channel.on("message", channel.send)  # type: ignore[attr-defined]

        other_sctp.on("datachannel", echo)
        channels[0].on("open", lambda: channels[0].send("hello"))
        channels[0].on("message", lambda text: answered.set() if text == "hello" else None)
        await answered.wait()


class Session:
    """
    A sender and a viewer whose media path loses what ``loses`` says.
    """

    def __init__(self, loses: Callable[[int], bool], frames: int) -> None:
        self.frames: list[Frame] = []
        self.key_requests: list[str] = []
        self._wanted = frames
        self._sent = 0
        self._loses = loses
        self.studio = Transport(_ignore, lambda data, at: self.sender.handle_rtcp(data, at))
        self.player = Transport(
            lambda data, at: self.viewer.handle_rtp(data, at),
            lambda data, at: self.viewer.handle_rtcp(data, at),
        )
        self.viewer = Viewer(
            self.player, description_of(self.studio, server=False), self._handle_frame
        )
        spec = StreamSpec(
            kind="video",
            codec="VP8",
            rid="",
            ssrc=11,
            rtx_ssrc=12,
            media=VIDEO,
            payload_type=96,
            clock_rate=90000,
        )
        self.sender = MediaSender(self.studio, [spec], self.key_requests.append)
        self._send_rtp = self.studio.send_rtp
        self.studio.send_rtp = self._lossy_send  # type: ignore[method-assign]

    async def play(self, until: Callable[[Session], bool] = lambda _session: True) -> None:
        """
        Send all frames, then tick until they have come and ``until`` holds.
        """
        async with connected(self.studio, self.player):
            for index in range(self._wanted):
                key = index == 0
                unit = bytes((0 if key else 1,)) + bytes(4000)
                self.sender.send(
                    AccessUnit(
                        kind="video",
                        data=unit,
                        media_time_s=index / 30,
                        wall_s=time.time(),
                        key=key,
                    )
                )
            self.sender.report()
            while not (len(self.frames) == self._wanted and until(self)):
                self.viewer.tick(time.monotonic())
                await asyncio.sleep(0.005)

    def _lossy_send(self, packet: bytes) -> None:
        self._sent += 1
        if not self._loses(self._sent):
            self._send_rtp(packet)

    def _handle_frame(self, frame: Frame, codec: CodecName) -> None:
        assert codec == "VP8"
        self.frames.append(frame)


async def test_every_loss_is_repaired_by_retransmission() -> None:
    session = Session(lambda number: number % 7 == 3, frames=60)
    await session.play()
    counters = session.viewer.counters["video"]
    assert len(session.frames) == 60
    assert counters.missed > 20
    assert (counters.lost, counters.frames_dropped) == (0, 0)
    assert counters.retransmissions >= counters.missed
    assert session.sender.counters.retransmitted >= counters.missed
    assert session.frames[0].capture_ntp is not None


async def test_feedback_measures_what_arrived() -> None:
    session = Session(lambda number: number == 9, frames=30)
    await session.play(until=lambda s: "acked" in str(s.sender.estimate))
    assert session.sender.counters.nacked == 1
