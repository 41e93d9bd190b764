/** WHEP: media over WebRTC (draft-ietf-wish-whep). */

import { capturedAt } from "../media/capture";
import { type Receiving, readReceiving } from "../media/receiving";
import { askForCaptureTime } from "../wire/extensions";
import { EVENTS_RELATION, iceServers, LAYER_RELATION } from "../wire/link";
import { NOTICE_TYPES, parseNotice } from "../wire/notices";
import { Recovery, restartIce } from "../wire/recovery";
import { SessionResource } from "../wire/resource";
import { Cushion } from "./cushion";
import type { Transport, TransportEvents, TransportRequest, TransportState } from "./transport";

/** A member that TypeScript's library does not have yet (webrtc-extensions). */
type BufferedReceiver = RTCRtpReceiver & { jitterBufferTarget?: number | null };

export class WhepTransport implements Transport {
  readonly #peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  readonly #stopped = new AbortController();
  readonly #recovery: Recovery;
  readonly #cushion = new Cushion();
  #resource: SessionResource | null = null;
  #events: EventSource | null = null;
  #mediaId: string | null = null;
  #figures: Receiving | null = null;
  #over = false;

  constructor(
    private readonly request: TransportRequest,
    private readonly observer: TransportEvents,
  ) {
    this.#recovery = new Recovery(
      async (signal) => {
        if (this.#resource !== null) {
          await restartIce(this.#peer, this.#resource, signal);
        }
      },
      (state, reason) => this.#report(state, reason),
    );
  }

  get sessionUrl(): string | null {
    return this.#resource?.url.href ?? null;
  }

  async start(video: HTMLVideoElement, signal: AbortSignal): Promise<void> {
    signal.addEventListener("abort", () => this.stop());
    this.#receive(video);
    await this.#peer.setLocalDescription(await this.#peer.createOffer());
    // The edge is ICE-lite: it learns our addresses from the checks, so nothing is waited for.
    const resource = await SessionResource.create(
      this.#endpoint(),
      this.#peer.localDescription?.sdp ?? "",
      this.request.token,
      this.#stopped.signal,
    );
    if (this.#over) {
      resource.delete();
      return;
    }
    this.#resource = resource;
    const servers = iceServers(resource.links);
    if (servers.length > 0) {
      this.#peer.setConfiguration({ ...this.#peer.getConfiguration(), iceServers: servers });
    }
    await this.#peer.setRemoteDescription({ type: "answer", sdp: resource.answer });
    this.#listen(resource);
  }

  stop(): void {
    if (this.#over) {
      return;
    }
    this.#over = true;
    this.#stopped.abort();
    this.#recovery.stop();
    this.#events?.close();
    this.#resource?.delete();
    this.#peer.close();
  }

  async selectLayer(rid: string | null): Promise<void> {
    const url = this.#resource?.extension(LAYER_RELATION);
    if (!this.#resource || !url) {
      return;
    }
    const mediaId = this.#mediaId === null ? {} : { mediaId: this.#mediaId };
    await (rid === null
      ? this.#resource.call(url, "DELETE")
      : this.#resource.call(url, "POST", { ...mediaId, rid }));
  }

  capturedAt(rtpTimestamp: number): number | null {
    const receiver = this.#peer.getReceivers().find(({ track }) => track.kind === "video");
    return capturedAt(receiver?.getSynchronizationSources()[0], rtpTimestamp);
  }

  async figures(): Promise<Receiving | null> {
    if (this.#over) {
      return null;
    }
    const report = await this.#peer.getStats();
    this.#figures = readReceiving(report as unknown as ReadonlyMap<string, unknown>, this.#figures);
    this.#wait(this.#cushion.next(this.#figures));
    return this.#figures;
  }

  #wait(targetMs: number): void {
    // Sound and picture together; null is the browser's own choice.
    for (const receiver of this.#peer.getReceivers() as BufferedReceiver[]) {
      receiver.jitterBufferTarget = targetMs === 0 ? null : targetMs;
    }
  }

  #endpoint(): URL {
    const url = new URL(`/whep/${encodeURIComponent(this.request.stream)}`, location.href);
    if (this.request.waitS > 0) {
      url.searchParams.set("wait", String(this.request.waitS));
    }
    return url;
  }

  #receive(video: HTMLVideoElement): void {
    const media = new MediaStream();
    video.srcObject = media;
    for (const kind of ["audio", "video"]) {
      const transceiver = this.#peer.addTransceiver(kind, { direction: "recvonly" });
      media.addTrack(transceiver.receiver.track);
      askForCaptureTime(transceiver);
    }
    // The edge closes its channels when it ends the session: sooner than consent would lapse.
    this.#peer.createDataChannel("edge").addEventListener("close", () => {
      this.#report("lost", "the edge closed the session");
    });
    this.#peer.addEventListener("connectionstatechange", () => {
      this.#recovery.connectionChanged(
        this.#peer.connectionState,
        this.#resource?.restartable ?? false,
      );
    });
  }

  #listen(resource: SessionResource): void {
    const url = resource.extension(EVENTS_RELATION);
    if (url === null) {
      return;
    }
    const events = new EventSource(url);
    this.#events = events;
    for (const type of NOTICE_TYPES) {
      events.addEventListener(type, (event: MessageEvent<string>) => {
        const notice = parseNotice(type, event.data);
        if (notice?.type === "layers") {
          this.#mediaId = notice.mediaId;
        }
        if (notice !== null && !this.#over) {
          this.observer.onnotice(notice);
        }
      });
    }
    events.addEventListener("error", () => {
      // Closed for good: the edge refused the session's URL, so it has forgotten the session.
      if (events.readyState === EventSource.CLOSED) {
        this.#report("lost", "the edge ended the session");
      }
    });
  }

  #report(state: TransportState, reason: string): void {
    if (!this.#over) {
      this.observer.onstate(state, reason);
    }
  }
}
