/** Where picture and sound come from. */

import { TestCard } from "../media/testcard";

export type SourceKind = "camera" | "screen" | "testcard";

export interface SourceRequest {
  readonly kind: SourceKind;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly camera: string;
  readonly microphone: string;
}

export interface Source {
  readonly media: MediaStream;
  /** Let go of devices and timers. */
  close(): void;
}

/** Open a source. Throws DOMException when the person or the machine refuses. */
export async function openSource(request: SourceRequest, audio: AudioContext): Promise<Source> {
  switch (request.kind) {
    case "camera":
      return hinted(await openCamera(request), "motion");
    case "screen":
      return hinted(await openScreen(request), "detail");
    case "testcard":
      return openTestCard(request, audio);
  }
}

async function openCamera({ camera, microphone, width, height, fps }: SourceRequest) {
  return navigator.mediaDevices.getUserMedia({
    video: {
      width: { ideal: width },
      height: { ideal: height },
      frameRate: { ideal: fps },
      ...exactly(camera),
    },
    // A dealer's voice in a studio: processing made for calls only harms it.
    audio: microphone === "none" ? false : { echoCancellation: false, ...exactly(microphone) },
  });
}

async function openScreen({ microphone, width, height, fps }: SourceRequest) {
  const media = await navigator.mediaDevices.getDisplayMedia({
    video: { width: { max: width }, height: { max: height }, frameRate: { max: fps } },
    audio: true,
  });
  if (media.getAudioTracks().length === 0 && microphone !== "none") {
    const voice = await navigator.mediaDevices
      .getUserMedia({ audio: { echoCancellation: false, ...exactly(microphone) } })
      .catch(() => null);
    voice?.getTracks().forEach((track) => {
      media.addTrack(track);
    });
  }
  return media;
}

function openTestCard({ width, height, fps }: SourceRequest, audio: AudioContext): Source {
  const card = new TestCard(width, height);
  card.draw(Date.now());
  const media = card.canvas.captureStream(0);
  const [picture] = media.getVideoTracks() as CanvasCaptureMediaStreamTrack[];
  const ticker = new Worker("/assets/ticker.js", { type: "module" });
  ticker.onmessage = () => {
    card.draw(Date.now());
    picture?.requestFrame();
  };
  ticker.postMessage(fps);
  const beeps = beep(audio);
  beeps.stream.getTracks().forEach((track) => {
    media.addTrack(track);
  });
  return {
    media,
    close() {
      ticker.terminate();
      beeps.close();
      stopTracks(media);
    },
  };
}

/** A tenth of a second of 1 kHz at the beginning of each second of the wall clock. */
function beep(audio: AudioContext): { stream: MediaStream; close(): void } {
  const destination = audio.createMediaStreamDestination();
  const tone = audio.createOscillator();
  const gain = audio.createGain();
  tone.frequency.value = 1000;
  gain.gain.value = 0;
  tone.connect(gain).connect(destination);
  tone.start();
  let booked = 0;
  const book = () => {
    const second = Math.ceil(Date.now() / 1000);
    const at = audio.currentTime + second - Date.now() / 1000;
    if (second !== booked && audio.state === "running") {
      booked = second;
      gain.gain.setValueAtTime(0.25, at);
      gain.gain.setValueAtTime(0, at + 0.1);
    }
  };
  const timer = setInterval(book, 400);
  return {
    stream: destination.stream,
    close() {
      clearInterval(timer);
      tone.stop();
    },
  };
}

function hinted(media: MediaStream, hint: string): Source {
  for (const track of media.getVideoTracks()) {
    track.contentHint = hint;
  }
  return { media, close: () => stopTracks(media) };
}

function stopTracks(media: MediaStream): void {
  media.getTracks().forEach((track) => {
    track.stop();
  });
}

function exactly(deviceId: string): MediaTrackConstraints {
  return deviceId === "" ? {} : { deviceId: { exact: deviceId } };
}
