/* Stream of a live page: history, layouts, frames and events, with pause.

   new isocline.Live({whole, ended, useLayout, draw, paused}) follows `events`. `frames` has the frames of
   the history and those since, each with `index`, a map from names to columns; `latest` is the last full
   frame. `draw` is called when there is something new and the page is not paused. */
"use strict";

(() => {
  const isocline = window.isocline;
  const { make, clock } = isocline;
  const at = (id) => document.getElementById(id);
  const MOST_EVENTS = 200;

  /** Set the text of an element unless it already has it. */
  isocline.say = (id, text) => {
    const element = at(id);
    if (element.textContent !== text) element.textContent = text;
  };

  isocline.Live = class {
    /** `whole` is the subject of events that have none; `ended` is the badge once the stream has ended. */
    constructor({ whole, ended, useLayout, draw, pausing = () => {}, last = false }) {
      this.last = last; // whether the stream ends for good
      this.over = false; // whether it has
      this.whole = whole;
      this.words = { live: ["ok", "live"], paused: ["idle", "paused"], lost: ["bad", "no connection, retrying"], replaced: ["idle", "another page took this one's place; reload to follow again"], ended };
      this.useLayout = useLayout;
      this.draw = draw;
      this.pausing = pausing;
      this.frames = []; // as kept by the server: the history, and frames since
      this.latest = null; // the last full frame
      this.span = 300;
      this.paused = false;
      this.indices = new Map(); // by version of the layout: maps from name to column
      this.due = false;
      this.held = []; // events received while paused
      at("pause").addEventListener("click", () => this.pause());
      this.choices("window", (value) => { this.span = value; });
    }

    /** Start following; not in the constructor, so that everything that draws exists before.

        A page that is left is kept by the browser for the way back, with all its connections: of the six that
        it has for one host none would be left after six visits, and the seventh would wait for a minute. */
    follow() {
      addEventListener("pageshow", (event) => { if (event.persisted && !this.over) this.listen(); });
      this.listen();
    }

    /** Open a stream; it ends with the page, or when the page is left. */
    listen() {
      const stream = new EventSource("events");
      const on = (kind, act) => stream.addEventListener(kind, (event) => act(JSON.parse(event.data)));
      on("history", (history) => {
        const columns = (names) => new Map(names.map((name, b) => [name, b]));
        this.indices = new Map(Object.entries(history.names).map(([version, names]) => [Number(version), columns(names)]));
        this.frames = [];
        this.latest = null;
        this.take(history.layout);
        for (const frame of history.frames) this.add(frame);
        this.addEvents(history.events, true);
        this.connected(this.paused ? "paused" : "live");
        this.schedule();
      });
      on("layout", (layout) => this.take(layout));
      on("events", (list) => (this.paused ? this.held.push(...list) : this.addEvents(list, false)));
      on("frame", (frame) => {
        this.latest = frame;
        this.add(frame);
        this.forget();
        this.schedule();
      });
      on("end", () => {
        this.connected("ended");
        this.over = this.last;
        if (this.over) stream.close();
      });
      on("replaced", () => { // there are as many viewers as may be, and this one came first
        this.connected("replaced");
        stream.close();
      });
      stream.addEventListener("error", () => this.connected("lost"));
      addEventListener("pagehide", () => stream.close(), { once: true });
    }

    take(layout) {
      this.indices.set(layout.version, new Map(layout.names.map((name, b) => [name, b])));
      this.useLayout(layout);
    }

    add(frame) {
      const { frames } = this;
      frame.index = this.indices.get(frame.version) ?? new Map();
      if (frames.length && frame.number <= frames.at(-1).number && frame.time <= frames.at(-1).time) return;
      frames.push(frame);
      at("main").dataset.latest = frame.number;
      at("main").dataset.since = frames[0].time;
    }

    forget() {
      const first = (this.frames.at(-1)?.time ?? 0) - 300;
      let gone = 0;
      while (this.frames[gone]?.time < first) gone++;
      if (gone) this.frames = this.frames.slice(gone);
    }

    addEvents(list, first) {
      const place = at("events");
      place.setAttribute("aria-live", first ? "off" : "polite");
      if (first) place.replaceChildren();
      for (const it of list) {
        const line = make("li", { class: `kind-${it.kind}` },
          make("time", { datetime: new Date(it.time * 1e3).toISOString() }, clock(it.time)),
          make("span", {}, make("span", { class: `badge ${it.tone}` }, it.kind)),
          make("span", {}, make("b", {}, it.subject || this.whole), ` ${it.text}`));
        place.prepend(line);
      }
      while (place.children.length > MOST_EVENTS) place.lastChild.remove();
      isocline.say("events-note", place.children.length ? "" : "nothing yet");
    }

    connected(state) {
      if (state === "lost" && ["ended", "replaced"].includes(at("connection").dataset.state)) return;
      const [tone, word] = this.words[state];
      at("connection").dataset.state = state;
      at("connection").className = `badge ${tone}`;
      isocline.say("connection", word);
    }

    /** Draw in the next animation frame. */
    schedule() {
      if (this.due || this.paused) return;
      this.due = true;
      requestAnimationFrame(() => {
        this.due = false;
        if (!this.paused) this.draw();
      });
    }

    pause() {
      this.paused = !this.paused;
      at("pause").setAttribute("aria-pressed", String(this.paused));
      isocline.say("pause", this.paused ? "Resume" : "Pause");
      const { state } = at("connection").dataset;
      if (state === "live" || state === "paused") this.connected(this.paused ? "paused" : "live");
      if (!this.paused) {
        this.addEvents(this.held.splice(0), false);
        this.schedule();
      }
      this.pausing(this.paused);
    }

    /** Group of buttons with the attribute `data-NAME`, one of them pressed; draws even while paused. */
    choices(attribute, act) {
      const buttons = [...document.querySelectorAll(`[data-${attribute}]`)];
      for (const button of buttons) {
        button.addEventListener("click", () => {
          for (const it of buttons) it.setAttribute("aria-pressed", String(it === button));
          act(Number(button.dataset[attribute]));
          this.draw();
        });
      }
    }
  };
})();
