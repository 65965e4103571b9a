/* Charts over time on uPlot, in the colours of the theme.

   isocline.chart(element, {series, unit, stacked, log, label}) returns {set, legend, destroy}. Each
   series has a name, a colour token and perhaps a dash; `set` takes [times, values, ...] in the order of
   the series. Each chart has a sentence with the latest values, for screen readers. */
"use strict";

(() => {
  const isocline = window.isocline;
  const DIGITS = 3;

  /** Number with three digits, and k or M if it is large. */
  isocline.number = (value) => {
    if (value === null || value === undefined || !Number.isFinite(value)) return "–";
    const size = Math.abs(value);
    if (size >= 1e6) return `${+(value / 1e6).toPrecision(DIGITS)} M`;
    if (size >= 1e4) return `${+(value / 1e3).toPrecision(DIGITS)} k`;
    if (size >= 100) return String(Math.round(value));
    return String(+value.toPrecision(DIGITS));
  };

  /** Time in s as text; in ms below a second. */
  isocline.seconds = (value) => {
    if (value === null || value === undefined || !Number.isFinite(value)) return "–";
    const size = Math.abs(value);
    if (size !== 0 && size < 0.9995) return `${+(value * 1e3).toPrecision(DIGITS)} ms`;
    return `${+value.toPrecision(DIGITS)} s`;
  };

  isocline.units = {
    "": isocline.number,
    s: isocline.seconds,
    "/s": (value) => `${isocline.number(value)}/s`,
  };

  /** Element with attributes and text; text is never parsed as markup. */
  isocline.make = (tag, attributes = {}, ...content) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === false || value === null || value === undefined) continue;
      made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...content);
    return made;
  };

  const wash = (colour, share) => colour.replace(/^rgb\((.*)\)$/, `rgb($1 / ${share})`).replace(/, /g, " ");

  /** Running sums over the series, for stacked areas. */
  const stack = (columns) => {
    const [times, ...values] = columns;
    const sums = values.map(() => new Array(times.length).fill(null));
    for (let i = 0; i < times.length; i++) {
      let sum = 0;
      for (let k = 0; k < values.length; k++) {
        if (values[k][i] === null || values[k][i] === undefined) continue;
        sum += values[k][i];
        sums[k][i] = sum;
      }
    }
    return [times, ...sums];
  };

  /** Short piece of a line, for a legend. */
  const sample = ({ colour, width, dash }) => {
    const [picture, line] = ["svg", "line"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
    picture.setAttribute("viewBox", "0 0 26 8");
    picture.setAttribute("aria-hidden", "true"); // the text beside it has the name
    const drawn = { x1: 0, y1: 4, x2: 26, y2: 4, stroke: isocline.colour(colour), "stroke-width": Math.min(width ?? 2, 3), "stroke-dasharray": dash?.join(" ") ?? "none" };
    for (const [name, value] of Object.entries(drawn)) line.setAttribute(name, value);
    picture.append(line);
    return picture;
  };

  isocline.chart = (element, options) => {
    const format = isocline.units[options.unit ?? ""];
    const height = () => Math.max(Math.min(element.clientWidth * 0.52, options.height ?? 240), 150);
    const state = { data: null, shown: null, plot: null, series: options.series };
    const picture = isocline.make("div");
    const summary = isocline.make("p", { class: "visually-hidden" });
    element.replaceChildren(picture, summary);

    const build = () => {
      const ink = isocline.colour("--muted");
      const line = isocline.colour("--line");
      const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 }, font: "11px system-ui, sans-serif" };
      const series = state.series.map((it, k) => {
        const colour = isocline.colour(it.colour);
        return {
          label: it.name,
          stroke: colour,
          width: it.width ?? 2,
          dash: it.dash,
          fill: options.stacked ? wash(colour, 0.55) : it.fill ? wash(colour, 0.12) : undefined,
          points: { show: false },
          spanGaps: false,
          value: (_, value, index, i) => format(options.stacked && state.data ? state.data[index][i] : value),
          show: it.show ?? true,
        };
      });
      const bands = options.stacked ? series.slice(1).map((_, k) => ({ series: [k + 2, k + 1] })) : undefined;
      state.plot?.destroy();
      state.plot = new window.uPlot(
        {
          width: Math.max(element.clientWidth, 120),
          height: height(),
          padding: [8, 26, 0, 0],
          legend: { live: true, markers: options.stacked ? {} : { width: 0, fill: "transparent" } },
          hooks: { setCursor: [() => state.plot && latest()] },
          cursor: { drag: { x: false, y: false }, sync: options.sync ? { key: options.sync } : undefined, points: { size: 6 } },
          scales: {
            x: { time: true, range: () => state.range ?? [0, 1] },
            y: options.log
              ? { distr: 3, range: options.range }
              : { range: options.range ?? ((_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.12 : 1]) },
          },
          axes: [
            { ...axis, space: 70, values: (_, ticks) => ticks.map((it) => clock(it)) },
            { ...axis, size: options.axis ?? 58, space: 34, values: (_, ticks) => ticks.map((it) => (it === null ? "" : format(it))) },
          ],
          series: [{ label: "Time", value: (_, value) => (value === null ? "–" : clock(value)) }, ...series],
          bands,
        },
        state.shown ?? [[], ...series.map(() => [])],
        picture,
      );
      // Markers as the lines are drawn: those of one tier have one colour, and differ in their dashes.
      state.plot.root.querySelectorAll(".u-marker").forEach((marker, n) => {
        if (n && !options.stacked) marker.replaceChildren(sample(state.series[n - 1]));
      });
      const wrap = state.plot.root.querySelector(".u-wrap");
      wrap.setAttribute("role", "img");
      wrap.setAttribute("aria-label", options.label);
      state.plot.root.querySelector(".u-legend")?.setAttribute("aria-label", `${options.label}, latest`);
      latest();
    };

    const redraw = () => {
      if (!state.data || !state.plot) return;
      state.shown = options.stacked ? stack(state.data) : state.data;
      state.plot.setData(state.shown);
      latest();
    };

    /** The legend shows the values under the pointer, or else the latest. */
    const latest = () => {
      const last = (state.shown?.[0].length ?? 0) - 1;
      if (last >= 0 && (state.plot.cursor.idx ?? null) === null) state.plot.setLegend({ idx: last }, false);
    };

    const observer = new ResizeObserver(() => {
      if (element.clientWidth && state.plot) state.plot.setSize({ width: element.clientWidth, height: height() });
    });
    observer.observe(element);
    const rebuild = () => {
      if (element.isConnected) build();
    };
    document.addEventListener("isocline:theme", rebuild);
    build();

    return {
      /** Draw [times, values, ...] between two times, with new series if given. */
      set(data, range, series) {
        state.data = data;
        state.range = range;
        if (series) {
          state.series = series;
          state.shown = options.stacked ? stack(data) : data;
          build();
        } else redraw();
        const last = data[0].length - 1;
        const said = state.series.slice(0, 8).map((it, k) => `${it.name} ${format(last < 0 ? null : data[k + 1][last])}`);
        if (last >= 0) summary.textContent = `${options.label}, latest: ${said.join(", ")}`;
      },
      legend(shown) {
        element.classList.toggle("no-legend", !shown);
      },
      destroy() {
        observer.disconnect();
        document.removeEventListener("isocline:theme", rebuild);
        state.plot?.destroy();
      },
    };
  };

  const clock = (time) => {
    const at = new Date(time * 1e3);
    return [at.getHours(), at.getMinutes(), at.getSeconds()].map((it) => String(it).padStart(2, "0")).join(":");
  };
  isocline.clock = clock;
})();
