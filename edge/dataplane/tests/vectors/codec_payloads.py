"""Writes the codec_*.txt vectors beside it: real encoders through FFmpeg's RTP muxer to a socket.

Run with PyAV installed: ``python codec_payloads.py``. A line is: RTP timestamp, marker bit, payload.
"""

from __future__ import annotations

import pathlib
import socket
import struct

import av
import numpy as np

HERE = pathlib.Path(__file__).parent
WIDTH, HEIGHT, FRAMES = 96, 66, 12

ENCODERS: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "h264_x264_baseline": (
        "libx264",
        {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "profile": "baseline",
            "level": "3.1",
            "g": "6",
        },
        {},
    ),
    "h264_x264_b_frames": (
        "libx264",
        {
            "preset": "medium",
            "profile": "high",
            "x264-params": "aud=1:b-adapt=0:bframes=2:b-pyramid=none:keyint=12:scenecut=0",
        },
        {},
    ),
    "h264_x264_intra_refresh": (
        "libx264",
        {
            "preset": "veryfast",
            "tune": "zerolatency",
            "x264-params": "intra-refresh=1:keyint=6:slices=2:scenecut=0",
        },
        {},
    ),
    "h265_x265_zerolatency": (
        "libx265",
        {
            "preset": "ultrafast",
            "tune": "zerolatency",
            "x265-params": "keyint=6:log-level=none:repeat-headers=1",
        },
        {},
    ),
    "h265_x265_b_frames": (
        "libx265",
        {
            "preset": "medium",
            "x265-params": "keyint=12:scenecut=0:bframes=2:b-adapt=0:log-level=none:repeat-headers=1:temporal-layers=3",
        },
        {},
    ),
    "vp8_libvpx": ("libvpx", {"deadline": "realtime", "g": "6", "b": "200k"}, {}),
    "vp8_libvpx_layers": (
        "libvpx",
        {
            "deadline": "realtime",
            "g": "12",
            "b": "200k",
            "ts-parameters": "ts_number_layers=2:ts_target_bitrate=100,200:ts_rate_decimator=2,1:ts_periodicity=2:ts_layer_id=0,1:ts_layering_mode=2",
        },
        {},
    ),
    "vp9_libvpx": (
        "libvpx-vp9",
        {"deadline": "realtime", "cpu-used": "8", "g": "6", "lag-in-frames": "0", "b": "200k"},
        {"strict": "experimental"},
    ),
    "av1_svt": (
        "libsvtav1",
        {"preset": "12", "g": "6", "svtav1-params": "pred-struct=1:tile-rows=1"},
        {"strict": "experimental"},
    ),
}


def picture(index: int) -> av.VideoFrame:
    """A moving gradient with noise, the same in every run."""
    noise = np.random.default_rng(index).integers(0, 10, (HEIGHT, WIDTH, 3))
    ramp = np.arange(WIDTH)[None, :, None] // 2 + index * 8
    image = ((ramp + noise) % 256).astype(np.uint8)
    frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
    frame.pts = index
    return frame


def packets(
    encoder: str, options: dict[str, str], muxer: dict[str, str]
) -> list[tuple[int, int, bytes]]:
    """The RTP packets of a short clip: (timestamp, marker, payload)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        port = receiver.getsockname()[1]
        url = f"rtp://127.0.0.1:{port}?pkt_size=220"
        with av.open(url, "w", format="rtp", options=muxer) as output:
            stream = output.add_stream(encoder, rate=30, options=options)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for index in range(FRAMES):
                output.mux(stream.encode(picture(index)))
            output.mux(stream.encode(None))
        receiver.setblocking(False)
        found: list[tuple[int, int, bytes]] = []
        while True:
            try:
                datagram = receiver.recv(2048)
            except BlockingIOError:
                return found
            timestamp = struct.unpack("!I", datagram[4:8])[0]
            found.append((timestamp, datagram[1] >> 7, datagram[12:]))


def main() -> None:
    """Write one file per encoder."""
    for name, (encoder, options, muxer) in ENCODERS.items():
        lines = packets(encoder, options, muxer)
        first = lines[0][0]
        text = "".join(
            f"{(time - first) % 2**32} {marker} {payload.hex()}\n"
            for time, marker, payload in lines
        )
        (HERE / f"codec_{name}.txt").write_text(text)
        print(name, len(lines), "packets", len(text), "characters")


if __name__ == "__main__":
    main()
