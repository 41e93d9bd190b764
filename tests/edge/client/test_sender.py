"""What goes out: stamps, retransmission with and without RTX, key frame requests."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any, cast

import pytest

from edge.client import rtcp, rtp, twcc
from edge.client.estimate import Estimate
from edge.client.outgoing import RING_PACKETS, OutgoingStream, StreamSpec
from edge.client.sender import MediaSender
from edge.client.sources import AccessUnit, KeyFrameRequests, VideoSettings
from edge.client.transport import Transport

from .pair import VIDEO

pytestmark = pytest.mark.timeout(30)

SPEC = StreamSpec(
    kind="video",
    codec="VP8",
    rid="",
    ssrc=11,
    rtx_ssrc=12,
    media=VIDEO,
    payload_type=96,
    clock_rate=90000,
)


class Wire:
    """
    A transport that keeps what is sent.
    """

    def __init__(self) -> None:
        self.packets: list[bytes] = []
        self.reports: list[bytes] = []
        self.send_rtp = self.packets.append
        self.send_rtcp = self.reports.append


def _sender(spec: StreamSpec = SPEC) -> tuple[MediaSender, Wire, list[str]]:
    wire, asked = Wire(), cast(list[str], [])
    return MediaSender(cast(Transport, cast(Any, wire)), [spec], asked.append), wire, asked


def _unit(index: int = 0, size: int = 3000) -> AccessUnit:
    return AccessUnit(
        kind="video", data=bytes(size), media_time_s=index / 30, wall_s=1000.0 + index / 30
    )


def test_one_picture_is_one_burst_with_one_marker() -> None:
    sender, wire, _ = _sender()
    sender.send(_unit(0))
    sender.send(_unit(1))
    packets = [rtp.parse(data) for data in wire.packets]
    assert [packet.marker for packet in packets] == [False, False, True] * 2
    assert (packets[3].timestamp - packets[0].timestamp) & 0xFFFFFFFF == 3000
    assert {packet.extensions[1] for packet in packets} == {b"1"}
    numbers = [struct.unpack("!H", packet.extensions[4])[0] for packet in packets]
    assert numbers == list(range(6))
    assert packets[0].extensions[6] == struct.pack("!Q", rtp.ntp_time(1000.0))
    assert 6 not in packets[1].extensions


def test_nack_is_answered_by_rtx_with_the_original_number() -> None:
    sender, wire, _ = _sender()
    sender.send(_unit())
    lost = rtp.parse(wire.packets[1])
    nack = rtcp.Nack(sender_ssrc=1, media_ssrc=11, sequences=(lost.sequence, 1))
    sender.handle_rtcp(bytes(nack), 0.0)
    (repeat,) = [rtp.parse(data) for data in wire.packets[3:]]
    assert (repeat.payload_type, repeat.ssrc, repeat.timestamp) == (97, 12, lost.timestamp)
    assert repeat.payload == struct.pack("!H", lost.sequence) + lost.payload
    assert (sender.counters.nacked, sender.counters.retransmitted) == (2, 1)


def test_without_rtx_the_very_same_bytes_are_repeated() -> None:
    sender, wire, _ = _sender(replace(SPEC, media=replace(VIDEO, fmtp={})))
    sender.send(_unit())
    lost = rtp.parse(wire.packets[1])
    nack = rtcp.Nack(sender_ssrc=1, media_ssrc=11, sequences=(lost.sequence,))
    sender.handle_rtcp(bytes(nack), 0.0)
    assert wire.packets[3] == wire.packets[1]


def test_packets_are_kept_for_a_ring_only() -> None:
    stream = OutgoingStream(SPEC)
    packets = []
    for index in range(RING_PACKETS + 10):
        (packet,) = stream.packets(_unit(index, size=10))
        stream.keep(packet, b"")
        packets.append(packet)
    assert stream.kept(packets[9].sequence) is None
    assert stream.kept(packets[10].sequence) is not None


def test_simulcast_packets_name_their_encoding() -> None:
    media = replace(VIDEO, extensions={"mid": 1, "rid": 2, "repaired_rid": 3})
    sender, wire, _ = _sender(replace(SPEC, rid="h", media=media))
    sender.send(replace(_unit(), rid="h"))
    sender.send(replace(_unit(), rid="unknown"))
    first = rtp.parse(wire.packets[0])
    assert len(wire.packets) == 3
    assert first.extensions == {1: b"1", 2: b"h"}
    nack = rtcp.Nack(sender_ssrc=1, media_ssrc=11, sequences=(first.sequence,))
    sender.handle_rtcp(bytes(nack), 0.0)
    assert rtp.parse(wire.packets[-1]).extensions == {1: b"1", 3: b"h"}


@pytest.mark.parametrize(
    ("commands", "requests"), [([None, None], 2), ([1, 1, 2], 2), ([None, 5, 5], 2)]
)
def test_a_repeated_fir_is_one_request(commands: list[int | None], requests: int) -> None:
    sender, _, asked = _sender()
    for command in commands:
        request = rtcp.PictureLoss(sender_ssrc=1, media_ssrc=11, fir_command=command)
        sender.handle_rtcp(bytes(request), 0.0)
    sender.handle_rtcp(bytes(rtcp.PictureLoss(sender_ssrc=1, media_ssrc=99)), 0.0)
    assert len(asked) == requests


def test_sender_report_ties_rtp_time_to_wall_time() -> None:
    sender, wire, _ = _sender()
    sender.report()
    assert wire.reports == []
    sender.send(_unit())
    stream = sender._streams[0]
    report = stream.report(1002.0)
    assert report is not None
    sent = rtp.parse(wire.packets[0]).timestamp
    assert (report.rtp_time - sent) & 0xFFFFFFFF == 180000
    assert (report.packets, report.ntp) == (3, rtp.ntp_time(1002.0))


def test_nonsense_feedback_is_ignored() -> None:
    sender, _, _ = _sender()
    sender.handle_rtcp(b"\x81", 0.0)
    sender.goodbye()


def test_estimate_counts_what_was_acknowledged() -> None:
    estimate = Estimate()
    assert str(estimate) == "none"
    arrivals = {}
    for number in range(100):
        estimate.sent(number, 1250)
        if number % 10:
            arrivals[number] = 50 + number / 100
    feedback = twcc.build(arrivals, 0)
    assert feedback is not None
    estimate.feedback(rtcp.TransportFeedback(sender_ssrc=1, media_ssrc=2, feedback=feedback))
    estimate.remb_bps = 2_000_000
    assert str(estimate).startswith("remb 2000 kbit/s, acked 9")
    assert str(estimate).endswith("9.1 % missing")


def test_key_frame_requests_are_throttled_and_not_forgotten() -> None:
    requests = KeyFrameRequests(min_interval_s=0.5)
    assert not requests.take("h", 0.0)
    requests.ask("h")
    assert [requests.take("h", at) for at in (1.0, 1.1)] == [True, False]
    requests.ask("h")
    assert [requests.take("h", at) for at in (1.2, 1.4, 1.5, 1.6)] == [False, False, True, False]
    assert not requests.take("l", 9.0)


def test_layers_are_halves_and_quarters() -> None:
    settings = VideoSettings(codec="H264", size=None, fps=30, bitrate_bps=2_000_000, gop_s=1)
    sizes = [settings.layer(rank, (1280, 720)) for rank in range(3)]
    assert [size for size, _ in sizes] == [(1280, 720), (640, 360), (320, 180)]
    assert [rate for _, rate in sizes] == [2_000_000, 600_000, 180_000]
