/** The studio page: puts its parts together. */

import { element, write } from "../page/dom";
import { inWords } from "../wire/problem";
import { encodings } from "./encodings";
import { Figures } from "./figures";
import { LevelMeter } from "./meter";
import { Publisher, type PublisherState, type PublisherStats } from "./publisher";
import { SettingsForm } from "./settings";
import { openSource, type Source } from "./sources";

declare global {
  interface Window {
    edgeStudio: { stats(): PublisherStats };
  }
}

const LABELS: Readonly<Record<PublisherState, string>> = {
  idle: "Off air",
  connecting: "Connecting",
  live: "On air",
  recovering: "Reconnecting",
  failed: "Stopped",
};

const preview = element("preview", HTMLVideoElement);
const badge = element("badge", HTMLElement);
const message = element("message", HTMLElement);
const startButton = element("start", HTMLButtonElement);
const stopButton = element("stop", HTMLButtonElement);
const audio = new AudioContext();
const meter = new LevelMeter(audio);
const figures = new Figures();
const publisher = new Publisher(show);
const form = new SettingsForm(() => void start());
let source: Source | null = null;

async function start(): Promise<void> {
  stop();
  startButton.disabled = true;
  const settings = form.read();
  // Without a gesture a browser may refuse: then the card is silent.
  void audio.resume().catch(() => undefined);
  try {
    source = await openSource(settings.source, audio);
  } catch (error) {
    startButton.disabled = false;
    show("failed", `No picture: ${inWords(error)}`);
    return;
  }
  const { media } = source;
  preview.srcObject = media;
  meter.watch(media);
  media.getVideoTracks()[0]?.addEventListener("ended", () => stop());
  void form.listDevices();
  publisher.publish({
    stream: settings.stream,
    token: settings.token,
    media,
    codec: settings.codec,
    encodings: encodings(pictureOf(media, settings.source), settings.simulcast, settings.codec),
  });
}

function stop(): void {
  publisher.stop();
  meter.stop();
  source?.close();
  source = null;
  preview.srcObject = null;
  figures.show(publisher.stats());
}

/** A camera may give another size than it was asked for. */
function pictureOf(media: MediaStream, asked: { width: number; height: number; fps: number }) {
  const given = media.getVideoTracks()[0]?.getSettings();
  return {
    width: given?.width ?? asked.width,
    height: given?.height ?? asked.height,
    fps: asked.fps,
  };
}

function show(state: PublisherState, words: string): void {
  badge.dataset.state = state;
  write(badge, LABELS[state]);
  write(message, words);
  message.hidden = words === "";
  const publishing = state !== "idle" && state !== "failed";
  startButton.disabled = publishing;
  stopButton.disabled = !publishing;
  form.lock(publishing);
}

window.edgeStudio = { stats: () => publisher.stats() };
stopButton.addEventListener("click", () => {
  stop();
  startButton.focus();
});
window.addEventListener("pagehide", () => stop());
setInterval(() => {
  void publisher.tick().then(() => figures.show(publisher.stats()));
}, 1000);
if (new URLSearchParams(location.search).get("autostart") === "1") {
  void start();
}
