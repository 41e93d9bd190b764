"""libdatachannel, the stack inside OBS: publishes as OBS does, and plays."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from edge.client import rtp
from edge.client.depacketize import depacketizer

from .conftest import BadNetwork
from .edges import Edge, report, watch, watched
from .link import Conditions
from .nodejs import result, script
from .program import until

pytestmark = pytest.mark.timeout(90)

WIDTH, HEIGHT = 640, 360


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seconds of H.264 High with a key frame a second: OBS says 42e01f and sends this."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.framerate, encoder.time_base = Fraction(30), Fraction(1, 30)
    encoder.thread_count = 1
    encoder.gop_size, encoder.max_b_frames, encoder.bit_rate = 30, 0, 1_500_000
    encoder.options = {
        "preset": "veryfast",
        "tune": "zerolatency",
        "profile": "high",
        "x264-params": "repeat-headers=1:annexb=1:sliced-threads=0:8x8dct=1",
    }
    noise = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH * 2, 3), dtype=np.uint8)
    units: list[bytes] = []
    for number in range(90):
        window = np.ascontiguousarray(noise[:, number * 4 : number * 4 + WIDTH])
        picture = av.VideoFrame.from_ndarray(window, format="rgb24")
        picture.pts = number
        units += [bytes(packet) for packet in encoder.encode(picture)]
    assert len(units) == 90
    path = tmp_path_factory.mktemp("recording") / "frames"
    path.write_bytes(b"".join(struct.pack("!I", len(unit)) + unit for unit in units))
    return path


def test_it_publishes_as_obs_does(edge_server: Edge, recording: Path) -> None:
    with script("publish.mjs", edge_server.whip("obs"), str(recording), "7") as program:
        edge_server.wait_live("obs")

        def profile() -> bool:
            row = edge_server.stream("obs")
            return row is not None and row["tracks"][1]["fmtp"].startswith("64")

        until("the profile is that of the real SPS (High), not the offered one", profile, 5)
        played = watched(watch(edge_server.whep("obs"), 3, "--expect", "join_ms<=1000"), 20)
        facts = result(program, 20)
    assert played["failures"] == []
    assert (played["width"], played["height"]) == (WIDTH, HEIGHT)
    assert played["decode_errors"] == played["packets_lost"] == 0
    assert played["frames_decoded"] > 50
    assert played["audio_packets"] > 100
    assert "a=rtpmap:111 opus/48000/2" in facts["answer"]
    assert "a=rtpmap:96 H264/90000" in facts["answer"]
    assert "rtx" not in facts["answer"]
    assert facts["connectMs"] < 1000
    # RFC 9725 lets a Location be relative; OBS warns at any answer to DELETE but 200.
    assert facts["resource"].startswith(edge_server.whip("obs") + "/")
    assert facts["deleteStatus"] == 200
    assert edge_server.sessions("obs") == []
    report("libdatachannel publishes", {"connect_ms": facts["connectMs"]})


def test_its_loss_is_repaired_without_rtx(
    edge_server: Edge, bad_network: BadNetwork, recording: Path
) -> None:
    spoilt = Conditions(loss=0.05, delay_s=0.02)
    bad_network.relay.set(up=spoilt, down=spoilt)
    with script("publish.mjs", f"{bad_network.url}/whip/far-obs", str(recording), "20"):
        edge_server.wait_live("far-obs")
        played = watched(watch(edge_server.whep("far-obs"), 5), 20)
    assert bad_network.relay.passed(up=True).lost > 30
    assert played["packets_lost"] == played["frames_dropped"] == played["decode_errors"] == 0
    assert played["frames_decoded"] > 120


def test_it_plays(edge_server: Edge, tmp_path: Path) -> None:
    packets_file = tmp_path / "packets"
    with edge_server.push("to-obs", "--size", "640x360"):
        edge_server.wait_live("to-obs")
        with script("play.mjs", edge_server.whep("to-obs"), str(packets_file), "3") as program:
            facts = result(program, 25)
    packets = [packet for packet in read_packets(packets_file) if packet.payload]
    pictures = decoded(packets)
    report(
        "libdatachannel plays",
        {"connect_ms": facts["connectMs"], "pictures": pictures, "packets": len(packets)},
    )
    assert facts["deleteStatus"] == 200
    assert facts["audioPackets"] > 100
    assert pictures > 60
    assert edge_server.sessions("to-obs") == []


def read_packets(path: Path) -> list[rtp.RtpPacket]:
    """The RTP packets that the script wrote down."""
    data, packets = path.read_bytes(), []
    at = 0
    while at < len(data):
        (size,) = struct.unpack_from("!H", data, at)
        packets.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return [rtp.parse(packet) for packet in packets if not 64 <= packet[1] & 0x7F <= 95]


def decoded(packets: list[rtp.RtpPacket]) -> int:
    """How many pictures a decoder makes of the packets; none may fail."""
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    join, pictures, payloads = depacketizer("H264"), 0, []
    for packet in packets:
        payloads.append(packet.payload)
        if packet.marker:
            pictures += len(decoder.decode(av.Packet(join(payloads).data)))
            payloads = []
    return pictures + len(decoder.decode(None))
