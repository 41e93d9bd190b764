/** Repairs a connection by ICE restarts, and gives it up when they do not help. */

import { restartedAnswer, restartFragment } from "./fragment";
import type { SessionResource } from "./resource";

export type LinkState =
  | "connecting"
  | "connected"
  /** Trying to repair itself; media may still flow. */
  | "recovering"
  /** Over: only a new session helps. */
  | "lost";

/** Chromium says `disconnected` after some seconds of silence; a short one heals by itself. */
const PATIENCE_MS = 1000;
/** An ICE restart that did not connect by then does not help. */
const RESTART_MS = 4000;

/** Give a session new ICE credentials (RFC 9725, section 4.3.3). Throws EdgeProblem. */
export async function restartIce(
  peer: RTCPeerConnection,
  resource: SessionResource,
  signal: AbortSignal,
): Promise<void> {
  await peer.setLocalDescription(await peer.createOffer({ iceRestart: true }));
  const reply = await resource.restart(restartFragment(peer.localDescription?.sdp ?? ""), signal);
  const answer = peer.currentRemoteDescription?.sdp ?? resource.answer;
  await peer.setRemoteDescription({ type: "answer", sdp: restartedAnswer(answer, reply) });
}

export class Recovery {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: AbortController | null = null;

  constructor(
    private readonly restart: (signal: AbortSignal) => Promise<void>,
    private readonly report: (state: LinkState, reason: string) => void,
  ) {}

  connectionChanged(state: RTCPeerConnectionState, restartable: boolean): void {
    switch (state) {
      case "connected":
        this.stop();
        this.report("connected", "");
        break;
      case "disconnected":
        this.report("recovering", "the connection is interrupted");
        this.#restartAfter(PATIENCE_MS, restartable);
        break;
      case "failed":
        if (this.#running === null) {
          this.#restartAfter(0, restartable);
        }
        break;
      case "closed":
        this.report("lost", "the connection was closed");
        break;
      default:
        break;
    }
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#running?.abort();
    this.#running = null;
  }

  #restartAfter(ms: number, restartable: boolean): void {
    clearTimeout(this.#timer);
    if (!restartable) {
      this.#timer = setTimeout(() => this.report("lost", "the connection failed"), ms);
      return;
    }
    this.#timer = setTimeout(() => void this.#attempt(), ms);
  }

  async #attempt(): Promise<void> {
    const running = new AbortController();
    this.#running = running;
    this.#timer = setTimeout(() => {
      running.abort();
      this.report("lost", "the connection could not be restored");
    }, RESTART_MS);
    try {
      await this.restart(running.signal);
    } catch {
      if (!running.signal.aborted) {
        this.stop();
        this.report("lost", "the edge no longer knows the session");
      }
    }
  }
}
