/* Plots over time and curves of backends, for the live page of a router. */
"use strict";

(() => {
  const isocline = window.isocline;
  const MOST_LINES = 24; // for more backends, three quantiles of each tier are drawn
  const PARTS = [
    ["optimum", "--tier-1"],
    ["misrouted", "--tier-2"],
    ["fluctuation", "--tier-3"],
    ["held", "--tier-4"],
    ["outside", "--tier-8"],
  ];
  const SHARES = [0.9, 0.5, 0.1];
  const DASHES = [undefined, [7, 3], [2, 3], [10, 3, 2, 3]];

  const positive = (_, low, high) => {
    if (!(low > 0) || !(high > 0)) return [0.001, 1];
    return [low / 1.25, high * 1.25];
  };
  /** Exponential average over `seconds`; unknown values stay unknown. */
  const smoothed = (times, values, seconds) => {
    if (seconds <= 1) return values;
    let mean = null, before = 0;
    return values.map((value, i) => {
      if (value === null || value === undefined) { mean = null; return null; }
      const weight = 1 - Math.exp(-(times[i] - before) / seconds);
      mean = mean === null ? value : mean + weight * (value - mean);
      before = times[i];
      return mean;
    });
  };

  isocline.Plots = class {
    constructor() {
      const at = (id) => document.getElementById(id);
      const sync = "live";
      this.smoothing = 10;
      this.memory = new Map();
      this.price = isocline.chart(at("plot-price"), { label: "Marginal prices", unit: "s", log: true, range: positive, series: [], sync, height: 330 });
      this.latency = isocline.chart(at("plot-latency"), {
        label: "Latency", unit: "s", sync,
        series: [
          { name: "99 %", colour: "--tier-5" }, { name: "90 %", colour: "--tier-2" },
          { name: "median", colour: "--tier-1" }, { name: "mean", colour: "--muted", dash: [4, 4] },
        ],
      });
      this.gap = isocline.chart(at("plot-gap"), {
        label: "Parts of the mean latency", unit: "s", stacked: true, sync,
        series: PARTS.map(([name, colour]) => ({ name, colour, width: 1 })),
      });
      this.rate = isocline.chart(at("plot-rate"), {
        label: "Requests and errors", unit: "/s", sync,
        series: [
          { name: "requests", colour: "--tier-1", fill: true }, { name: "failed", colour: "--bad", dash: [2, 2] },
          { name: "status 5xx", colour: "--tier-2", dash: [7, 3] }, { name: "retries", colour: "--tier-4" },
        ],
      });
      this.queue = isocline.chart(at("plot-queue"), {
        label: "Jobs and queues", unit: "", sync,
        series: [{ name: "at backends", colour: "--tier-1", fill: true }, { name: "held at frontends", colour: "--tier-5", dash: [7, 3] }],
      });
      this.jobs = isocline.chart(at("plot-jobs"), { label: "Workloads", unit: "", series: [], sync });
    }

    /** Draw the frames of a window. `fleet` has names, tiers and prices of the optimum. */
    draw(frames, window, fleet) {
      const last = frames.at(-1)?.time ?? Date.now() / 1e3;
      const shown = frames.filter((it) => it.time >= last - window);
      // A router that has just started has a shorter history.
      const range = [Math.max(last - window, Math.min(shown[0]?.time ?? last, last - 60)), last];
      const { times, rows } = withGaps(shown);
      const column = (read) => rows.map((it) => (it ? read(it) ?? null : null));
      this.latency.set([times, ...[3, 2, 1, 0].map((k) => column((it) => it.latency[k]))], range);
      // From the bottom up, the unavoidable part first.
      this.gap.set([times, ...PARTS.map((_, k) => column((it) => it.gap && it.gap[k + 1]))], range);
      this.rate.set([times, column((it) => it.rate), column((it) => it.failed), column((it) => it.errors), column((it) => it.retries)], range);
      this.queue.set([times, column((it) => it.in_flight), column((it) => it.waiting)], range);
      this.lines(this.price, "price", times, rows, range, fleet, this.smoothing);
      this.lines(this.jobs, "jobs", times, rows, range, fleet, 1);
    }

    lines(chart, key, times, rows, range, fleet, seconds) {
      const series = [], data = [times];
      const few = fleet.names.length <= MOST_LINES;
      const line = (b) => smoothed(times, rows.map((it) => (it ? it[key][it.index.get(fleet.names[b])] ?? null : null)), seconds);
      if (few) {
        const seen = new Map();
        fleet.names.forEach((name, b) => {
          const tier = fleet.tiers.of[b] ?? null;
          const rank = seen.get(tier) ?? 0;
          seen.set(tier, rank + 1);
          const number = tier === null ? "" : ` (tier ${tier + 1})`;
          series.push({ name: `${name}${number}`, colour: isocline.tierToken(tier, b, fleet.tiers), width: name === fleet.chosen ? 4 : 1.6, dash: DASHES[rank % DASHES.length] });
          data.push(line(b));
        });
      } else {
        const found = this.quantiles(key, times, rows, fleet, seconds);
        found.tiers.forEach((tier, n) => {
          const what = tier === null ? (fleet.tiers.prices.length ? "not needed" : "all") : `tier ${tier + 1}`;
          SHARES.forEach((share, k) => {
            const median = share === 0.5;
            const name = median ? `${what}, median` : `${what}, ${share * 100} %`;
            series.push({ name, colour: isocline.tierToken(tier, 0, fleet.tiers), dash: median ? undefined : [2, 3], width: median ? 2.2 : 1.2 });
            data.push(found.rows.map((it) => it && it[n * SHARES.length + k]));
          });
        });
        const b = fleet.names.indexOf(fleet.chosen);
        if (b >= 0) {
          series.push({ name: fleet.chosen, colour: "--ink", width: 3 });
          data.push(line(b));
        }
      }
      if (key === "price") {
        fleet.tiers.prices.forEach((price, tier) => {
          series.push({ name: `optimum of tier ${tier + 1}`, colour: isocline.tierToken(tier, 0, fleet.tiers), dash: [10, 6], width: 1.2 });
          data.push(times.map(() => price));
        });
      }
      const text = JSON.stringify(series);
      const changed = text !== chart.drawn;
      chart.drawn = text;
      if (changed) chart.legend(series.length <= (globalThis.innerWidth < 640 ? 6 : 12));
      chart.set(data, range, changed ? series : undefined);
    }

    /** Quantiles over the backends of each tier, computed once per frame. */
    quantiles(key, times, rows, fleet, seconds) {
      const text = JSON.stringify([fleet.names, fleet.tiers.of, seconds]);
      let memory = this.memory.get(key);
      if (memory?.text !== text) {
        const groups = new Map();
        fleet.names.forEach((_, b) => {
          const tier = fleet.tiers.of[b] ?? null;
          groups.set(tier, [...(groups.get(tier) ?? []), b]);
        });
        const order = [...groups].sort(([a], [b]) => (a ?? 99) - (b ?? 99));
        memory = { text, groups: order, seen: new WeakMap(), mean: new Float64Array(fleet.names.length).fill(NaN), before: 0 };
        this.memory.set(key, memory);
      }
      const { groups, seen, mean } = memory;
      const found = rows.map((frame, i) => {
        if (!frame) return null;
        const known = seen.get(frame);
        if (known) return known;
        const weight = seconds <= 1 ? 1 : 1 - Math.exp(-(times[i] - memory.before) / seconds);
        memory.before = times[i];
        fleet.names.forEach((name, b) => {
          const value = frame[key][frame.index.get(name)] ?? NaN;
          mean[b] = Number.isNaN(mean[b]) ? value : mean[b] + weight * (value - mean[b]);
        });
        const made = groups.flatMap(([, members]) => {
          const sorted = Float64Array.from(members, (b) => mean[b]).filter((it) => !Number.isNaN(it)).sort();
          return SHARES.map((share) => (sorted.length ? sorted[Math.min(Math.floor(share * sorted.length), sorted.length - 1)] : null));
        });
        seen.set(frame, made);
        return made;
      });
      return { tiers: groups.map(([tier]) => tier), rows: found };
    }
  };

  /** Times and frames, with a gap where the feed was silent for long. */
  const withGaps = (frames) => {
    const times = [], rows = [];
    frames.forEach((frame, i) => {
      const since = i ? frame.time - frames[i - 1].time : 0;
      if (since > 25) { times.push(frames[i - 1].time + 1); rows.push(null); }
      times.push(frame.time);
      rows.push(frame);
    });
    return { times, rows };
  };

  /** Colour of a tier; while there are no tiers, each backend has its own colour. */
  isocline.tierToken = (tier, b, tiers) => (tier === null && tiers.prices.length ? "--line-strong" : `--tier-${((tier ?? b) % 8) + 1}`);

  // Curves

  const SVG = "http://www.w3.org/2000/svg";
  const svg = (tag, attributes, text) => {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const W = 300, H = 172, LEFT = 40, BOTTOM = 20, TOP = 6;

  /** Picture and description of one curve. */
  isocline.curveFigure = (curve, tier) => {
    const figure = isocline.make("figure", { class: tier === null ? "tier-1" : `tier-${(tier % 8) + 1}` });
    const words = curve.learned
      ? `learned from ${isocline.number(curve.completions)} requests${curve.seen ? `, up to ${curve.seen} jobs at a time` : ""}`
      : "as given in the file";
    figure.append(isocline.make("figcaption", {}, isocline.make("b", {}, curve.name), isocline.make("span", { class: "muted" }, ` · ${words}`)));
    if (!curve.points.length) {
      figure.append(isocline.make("p", { class: "small muted" }, "No observations yet."));
      return figure;
    }
    const last = curve.points.at(-1)[0];
    const tops = curve.points.map(([, rate, , high]) => Math.min(high ?? rate, rate * 1.6));
    const most = Math.max(...tops, 1e-9) * 1.06;
    const x = (n) => LEFT + ((W - LEFT - 4) * n) / last;
    const y = (rate) => TOP + (H - TOP - BOTTOM) * (1 - Math.min(rate / most, 1));
    const at = ([n, rate]) => `${x(n).toFixed(1)},${y(rate).toFixed(1)}`;
    const known = curve.learned && curve.seen ? curve.seen : last;
    const said = `Service curve of ${curve.name}, ${words}: ` + [0.25, 0.5, 1].map((share) => {
      const [n, rate, low, high] = curve.points[Math.round(share * (curve.points.length - 1))];
      return `at ${isocline.number(n)} jobs ${isocline.number(rate)} per second` + (curve.learned ? `, between ${isocline.number(low)} and ${high === null ? "unknown" : isocline.number(high)}` : "");
    }).join("; ");
    const picture = svg("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": said });
    for (const share of [0, 0.5, 1]) {
      const rate = (most / 1.06) * share;
      picture.append(svg("line", { x1: LEFT, x2: W - 4, y1: y(rate), y2: y(rate), class: share ? "grid-line" : "axis" }));
      picture.append(svg("text", { x: LEFT - 5, y: y(rate) + 3.5, "text-anchor": "end" }, isocline.number(rate)));
      picture.append(svg("text", { x: x(last * share), y: H - 6, "text-anchor": share === 1 ? "end" : share ? "middle" : "start" }, `${isocline.number(last * share)}${share === 1 ? " jobs" : ""}`));
    }
    if (curve.learned) {
      const upper = curve.points.map(([n, rate, , high]) => at([n, high ?? most]));
      const lower = curve.points.map(([n, , low]) => at([n, low])).reverse();
      picture.append(svg("polygon", { points: [...upper, ...lower].join(" "), class: "band" }));
    }
    const inside = curve.points.filter(([n]) => n <= known), beyond = curve.points.filter(([n]) => n >= known * 0.98);
    picture.append(svg("polyline", { points: inside.map(at).join(" "), class: "line" }));
    if (known < last) picture.append(svg("polyline", { points: beyond.map(at).join(" "), class: "line beyond" }));
    if (curve.planned !== null && curve.planned <= last) {
      picture.append(svg("line", { x1: x(curve.planned), x2: x(curve.planned), y1: TOP, y2: H - BOTTOM, class: "planned" }));
    }
    picture.append(svg("circle", { cx: x(Math.min(curve.at[0], last)), cy: y(curve.at[1]), r: 5, class: "now" }));
    figure.append(picture);
    if (curve.capacity) {
      const [fitted, low, high] = curve.capacity;
      const text = fitted === null ? `capacity at least ${isocline.number(low)}/s; no bend observed yet` : `capacity ${isocline.number(fitted)}/s, between ${isocline.number(low)} and ${high === null ? "unknown" : isocline.number(high)}`;
      figure.append(isocline.make("p", { class: "small muted" }, text));
    }
    return figure;
  };
})();
