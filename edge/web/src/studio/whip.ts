/** WHIP: one session of a studio (RFC 9725). */

import { readSending, type Sending } from "../media/sending";
import { askForCaptureTime } from "../wire/extensions";
import { type LinkState, Recovery, restartIce } from "../wire/recovery";
import { SessionResource } from "../wire/resource";
import { offerOnly } from "./encodings";

/** An answered session that does not connect by then never will. */
const CONNECT_MS = 8000;

export interface PublicationRequest {
  readonly stream: string;
  readonly token: string | null;
  readonly media: MediaStream;
  readonly codec: string;
  readonly encodings: readonly RTCRtpEncodingParameters[];
}

export class Publication {
  readonly #peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  readonly #stopped = new AbortController();
  readonly #recovery: Recovery;
  #resource: SessionResource | null = null;
  #figures: Sending | null = null;
  #connecting: ReturnType<typeof setTimeout> | undefined;
  #end: () => void = () => undefined;
  readonly #ended = new Promise<void>((resolve) => {
    this.#end = resolve;
  });

  constructor(
    private readonly request: PublicationRequest,
    private readonly onstate: (state: LinkState, reason: string) => void,
  ) {
    this.#recovery = new Recovery(
      async (signal) => {
        if (this.#resource !== null) {
          await restartIce(this.#peer, this.#resource, signal);
        }
      },
      (state, reason) => this.#changed(state, reason),
    );
  }

  get sessionUrl(): string | null {
    return this.#resource?.url.href ?? null;
  }

  /** Offer the media. Throws EdgeProblem when refused, TypeError without a network. */
  async start(): Promise<void> {
    this.#send();
    await this.#peer.setLocalDescription(await this.#peer.createOffer());
    const { stream, token } = this.request;
    const resource = await SessionResource.create(
      new URL(`/whip/${encodeURIComponent(stream)}`, location.href),
      this.#peer.localDescription?.sdp ?? "",
      token,
      this.#stopped.signal,
    );
    if (this.#stopped.signal.aborted) {
      resource.delete();
      return;
    }
    this.#resource = resource;
    this.#connecting = setTimeout(
      () => this.#changed("lost", "the media cannot get through"),
      CONNECT_MS,
    );
    await this.#peer.setRemoteDescription({ type: "answer", sdp: resource.answer });
  }

  /** Resolves when the session is lost or stopped. */
  ended(): Promise<void> {
    return this.#ended;
  }

  /** End it here and at the edge. Idempotent. */
  stop(): void {
    if (this.#stopped.signal.aborted) {
      return;
    }
    this.#stopped.abort();
    clearTimeout(this.#connecting);
    this.#recovery.stop();
    this.#resource?.delete();
    this.#peer.close();
    this.#end();
  }

  /** Figures since the last call. */
  async figures(): Promise<Sending | null> {
    if (this.#stopped.signal.aborted) {
      return null;
    }
    const report = await this.#peer.getStats();
    this.#figures = readSending(report as unknown as ReadonlyMap<string, unknown>, this.#figures);
    return this.#figures;
  }

  #send(): void {
    const { media, codec, encodings } = this.request;
    for (const track of media.getAudioTracks().slice(0, 1)) {
      this.#peer.addTransceiver(track, { direction: "sendonly", streams: [media] });
    }
    for (const track of media.getVideoTracks().slice(0, 1)) {
      const transceiver = this.#peer.addTransceiver(track, {
        direction: "sendonly",
        streams: [media],
        sendEncodings: [...encodings],
      });
      const known = RTCRtpSender.getCapabilities("video")?.codecs ?? [];
      transceiver.setCodecPreferences(offerOnly(known, codec));
      askForCaptureTime(transceiver);
    }
    this.#peer.addEventListener("connectionstatechange", () => {
      this.#recovery.connectionChanged(
        this.#peer.connectionState,
        this.#resource?.restartable ?? false,
      );
    });
  }

  #changed(state: LinkState, reason: string): void {
    if (this.#stopped.signal.aborted) {
      return;
    }
    if (state === "connected") {
      clearTimeout(this.#connecting);
    }
    this.onstate(state, reason);
    if (state === "lost") {
      this.stop();
    }
  }
}
