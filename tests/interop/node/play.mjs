// Plays with libdatachannel and writes each video RTP packet to a file, its length in 16 bits before
// it, for somebody else to decode.
// usage: node play.mjs URL PACKETS_FILE SECONDS
import { writeFileSync } from "node:fs";
import nodeDataChannel from "node-datachannel";
import { connect, finish, openPeer } from "./session.mjs";

const [url, packetsFile, seconds] = process.argv.slice(2);
const connection = openPeer();
const packets = [];
let audioPackets = 0;

const audio = new nodeDataChannel.Audio("0", "RecvOnly");
audio.addOpusCodec(111);
const audioTrack = connection.peer.addTrack(audio);
audioTrack.setMediaHandler(new nodeDataChannel.RtcpReceivingSession());
audioTrack.onMessage(() => {
  audioPackets += 1;
});

const video = new nodeDataChannel.Video("1", "RecvOnly");
video.addH264Codec(96, "profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1");
const videoTrack = connection.peer.addTrack(video);
videoTrack.setMediaHandler(new nodeDataChannel.RtcpReceivingSession());
videoTrack.onMessage((message) => {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  packets.push(length, Buffer.from(message));
});

const session = await connect(connection, url);
setTimeout(() => {
  writeFileSync(packetsFile, Buffer.concat(packets));
  finish(connection, session, { videoPackets: packets.length / 2, audioPackets });
}, Number(seconds) * 1000);
