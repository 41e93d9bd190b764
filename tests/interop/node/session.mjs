// What a WHIP and a WHEP client share: offer, POST, answer, DELETE. No trickle, as in OBS.
import nodeDataChannel from "node-datachannel";

const SETUP_TIMEOUT_MS = 10_000;

/** A promise that fails when it takes too long. */
export function inTime(what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not in time: ${what}`)), SETUP_TIMEOUT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** A peer connection and promises of its states. */
export function openPeer() {
  const peer = new nodeDataChannel.PeerConnection("edge-interop", {
    iceServers: [],
    disableAutoNegotiation: true,
  });
  const gathered = new Promise((resolve) => {
    peer.onGatheringStateChange((state) => state === "complete" && resolve());
  });
  const connected = new Promise((resolve, reject) => {
    peer.onStateChange((state) => {
      if (state === "connected") resolve();
      if (state === "failed" || state === "closed") reject(new Error(`peer ${state}`));
    });
  });
  connected.catch(() => {});
  return { peer, gathered, connected };
}

/** POSTs the full offer and connects; returns what the edge said. */
export async function connect({ peer, gathered, connected }, url) {
  const started = performance.now();
  peer.setLocalDescription("offer");
  await inTime("gathering", gathered);
  const offer = peer.localDescription().sdp;
  const response = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/sdp" },
    body: offer,
  });
  const answer = await response.text();
  if (response.status !== 201) throw new Error(`POST: ${response.status} ${answer}`);
  const location = response.headers.get("location");
  peer.setRemoteDescription(answer, "answer");
  await inTime("connecting", connected);
  const connectMs = Math.round(performance.now() - started);
  return { offer, answer, location, resource: new URL(location, url).href, connectMs };
}

/** Ends the session, prints what is to be known of it as one line of JSON, and the process. */
export async function finish({ peer }, session, facts) {
  const response = await fetch(session.resource, { method: "DELETE" });
  peer.close();
  const result = { ...session, ...facts, deleteStatus: response.status };
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}
