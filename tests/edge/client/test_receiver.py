"""One received stream: order, gaps, repair, frames. Time is given, never read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.client import rtp
from edge.client.depacketize import depacketizer
from edge.client.packetize import packetizer
from edge.client.receiver import GIVE_UP_S, NACK_DELAY_S, ReceiveCounters, StreamReceiver

pytestmark = pytest.mark.timeout(30)

FIRST = 0xFFF0
"""Every test crosses the wrap of sequence numbers."""


def _receiver(*, nack: bool = True) -> StreamReceiver:
    return StreamReceiver(7, 90000, depacketizer("VP8"), ReceiveCounters(), nack=nack)


def _packets(frames: int, *, key_every: int = 1000, size: int = 3000) -> list[rtp.RtpPacket]:
    packets: list[rtp.RtpPacket] = []
    for index in range(frames):
        key = index % key_every == 0
        unit = bytes((0 if key else 1,)) + bytes(size)
        payloads = packetizer("VP8")(unit, key, index)
        for at, payload in enumerate(payloads):
            packets.append(
                rtp.RtpPacket(
                    payload_type=96,
                    sequence=(FIRST + len(packets)) & 0xFFFF,
                    timestamp=index * 3000,
                    ssrc=7,
                    payload=payload,
                    marker=at == len(payloads) - 1,
                )
            )
    return packets


def test_frames_in_order_come_out_at_once() -> None:
    receiver = _receiver()
    counts = []
    for index, packet in enumerate(_packets(10)):
        receiver.receive(packet, index * 0.01)
        counts.append(len(receiver.frames(index * 0.01)))
    assert counts == [0, 0, 1] * 10
    assert (receiver.counters.frames, receiver.counters.key_frames) == (10, 1)
    assert not receiver.needs_key


@given(st.randoms(use_true_random=False), st.integers(2, 20))
def test_any_order_within_patience_gives_every_frame(random: object, count: int) -> None:
    packets = _packets(count)
    rest = packets[1:]
    random.shuffle(rest)  # type: ignore[attr-defined]
    receiver = _receiver()
    frames = []
    for packet in (packets[0], *rest):
        receiver.receive(packet, 1.0)
        frames += receiver.frames(1.0)
    assert [frame.timestamp for frame in frames] == [index * 3000 for index in range(count)]
    assert receiver.counters.lost == receiver.counters.missed == 0


def test_gap_is_asked_for_and_filled_by_retransmission() -> None:
    receiver = _receiver()
    packets = _packets(4)
    for packet in packets[:4] + packets[5:]:
        receiver.receive(packet, 0.0)
    assert len(receiver.frames(0.0)) == 1
    assert receiver.sequences_to_request(NACK_DELAY_S / 2, 0.02) == ()
    assert receiver.sequences_to_request(0.01, 0.02) == ((FIRST + 4) & 0xFFFF,)
    assert receiver.sequences_to_request(0.03, 0.02) == ()
    assert receiver.sequences_to_request(0.08, 0.02) == ((FIRST + 4) & 0xFFFF,)
    receiver.receive(packets[4], 0.09, repaired=True)
    assert len(receiver.frames(0.09)) == 3
    counters = receiver.counters
    assert (counters.missed, counters.lost, counters.nacks, counters.expected) == (1, 0, 2, 12)


def test_gap_given_up_drops_frames_until_the_next_key_frame() -> None:
    receiver = _receiver()
    packets = _packets(9, key_every=5)
    for packet in packets[:4] + packets[5:]:
        receiver.receive(packet, 0.0)
    assert len(receiver.frames(0.0)) == 1
    late = receiver.frames(GIVE_UP_S + 0.01)
    assert [frame.timestamp // 3000 for frame in late] == [5, 6, 7, 8]
    assert receiver.counters.lost == 1
    assert receiver.counters.frames_dropped == 4  # frame 1 in two halves, 2, 3 and 4 whole


def test_without_nack_loss_is_counted_but_not_asked_for() -> None:
    receiver = _receiver(nack=False)
    packets = _packets(2)
    for packet in packets[:1] + packets[2:]:
        receiver.receive(packet, 0.0)
    assert receiver.sequences_to_request(0.1, None) == ()
    assert receiver.counters.missed == 1


def test_joining_in_the_middle_waits_for_a_key_frame_and_drops_nothing() -> None:
    receiver = _receiver()
    frames = []
    for packet in _packets(7, key_every=5)[4:]:
        receiver.receive(packet, 0.0)
        frames += receiver.frames(0.0)
    assert [frame.timestamp // 3000 for frame in frames] == [5, 6]
    assert receiver.counters.frames_dropped == 0


def test_duplicates_and_padding_make_no_frames() -> None:
    receiver = _receiver()
    packets = _packets(1)
    padding = rtp.RtpPacket(
        payload_type=96, sequence=(FIRST + 3) & 0xFFFF, timestamp=0, ssrc=7, payload=b""
    )
    for packet in (*packets, packets[1], padding):
        receiver.receive(packet, 0.0)
    assert len(receiver.frames(0.0)) == 1
    assert receiver.counters.duplicates == 1


def test_sender_that_starts_over_is_followed() -> None:
    receiver = _receiver()
    for packet in _packets(2):
        receiver.receive(packet, 0.0)
    receiver.frames(0.0)
    for packet in _packets(2):
        moved = rtp.RtpPacket(
            payload_type=96,
            sequence=(packet.sequence + 20000) & 0xFFFF,
            timestamp=packet.timestamp,
            ssrc=7,
            payload=packet.payload,
            marker=packet.marker,
        )
        receiver.receive(moved, 1.0)
    assert len(receiver.frames(1.0)) == 2
    assert receiver.counters.lost == 0


def test_report_block_says_what_is_missing() -> None:
    receiver = _receiver()
    assert receiver.report(0.0) is None
    packets = _packets(4)
    for packet in packets[:3] + packets[6:]:
        receiver.receive(packet, 0.0)
    receiver.note_sender_report(0x1234_5678_9ABC_DEF0, 1.0)
    block = receiver.report(1.5)
    assert block is not None
    assert (block.lost, block.fraction_lost) == (3, 3 * 256 // 12)
    assert (block.last_sr, block.delay_since_sr) == (0x56789ABC, 32768)
    assert block.highest_sequence == FIRST + 11


def test_even_packets_have_no_jitter_and_late_ones_have() -> None:
    receiver = _receiver()
    for index, packet in enumerate(_packets(50, size=100)):
        receiver.receive(packet, index / 30)
    assert receiver.jitter_ms == pytest.approx(0, abs=0.01)
    for index, packet in enumerate(_packets(100, size=100)[50:], start=50):
        receiver.receive(packet, index / 30 + (index % 2) * 0.01)
    assert 5 < receiver.jitter_ms < 12
