"""GStreamer's webrtcbin as a WHIP studio and as a WHEP player. Run by the system's Python, which has gi.

usage: gstreamer_peer.py publish|play URL SECONDS
Its last line is JSON.
"""

from __future__ import annotations

import json
import sys
import urllib.parse
import urllib.request
from collections import Counter
from typing import Any

import gi  # type: ignore[import-not-found]

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # type: ignore[import-not-found]

PUBLISH = (
    "webrtcbin name=peer bundle-policy=max-bundle"
    " videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=30/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=500"
    " ! video/x-h264,profile=constrained-baseline ! rtph264pay config-interval=-1 aggregate-mode=zero-latency"
    " ! application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000 ! peer."
    " audiotestsrc is-live=true wave=ticks ! opusenc ! rtpopuspay"
    " ! application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000 ! peer."
)
PLAY = "webrtcbin name=peer bundle-policy=max-bundle"
PLAYED = (
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000",
    "application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000,packetization-mode=(string)1,profile-level-id=(string)42e01f",
)


class Peer:
    """One session from offer to DELETE."""

    def __init__(self, role: str, url: str, seconds: float) -> None:
        self._url = url
        self._seconds = seconds
        self._loop = GLib.MainLoop()
        self._counts: Counter[str] = Counter()
        self._status = 0
        self._resource = ""
        self._offered = False
        self._pipeline = Gst.parse_launch(PUBLISH if role == "publish" else PLAY)
        if role == "play" and isinstance(self._pipeline, Gst.Element):
            self._pipeline = self._in_pipeline(self._pipeline)
        self._peer = self._pipeline.get_by_name("peer")
        self._peer.connect("notify::ice-gathering-state", self._gathering_changed)
        self._peer.connect("notify::connection-state", self._connection_changed)
        self._peer.connect("pad-added", self._pad_added)
        bus = self._pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self._failed)
        if role == "play":
            for caps in PLAYED:
                direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
                self._peer.emit("add-transceiver", direction, Gst.Caps.from_string(caps))
        self._peer.connect("on-negotiation-needed", self._negotiate)

    def run(self) -> int:
        """Until the seconds have passed since the connection, or something failed."""
        self._pipeline.set_state(Gst.State.PLAYING)
        GLib.timeout_add_seconds(20, self._end, 3)
        self._loop.run()
        self._pipeline.set_state(Gst.State.NULL)
        return self._status

    def _in_pipeline(self, element: Any) -> Any:
        pipeline = Gst.Pipeline.new("player")
        pipeline.add(element)
        return pipeline

    def _negotiate(self, _peer: Any) -> None:
        if not self._offered:
            self._offered = True
            promise = Gst.Promise.new_with_change_func(self._offer_made, None)
            self._peer.emit("create-offer", None, promise)

    def _offer_made(self, promise: Any, _data: Any) -> None:
        # The offer lives as long as the reply that it is in.
        reply = promise.get_reply()
        offer = reply.get_value("offer")
        self._peer.emit("set-local-description", offer, None)

    def _gathering_changed(self, peer: Any, _property: Any) -> None:
        state = peer.get_property("ice-gathering-state")
        if state == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self._post)

    def _post(self) -> bool:
        if self._resource:
            return False
        sdp = self._peer.get_property("local-description").sdp.as_text()
        request = urllib.request.Request(
            self._url, sdp.encode(), {"Content-Type": "application/sdp"}, method="POST"
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                self._resource = urllib.parse.urljoin(self._url, answer.headers["Location"])
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            print("refused", error.code, error.read().decode(), sdp, flush=True)
            self._end(4)
            return False
        _, message = GstSdp.SDPMessage.new_from_text(text)
        answer_type = GstWebRTC.WebRTCSDPType.ANSWER
        description = GstWebRTC.WebRTCSessionDescription.new(answer_type, message)
        self._peer.emit("set-remote-description", description, None)
        return False

    def _connection_changed(self, peer: Any, _property: Any) -> None:
        state = peer.get_property("connection-state")
        print("connection", state.value_nick, flush=True)
        if state == GstWebRTC.WebRTCPeerConnectionState.CONNECTED:
            GLib.timeout_add(int(self._seconds * 1000), self._end, 0)
        elif state == GstWebRTC.WebRTCPeerConnectionState.FAILED:
            GLib.idle_add(self._end, 5)

    def _pad_added(self, _peer: Any, pad: Any) -> None:
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        decoder = Gst.ElementFactory.make("decodebin")
        decoder.connect("pad-added", self._decoded_pad_added)
        self._pipeline.add(decoder)
        decoder.sync_state_with_parent()
        pad.link(decoder.get_static_pad("sink"))

    def _decoded_pad_added(self, _decoder: Any, pad: Any) -> None:
        caps = pad.get_current_caps() or pad.query_caps(None)
        kind = caps.get_structure(0).get_name().partition("/")[0]
        sink = Gst.ElementFactory.make("fakesink")
        sink.set_property("signal-handoffs", True)
        sink.set_property("sync", False)
        sink.connect("handoff", lambda *_: self._counts.update([kind]))
        self._pipeline.add(sink)
        sink.sync_state_with_parent()
        pad.link(sink.get_static_pad("sink"))

    def _failed(self, _bus: Any, message: Any) -> None:
        print("error", *message.parse_error(), flush=True)
        self._end(6)

    def _end(self, status: int) -> bool:
        self._status = status
        deleted = None
        if self._resource:
            request = urllib.request.Request(self._resource, method="DELETE")
            with urllib.request.urlopen(request, timeout=10) as answer:
                deleted = answer.status
        print(json.dumps({"delete_status": deleted, "decoded": self._counts}), flush=True)
        self._loop.quit()
        return False


if __name__ == "__main__":
    Gst.init(None)
    sys.exit(Peer(sys.argv[1], sys.argv[2], float(sys.argv[3])).run())
