/** The form that asks for a stream, and for a token where one is needed. */

import { element, make, write } from "../page/dom";
import { currentToken, keepToken } from "../page/token";
import { listStreams } from "../wire/operations";
import { EdgeProblem, inWords } from "../wire/problem";

export class Chooser {
  readonly #form = element("chooser", HTMLFormElement);
  readonly #stream = element("choose-stream", HTMLInputElement);
  readonly #token = element("choose-token", HTMLInputElement);
  readonly #list = element("live-streams", HTMLUListElement);
  readonly #reason = element("chooser-reason", HTMLElement);
  readonly #shown = element("watching", HTMLElement);

  constructor(private readonly play: (stream: string) => void) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#choose(this.#stream.value.trim());
    });
    element("change", HTMLButtonElement).addEventListener("click", () => this.open(null));
  }

  /** Ask; after a refusal say why. */
  open(error: unknown): void {
    const stream = new URLSearchParams(location.search).get("stream");
    this.#form.hidden = false;
    this.#shown.hidden = stream === null;
    write(this.#reason, error === null ? "" : inWords(error));
    this.#reason.hidden = error === null;
    this.#stream.value = stream ?? "";
    this.#token.value = currentToken() ?? "";
    const aboutToken = error instanceof EdgeProblem && [401, 403].includes(error.status);
    (aboutToken ? this.#token : this.#stream).focus();
    void this.#showLive();
  }

  close(): void {
    this.#form.hidden = true;
    this.#shown.hidden = false;
  }

  #choose(stream: string): void {
    if (stream === "") {
      return;
    }
    keepToken(this.#token.value);
    const url = new URL(location.href);
    url.searchParams.set("stream", stream);
    history.pushState(null, "", url);
    this.close();
    this.play(stream);
  }

  async #showLive(): Promise<void> {
    // Most tokens may not list streams: then there is only the field.
    const streams = await listStreams(currentToken()).catch(() => []);
    this.#list.replaceChildren(
      ...streams.map(({ stream }) => {
        const item = make("li");
        const button = make("button", stream, { type: "button" });
        button.addEventListener("click", () => this.#choose(stream));
        item.append(button);
        return item;
      }),
    );
    this.#list.hidden = streams.length === 0;
  }
}
