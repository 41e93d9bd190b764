"""Planes of a video frame as arrays, without copying."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame


def plane_view(frame: VideoFrame, index: int) -> npt.NDArray[np.uint8]:
    """
    One 8-bit plane as (height, width); writing to it changes the frame.
    """
    plane = frame.planes[index]
    # The plane offers the buffer protocol, which the stubs of PyAV cannot say for Python 3.11.
    samples: npt.NDArray[np.uint8] = np.frombuffer(cast(Any, plane), np.uint8)
    return samples.reshape(-1, plane.line_size)[: plane.height, : plane.width]
