"""FFmpeg's WHIP muxer, as it is in the PyAV wheel: a studio that many have."""

from __future__ import annotations

import datetime
import sys
import textwrap
from pathlib import Path

import av
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .edges import Edge, watch, watched
from .program import Program

pytestmark = pytest.mark.timeout(60)

if "whip" not in av.formats_available:
    pytest.skip("this PyAV has no WHIP muxer (FFmpeg 8 is needed)", allow_module_level=True)

STUDIO = textwrap.dedent(
    """
    import sys, time
    from fractions import Fraction
    import av
    import numpy as np

    url, seconds, *files = sys.argv[1:]
    options = dict(zip(("cert_file", "key_file"), files))
    output = av.open(url, "w", format="whip", options=options)
    video = output.add_stream("libx264", rate=30, options={
        "preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "g": "30"})
    video.width, video.height, video.pix_fmt, video.bit_rate = 320, 240, "yuv420p", 400_000
    audio = output.add_stream("libopus", rate=48000, layout="stereo")
    audio.bit_rate = 64_000
    started, samples = time.monotonic(), 0
    for number in range(int(float(seconds) * 30)):
        grey = np.full((240, 320, 3), number * 4 % 256, dtype=np.uint8)
        picture = av.VideoFrame.from_ndarray(grey, format="rgb24")
        picture.pts, picture.time_base = number, Fraction(1, 30)
        output.mux(video.encode(picture))
        while samples < (number + 1) * 1600:
            silence = np.zeros((1, 960 * 2), dtype=np.int16)
            sound = av.AudioFrame.from_ndarray(silence, format="s16", layout="stereo")
            sound.sample_rate, sound.pts, sound.time_base = 48000, samples, Fraction(1, 48000)
            output.mux(audio.encode(sound))
            samples += 960
        time.sleep(max(0.0, started + number / 30 - time.monotonic()))
    output.close()
    print("STUDIO ENDED")
    """
)
"""In a process of its own: the muxer blocks, and logs to standard error."""


def studio(url: str, seconds: float, *files: Path) -> Program:
    """FFmpeg publishing, with a certificate and key of ours or with one that it makes."""
    return Program([sys.executable, "-c", STUDIO, url, str(seconds), *map(str, files)])


def certificate(directory: Path, curve: ec.EllipticCurve) -> tuple[Path, Path]:
    """A certificate and its key as PEM files."""
    key = ec.generate_private_key(curve)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "studio")])
    now = datetime.datetime.now(datetime.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    files = directory / "studio.crt", directory / "studio.key"
    files[0].write_bytes(built.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


def test_ffmpeg_publishes_with_a_p256_certificate(edge_server: Edge, tmp_path: Path) -> None:
    files = certificate(tmp_path, ec.SECP256R1())
    with studio(edge_server.whip("ffmpeg"), 9, *files):
        edge_server.wait_live("ffmpeg")
        row = edge_server.stream("ffmpeg")
        assert row is not None
        assert [track["codec"] for track in row["tracks"]] == ["opus", "H264"]
        result = watched(watch(edge_server.whep("ffmpeg"), 3), 20)
    assert (result["width"], result["height"]) == (320, 240)
    assert result["frames_decoded"] > 60
    assert result["decode_errors"] == 0
    assert result["audio_packets"] > 90


def test_ffmpeg_as_it_comes_connects_or_is_told_why_not(edge_server: Edge) -> None:
    with studio(edge_server.whip("ffmpeg-own"), 8) as program:
        line = edge_server.program.line(
            lambda line: (
                '"ffmpeg-own"' in line
                and ('"publisher"' in line)
                and ('"TransportConnected"' in line or '"session_closed"' in line)
            ),
            20,
        )
        if '"TransportConnected"' in line:
            edge_server.wait_live("ffmpeg-own")
            result = watched(watch(edge_server.whep("ffmpeg-own"), 3), 15)
            assert result["frames_decoded"] > 60
            return
        # GnuTLS makes itself a secp224r1 certificate, which OpenSSL may refuse.
        assert "secp224r1" in line
        assert "cert_file" in line and "key_file" in line
        assert program.wait(25) != 0
