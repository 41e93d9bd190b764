"""RTCP: every kind round-trips, compounds split, anything parses or is refused."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.client import rtcp, twcc

pytestmark = pytest.mark.timeout(30)

WORD = st.integers(0, 0xFFFFFFFF)
BLOCKS = st.lists(
    st.builds(
        rtcp.ReportBlock,
        ssrc=WORD,
        fraction_lost=st.integers(0, 255),
        lost=st.integers(-0x800000, 0x7FFFFF),
        highest_sequence=WORD,
        jitter=WORD,
        last_sr=WORD,
        delay_since_sr=WORD,
    ),
    max_size=5,
).map(tuple)


@given(WORD, st.integers(0, (1 << 64) - 1), WORD, WORD, WORD, BLOCKS)
def test_sender_report_round_trip(
    ssrc: int, ntp: int, time: int, packets: int, octets: int, blocks: tuple[rtcp.ReportBlock, ...]
) -> None:
    report = rtcp.SenderReport(
        ssrc=ssrc, ntp=ntp, rtp_time=time, packets=packets, octets=octets, blocks=blocks
    )
    assert rtcp.parse(bytes(report)) == [report]


@given(WORD, BLOCKS, st.text(max_size=80))
def test_compound_with_description_splits(
    ssrc: int, blocks: tuple[rtcp.ReportBlock, ...], name: str
) -> None:
    report = rtcp.ReceiverReport(ssrc=ssrc, blocks=blocks)
    description = rtcp.SourceDescription(ssrc=ssrc, cname=name)
    goodbye = rtcp.Goodbye(ssrc=ssrc)
    data = bytes(report) + bytes(description) + bytes(goodbye)
    assert len(data) % 4 == 0
    assert rtcp.parse(data) == [report, goodbye]


@given(st.sets(st.integers(0, 0xFFFF), min_size=1, max_size=60))
def test_nack_names_exactly_what_is_missing(missing: set[int]) -> None:
    nack = rtcp.Nack(sender_ssrc=1, media_ssrc=2, sequences=tuple(sorted(missing)))
    (parsed,) = rtcp.parse(bytes(nack))
    assert isinstance(parsed, rtcp.Nack)
    assert set(parsed.sequences) == missing


def test_nack_uses_one_entry_for_17_neighbours_across_the_wrap() -> None:
    sequences = tuple(n & 0xFFFF for n in range(0xFFF8, 0xFFF8 + 17))
    nack = rtcp.Nack(sender_ssrc=1, media_ssrc=2, sequences=sequences)
    assert bytes(nack)[12:] == struct.pack("!HH", 0xFFF8, 0xFFFF)
    assert rtcp.parse(bytes(nack)) == [nack]


@pytest.mark.parametrize("command", [None, 7])
def test_key_frame_requests_round_trip(command: int | None) -> None:
    request = rtcp.PictureLoss(sender_ssrc=1, media_ssrc=2, fir_command=command)
    assert rtcp.parse(bytes(request)) == [request]


def test_remb_of_libwebrtc_is_read() -> None:
    # Exponent 4, mantissa 187500: 3 Mbit/s for one source.
    body = struct.pack("!II", 1, 0) + b"REMB" + struct.pack("!II", 1 << 24 | 4 << 18 | 187500, 9)
    data = struct.pack("!BBH", 0x80 | 15, 206, len(body) // 4) + body
    assert rtcp.parse(data) == [rtcp.BandwidthEstimate(bitrate_bps=3_000_000, ssrcs=(9,))]


@given(st.binary(max_size=300))
def test_anything_parses_or_is_refused(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        rtcp.parse(data)


@given(st.integers(0, 31), st.sampled_from([200, 201, 203, 205, 206]), st.binary(max_size=64))
def test_any_body_parses_or_is_refused(count: int, kind: int, body: bytes) -> None:
    body += bytes(-len(body) % 4)
    with contextlib.suppress(ValueError):
        rtcp.parse(struct.pack("!BBH", 0x80 | count, kind, len(body) // 4) + body)


@given(
    st.integers(0, 1 << 20),
    st.lists(st.tuples(st.integers(1, 5), st.floats(0, 0.5)), min_size=1, max_size=40),
)
def test_feedback_keeps_arrivals(first: int, steps: list[tuple[int, float]]) -> None:
    arrivals, number, now = {}, first, 1000.0
    for distance, pause in steps:
        arrivals[number] = now
        number, now = number + distance, now + pause
    feedback = twcc.build(arrivals, 3)
    assert feedback is not None
    message = rtcp.TransportFeedback(sender_ssrc=1, media_ssrc=2, feedback=feedback)
    (parsed,) = rtcp.parse(bytes(message))
    assert parsed == message
    assert isinstance(parsed, rtcp.TransportFeedback)
    read = parsed.feedback.arrivals()
    assert set(read) == {n & 0xFFFF for n in arrivals}
    start = arrivals[first]
    for n, at in arrivals.items():
        assert read[n & 0xFFFF] - read[first & 0xFFFF] == pytest.approx(at - start, abs=0.0006)


def test_feedback_reports_loss_between_two_reports() -> None:
    feedback = twcc.build({10: 5.0}, 0, expected_from=7)
    assert feedback is not None
    assert (feedback.base, feedback.deltas[:3]) == (7, (None, None, None))
    assert list(feedback.arrivals()) == [10]


def test_run_length_and_one_bit_chunks_are_read() -> None:
    # Four received by a run, then a one-bit vector that says yes, no, yes.
    body = struct.pack("!HHI", 100, 7, 0) + struct.pack("!HH", 0x2004, 0x8000 | 0b101 << 11)
    feedback = twcc.parse(body + bytes((1, 1, 1, 1, 4, 4)))
    assert feedback.deltas == (1, 1, 1, 1, 4, None, 4)


def test_no_arrivals_make_no_feedback() -> None:
    assert twcc.build({}, 0) is None
