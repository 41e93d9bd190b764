"""``edge watch`` against an independent stack, and how it reports."""

from __future__ import annotations

import argparse
import json

import pytest

from edge.client import watch
from edge.client.measurements import Measurements
from edge.client.probe import Probe, ProbeOptions
from edge.client.report import WatchResult, known_names, percentile, table

from .counterpart import Counterpart

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("decode", [True, False])
async def test_playing_is_measured(decode: bool) -> None:
    counterpart = Counterpart()
    async with counterpart.serving() as base:
        options = ProbeOptions(
            url=f"{base}/whep", duration_s=4.0, decode=decode, clock=True, data_channel=True
        )
        result = await Probe(options).run()
        await counterpart.deleted.wait()
    assert result.ended == "duration"
    assert result.frames > 20
    assert result.join_ms is not None
    assert result.first_packet_ms is not None
    assert result.first_packet_ms < result.join_ms < 4000
    assert result.packets_lost == result.decode_errors == 0
    assert result.data_channel_rtt_ms is not None
    assert result.rtt_ms is not None
    if decode:
        assert (result.width, result.height) == (320, 240)
        assert result.frames_decoded >= result.frames - 1
        assert result.clock_reads > 10
        assert result.delay_ms is not None
        assert 0 <= result.delay_ms < 3000
    assert "join" in table(result)


def _arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    watch.add_arguments(parser)
    return parser.parse_args(words)


def _result(**values: object) -> WatchResult:
    return WatchResult(
        url="http://x/whep/y",
        ended="duration",
        watched_s=1.0,
        srtp_profile="",
        **values,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("values", "expect", "status", "failures"),
    [
        ({"frames": 9, "fps": 30.0}, "fps>=25", 0, []),
        ({"frames": 9, "fps": 20.0}, "fps>=25", 1, ["fps>=25: measured 20"]),
        ({"frames": 9}, "", 0, []),
        ({}, "", 1, ["no complete picture came"]),
    ],
)
def test_exit_status_says_whether_limits_were_met(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    values: dict[str, object],
    expect: str,
    status: int,
    failures: list[str],
) -> None:
    async def probe(_options: ProbeOptions) -> WatchResult:
        return _result(**values)

    monkeypatch.setattr(watch, "_probe", probe)
    assert watch.run(_arguments("http://x/whep/y", "--json", "--expect", expect)) == status
    assert json.loads(capsys.readouterr().out)["failures"] == failures
    assert watch.run(_arguments("http://x/whep/y", "--expect", expect)) == status
    printed = capsys.readouterr().out
    assert all(f"NOT MET      {failure}" in printed for failure in failures)


def test_lost_session_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def probe(_options: ProbeOptions) -> WatchResult:
        return WatchResult(
            url="u", ended="the edge closed the session", watched_s=1.0, srtp_profile="", frames=9
        )

    monkeypatch.setattr(watch, "_probe", probe)
    assert watch.run(_arguments("http://x/whep/y")) == 1


def test_errors_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert watch.run(_arguments("nonsense")) == 1
    assert "not a WHIP or WHEP address" in capsys.readouterr().err
    assert watch.run(_arguments("http://x", "--expect", "fsp>1")) == 1
    assert "'fsp>1'" in capsys.readouterr().err


def test_limits_are_on_numbers_only() -> None:
    assert {"fps", "join_ms", "freezes", "data_channel_rtt_ms"} <= set(known_names())
    assert not {"url", "codec", "ended", "srtp_profile"} & set(known_names())


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([3.0], 0.95, 3.0), ([4.0, 1.0, 3.0, 2.0], 0.5, 3.0)],
)
def test_percentile(values: list[float], share: float, expected: float | None) -> None:
    assert percentile(values, share) == expected


def test_a_round_trip_is_noted_once() -> None:
    measurements = Measurements(decoding=True)
    for rtt_s in (None, 0.01, 0.01, 0.02):
        measurements.note_rtt(rtt_s)
    assert measurements._rtts_ms == [10.0, 20.0]
