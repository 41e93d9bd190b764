/** The studio's form: what to publish and how, also from the page's address. */

import { element, make } from "../page/dom";
import { currentToken, keepToken } from "../page/token";
import { CODECS } from "./encodings";
import type { SourceKind, SourceRequest } from "./sources";

export interface Settings {
  readonly stream: string;
  readonly token: string | null;
  readonly codec: string;
  readonly simulcast: boolean;
  readonly source: SourceRequest;
}

export class SettingsForm {
  readonly #form = element("settings", HTMLFormElement);
  readonly #stream = element("stream", HTMLInputElement);
  readonly #token = element("token", HTMLInputElement);
  readonly #source = element("source", HTMLSelectElement);
  readonly #camera = element("camera", HTMLSelectElement);
  readonly #microphone = element("microphone", HTMLSelectElement);
  readonly #size = element("size", HTMLSelectElement);
  readonly #fps = element("fps", HTMLSelectElement);
  readonly #codec = element("codec", HTMLSelectElement);
  readonly #simulcast = element("simulcast", HTMLInputElement);

  constructor(start: () => void) {
    this.#offerCodecs();
    this.#readAddress();
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      start();
    });
    this.#source.addEventListener("change", () => this.#showDevices());
    navigator.mediaDevices?.addEventListener("devicechange", () => void this.listDevices());
    this.#showDevices();
    void this.listDevices();
  }

  read(): Settings {
    keepToken(this.#token.value);
    const [width = 1280, height = 720] = this.#size.value.split("x").map(Number);
    return {
      stream: this.#stream.value.trim(),
      token: currentToken(),
      codec: this.#codec.value,
      simulcast: this.#simulcast.checked,
      source: {
        kind: this.#source.value as SourceKind,
        width,
        height,
        fps: Number(this.#fps.value),
        camera: this.#camera.value,
        microphone: this.#microphone.value,
      },
    };
  }

  /** While publishing, settings are only read. */
  lock(locked: boolean): void {
    for (const control of this.#form.querySelectorAll("input, select")) {
      (control as HTMLInputElement | HTMLSelectElement).disabled = locked;
    }
  }

  /** Names of devices are known once the person has allowed one. */
  async listDevices(): Promise<void> {
    const devices = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    fill(this.#camera, devices.filter(isKind("videoinput")), []);
    fill(this.#microphone, devices.filter(isKind("audioinput")), [
      make("option", "None", { value: "none" }),
    ]);
  }

  #showDevices(): void {
    const kind = this.#source.value;
    element("camera-field", HTMLElement).hidden = kind !== "camera";
    element("microphone-field", HTMLElement).hidden = kind === "testcard";
  }

  #offerCodecs(): void {
    const known = RTCRtpSender.getCapabilities("video")?.codecs ?? [];
    const has = (codec: string) =>
      known.some(({ mimeType }) => mimeType.toLowerCase() === `video/${codec.toLowerCase()}`);
    this.#codec.replaceChildren(
      ...CODECS.filter(has).map((codec) =>
        make("option", codec === "H264" ? "H.264" : codec, { value: codec }),
      ),
    );
  }

  #readAddress(): void {
    const query = new URLSearchParams(location.search);
    this.#stream.value = query.get("stream") ?? this.#stream.value;
    this.#token.value = currentToken() ?? "";
    this.#simulcast.checked = query.get("simulcast") !== "0";
    choose(this.#source, query.get("source"));
    choose(this.#size, query.get("size"));
    choose(this.#fps, query.get("fps"));
    choose(this.#codec, query.get("codec")?.toUpperCase().replace(".", "") ?? null);
  }
}

function choose(select: HTMLSelectElement, value: string | null): void {
  if (value !== null && [...select.options].some((option) => option.value === value)) {
    select.value = value;
  }
}

function isKind(kind: MediaDeviceKind): (device: MediaDeviceInfo) => boolean {
  return (device) => device.kind === kind && device.deviceId !== "";
}

function fill(
  select: HTMLSelectElement,
  devices: readonly MediaDeviceInfo[],
  others: readonly HTMLOptionElement[],
): void {
  const before = select.value;
  select.replaceChildren(
    make("option", "Default", { value: "" }),
    ...devices.map(({ label, deviceId }, index) =>
      make("option", label || `Device ${index + 1}`, { value: deviceId }),
    ),
    ...others,
  );
  choose(select, before);
}
