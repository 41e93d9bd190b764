// Publishes as OBS does: audio mid 0 with PT 111, video mid 1 with PT 96, no RTX, no TWCC, each NAL
// unit in packets of its own, NACKs answered on the same SSRC, PLI ignored.
// usage: node publish.mjs URL FRAMES_FILE SECONDS
import { readFileSync } from "node:fs";
import nodeDataChannel from "node-datachannel";
import { connect, finish, openPeer } from "./session.mjs";

const [url, framesFile, seconds] = process.argv.slice(2);
const FPS = 30;
const OPUS_SILENCE = Buffer.from([0xf8, 0xff, 0xfe]);
const VIDEO_SSRC = 0x0b5_0001;
const AUDIO_SSRC = 0x0b5_0002;

/** Access units: each with its length in 32 bits before it. */
function readFrames(path) {
  const data = readFileSync(path);
  const frames = [];
  for (let at = 0; at < data.length; ) {
    const size = data.readUInt32BE(at);
    frames.push(data.subarray(at + 4, at + 4 + size));
    at += 4 + size;
  }
  return frames;
}

function addVideo(peer) {
  const video = new nodeDataChannel.Video("1", "SendOnly");
  video.addH264Codec(
    96,
    "profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1",
  );
  video.addSSRC(VIDEO_SSRC, "obs", "obs-stream", "obs-video");
  const track = peer.addTrack(video);
  const rtp = new nodeDataChannel.RtpPacketizationConfig(VIDEO_SSRC, "obs", 96, 90_000);
  const packetizer = new nodeDataChannel.H264RtpPacketizer("StartSequence", rtp, 1200);
  packetizer.addToChain(new nodeDataChannel.RtcpSrReporter(rtp));
  packetizer.addToChain(new nodeDataChannel.RtcpNackResponder(4000));
  track.setMediaHandler(packetizer);
  return { track, rtp };
}

function addAudio(peer) {
  const audio = new nodeDataChannel.Audio("0", "SendOnly");
  audio.addOpusCodec(111, "minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1");
  audio.addSSRC(AUDIO_SSRC, "obs", "obs-stream", "obs-audio");
  const track = peer.addTrack(audio);
  const rtp = new nodeDataChannel.RtpPacketizationConfig(AUDIO_SSRC, "obs", 111, 48_000);
  const packetizer = new nodeDataChannel.RtpPacketizer(rtp);
  packetizer.addToChain(new nodeDataChannel.RtcpSrReporter(rtp));
  track.setMediaHandler(packetizer);
  return { track, rtp };
}

const frames = readFrames(framesFile);
const connection = openPeer();
const audio = addAudio(connection.peer);
const video = addVideo(connection.peer);
const session = await connect(connection, url);

const started = performance.now();
let sentFrames = 0;
let sentAudio = 0;
const timer = setInterval(() => {
  const elapsed = (performance.now() - started) / 1000;
  for (; sentFrames < elapsed * FPS; sentFrames++) {
    video.rtp.timestamp = sentFrames * (90_000 / FPS);
    video.track.sendMessageBinary(frames[sentFrames % frames.length]);
  }
  for (; sentAudio < elapsed * 50; sentAudio++) {
    audio.rtp.timestamp = sentAudio * 960;
    audio.track.sendMessageBinary(OPUS_SILENCE);
  }
  if (elapsed >= Number(seconds)) {
    clearInterval(timer);
    finish(connection, session, { sentFrames, sentAudio });
  }
}, 5);
