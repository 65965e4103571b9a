/* Live page of a run: progress, nodes, helpers, and a timeline of the nodes. */
"use strict";

(() => {
  const isocline = window.isocline;
  const { make, number, seconds, say } = isocline;
  const at = (id) => document.getElementById(id);
  const LEVELS = ["local", "rack", "remote"];
  const COLOURS = ["--tier-1", "--tier-2", "--tier-4"];
  const MOST_CELLS = 16; // nodes in the matrix
  const MOST_ROWS = 60; // nodes in the timeline
  const ROW = 18, LABELS = 92, AXIS = 20;
  const RECENT = 10; // s over which the busy share is shown
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const percent = (share) => (share === null || !Number.isFinite(share) ? "–" : `${Math.round(100 * share)} %`);
  const whole = (count) => count.toLocaleString("en-US");
  const plural = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;

  /** Waiting time in words. */
  const duration = (value) => {
    if (value === null || value === undefined) return "–";
    if (value < 90) return `${value < 10 ? +value.toPrecision(2) : Math.round(value)} s`;
    if (value < 5400) return `${Math.round(value / 60)} min`;
    return value < 172800 ? `${+(value / 3600).toPrecision(2)} h` : `${Math.round(value / 86400)} d`;
  };

  let layout = null;
  const live = new isocline.Live({
    whole: "the run", ended: ["idle", "the run has ended"], last: true, draw,
    useLayout(found) {
      layout = found;
      say("system", found.run || "Isocline run");
      at("policy").hidden = !found.policy;
      say("policy", found.policy);
      document.title = `${found.run || "Isocline run"} · live`;
    },
  });

  const busyCell = (row, element, state) => {
    if (!state.meter) {
      state.figure = make("span", { class: "num" });
      state.bars = LEVELS.map((_, k) => make("span", { class: `tier-${[1, 2, 4][k]}` }));
      state.meter = make("span", { class: "meter", "aria-hidden": "true" }, ...state.bars);
      element.append(make("span", { class: "busy" }, state.figure, state.meter));
    }
    const text = percent(row.busy);
    if (state.figure.textContent !== text) state.figure.textContent = text;
    state.bars.forEach((bar, k) => { bar.style.width = `${(100 * row.shares[k]).toFixed(1)}%`; });
  };
  const taskCell = (key) => (row, element) => {
    const text = row[key];
    if (element.textContent === text) return;
    element.textContent = text;
    element.title = text;
  };
  const share = (k) => ({
    title: `${LEVELS[k][0].toUpperCase()}${LEVELS[k].slice(1)}`, key: LEVELS[k], number: true,
    sort: (row) => row.done[k], text: (row) => (row.total ? percent(row.done[k] / row.total) : "–"),
  });
  const nodes = new isocline.Table(at("nodes"), {
    caption: "Nodes", sort: ["name", false], more: at("nodes-more"), noun: "nodes",
    columns: [
      { title: "Node", key: "name", sort: (row) => row.name, text: (row) => row.name },
      {
        title: "State", key: "state", sort: (row) => Object.keys(isocline.BADGES).indexOf(row.state),
        cell(row, element, state) {
          if (state.word === row.state) return;
          state.word = row.state;
          element.replaceChildren(isocline.badge(row.state));
          element.title = row.state === "down" ? row.reason : "";
        },
      },
      { title: "Rack", key: "rack", sort: (row) => row.rack, text: (row) => row.rack },
      { title: "Now", key: "now", class: "task", cell: taskCell("now") },
      { title: "For", key: "since", number: true, sort: (row) => row.since, text: (row) => seconds(row.since) },
      { title: "Next", key: "next", class: "task", cell: taskCell("next") },
      { title: `Busy, ${RECENT} s`, key: "busy", sort: (row) => row.busy, cell: busyCell },
      { title: "Done", key: "done", number: true, sort: (row) => row.total, text: (row) => whole(row.total) },
      share(0), share(1), share(2),
      { title: "Waiting", key: "waiting", number: true, sort: (row) => row.waiting, text: (row) => whole(row.waiting) },
      { title: "Failed", key: "failed", number: true, sort: (row) => row.failed, text: (row) => whole(row.failed) },
    ],
  });
  const helped = new isocline.Table(at("helped"), {
    caption: "Who helps whom", sort: ["tasks", true], more: at("helped-more"), noun: "pairs",
    columns: [
      { title: "Helper", key: "from", sort: (row) => row.from, text: (row) => row.from },
      { title: "Ran tasks of", key: "to", sort: (row) => row.to, text: (row) => row.to },
      { title: "Tasks", key: "tasks", number: true, sort: (row) => row.tasks, text: (row) => number(row.tasks) },
    ],
  });
  const sync = "run";
  const rate = isocline.chart(at("plot-rate"), {
    label: "Tasks that end", unit: "/s", sync,
    series: [{ name: "ended", colour: "--tier-1", fill: true }, { name: "failed", colour: "--tier-5", dash: [4, 3] }],
  });
  const queue = isocline.chart(at("plot-queue"), {
    label: "At nodes and waiting", unit: "", sync,
    series: [{ name: "at nodes", colour: "--tier-1", fill: true }, { name: "waiting", colour: "--tier-2", dash: [7, 3] }],
  });

  function draw() {
    const { frames, latest } = live;
    if (!layout) return;
    const last = frames.at(-1)?.time ?? Date.now() / 1e3;
    const shown = frames.filter((it) => it.time >= last - live.span);
    const range = [Math.max(last - live.span, Math.min(shown[0]?.time ?? last, last - 60)), last];
    const column = (key) => shown.map((it) => it[key] ?? null);
    rate.set([column("time"), column("rate"), column("failing")], range);
    queue.set([column("time"), column("running"), column("waiting")], range);
    drawTimeline(shown, range);
    if (!latest || latest.version !== layout.version) return;
    drawStats(latest);
    drawNodes(latest);
    drawHelped(latest);
    drawExplanation(latest);
  }

  const STATES = { finished: "finished", failed: "finished, with failures", stopped: "stopped" };

  function drawStats(frame) {
    const { total, state } = frame;
    const ended = frame.finished + frame.failed + frame.cancelled;
    at("main").dataset.state = state;
    at("progress-card").hidden = total === null;
    if (total) {
      const width = (id, count) => { at(id).style.width = `${(100 * Math.min(count / total, 1)).toFixed(2)}%`; };
      width("progress-done", frame.finished);
      width("progress-failed", frame.failed + frame.cancelled);
      width("progress-running", frame.running);
      at("progress").setAttribute("aria-valuenow", String(Math.floor((100 * Math.min(ended, total)) / total)));
      at("progress").setAttribute("aria-valuetext", `${whole(ended)} of ${plural(total, "task")}`);
    }
    const so = STATES[state] ?? "under way";
    say("progress-note", `${whole(ended)} of ${plural(total ?? 0, "task")} · ${so} · ${duration(frame.elapsed)} so far`);
    say("stat-done", whole(frame.finished));
    say("note-done", [total === null ? "total not known" : `of ${whole(total)}`, frame.resumed ? `${whole(frame.resumed)} from the journal` : ""].filter(Boolean).join(", "));
    say("stat-rate", number(frame.mean_rate));
    say("note-rate", `over the last minute; ${number(frame.rate)} in the last interval`);
    if (state !== "running") {
      say("stat-left", STATES[state].split(",")[0]);
      say("note-left", `after ${duration(frame.elapsed)}`);
    } else if (frame.left) {
      const [low, middle, high] = frame.left;
      say("stat-left", `≈ ${duration(middle)}`);
      say("note-left", `${duration(low)} to ${high === null ? "much longer" : duration(high)}, in 19 of 20 cases, at the pace of the last minute`);
    } else {
      say("stat-left", "–");
      say("note-left", total === null ? "total not known" : "too early to say");
    }
    say("stat-running", whole(frame.running));
    const up = frame.nodes.filter((it) => it.state !== "down").length;
    const busy = frame.nodes.filter((it) => it.tasks.length).length;
    const next = sum(frame.nodes.map((it) => Math.max(it.tasks.length - 1, 0)));
    say("note-running", `${busy} of ${plural(up, "node")} busy${next ? `, ${whole(next)} next there` : ""}${frame.copies ? `; copies of slow tasks: ${whole(frame.copies)}` : ""}`);
    say("stat-waiting", whole(frame.waiting));
    let longest = -1;
    frame.nodes.forEach((it, n) => { if (it.waiting > (frame.nodes[longest]?.waiting ?? 0)) longest = n; });
    say("note-waiting", longest < 0 ? "no queue" : `most at ${layout.names[longest]}: ${whole(frame.nodes[longest].waiting)}`);
    say("stat-failed", whole(frame.failed));
    say("note-failed", frame.cancelled ? `${whole(frame.cancelled)} cancelled` : `${plural(sum(frame.nodes.map((it) => it.failed)), "attempt")} failed or lost`);
    const returned = sum(frame.levels);
    say("stat-local", percent(returned ? frame.levels[0] / returned : null));
    say("note-local", returned ? `rack ${percent(frame.levels[1] / returned)}, remote ${percent(frame.levels[2] / returned)}` : "nothing has ended yet");
    warn(frame, up);
  }

  function warn(frame, up) {
    const found = [];
    if (frame.state === "running" && !up) found.push("No node is up.");
    if (frame.unplaceable) found.push(`${plural(frame.unplaceable, "task")} cannot run: no node is up that holds the data.`);
    if (frame.missed) found.push(`${plural(frame.missed, "attempt")} ended unrecorded: figures by node do not include them.`);
    const text = found.join("\n");
    if (at("warnings").dataset.text === text) return;
    at("warnings").dataset.text = text;
    at("warnings").replaceChildren(...found.map((it) => make("p", { class: "callout warn" }, it)));
  }

  function drawNodes(frame) {
    const recent = live.frames.filter((it) => it.time > frame.time - RECENT);
    nodes.draw(frame.nodes.map((it, n) => {
      const name = layout.names[n];
      const found = recent.map((one) => one.busy[one.index.get(name)]).filter(Boolean);
      const shares = LEVELS.map((_, k) => (found.length ? sum(found.map((one) => one[k])) / found.length : 0));
      const [first, second] = it.tasks;
      const said = (task) => (task ? `${task[0]} (${task[3] ? "copy, " : ""}${LEVELS[task[1]]})` : "");
      return {
        id: name, name, state: it.state, reason: it.reason, rack: layout.racks[n] ?? "–",
        now: said(first) || "–", since: first ? first[2] : null, next: said(second) || "–",
        busy: Math.min(sum(shares), 1), shares, done: it.done, total: sum(it.done), waiting: it.waiting, failed: it.failed,
      };
    }));
    const down = frame.nodes.filter((it) => it.state === "down").length;
    say("nodes-note", `${plural(frame.nodes.length, "node")}${down ? `, ${down} down` : ""}; a waiting task counts at each node that holds its data, unless the policy binds it to one`);
  }

  function drawHelped(frame) {
    const { names } = layout;
    const pairs = frame.helped.map(([h, b, tasks]) => ({ id: `${h} ${b}`, h, b, from: names[h], to: names[b], tasks }));
    helped.draw(pairs);
    const most = Math.max(...pairs.map((it) => it.tasks), 1);
    const text = JSON.stringify([names, frame.helped]);
    const fits = names.length <= MOST_CELLS;
    at("matrix-wrap").hidden = !fits || !pairs.length;
    say("helped-note", pairs.length ? (fits ? "Rows ran tasks whose data the columns hold." : "Too many nodes for a matrix; see the list.") : "Every task ran where its data is, so far.");
    if (at("matrix").dataset.text === text || !fits) return;
    at("matrix").dataset.text = text;
    const tasks = new Map(pairs.map((it) => [it.id, it.tasks]));
    const head = make("tr", {}, make("th", { scope: "col" }, "helper ↓ of →"), ...names.map((name) => make("th", { scope: "col" }, name)));
    const rows = names.map((name, h) => make("tr", {}, make("th", { scope: "row" }, name), ...names.map((_, b) => {
      const count = tasks.get(`${h} ${b}`);
      const cell = make("td", { class: h === b ? "self" : count ? "given" : "" }, h === b ? "·" : count ? number(count) : "");
      if (count) cell.style.setProperty("--share", `${Math.round(20 + (80 * count) / most)}%`);
      return cell;
    })));
    at("matrix").replaceChildren(make("caption", { class: "visually-hidden" }, "Tasks by helper and by the node that holds their data"), make("thead", {}, head), make("tbody", {}, ...rows));
  }

  function drawExplanation(frame) {
    const text = frame.explanation.join("\n");
    if (at("explanation").dataset.text === text) return;
    at("explanation").dataset.text = text;
    at("explanation").replaceChildren(...frame.explanation.map((it) => make("li", {}, it)));
    at("explanation-note").hidden = frame.explanation.length > 0;
  }

  /** One row per node: the share of each interval in which it ran tasks, by level. */
  function drawTimeline(shown, [first, last]) {
    const canvas = at("timeline");
    const names = layout.names.slice(0, MOST_ROWS);
    const width = canvas.clientWidth;
    if (!width) return;
    const height = names.length * ROW + AXIS;
    const scale = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
      canvas.style.height = `${height}px`;
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    const colours = COLOURS.map((it) => isocline.colour(it));
    const [ink, muted, line, bad, surface] = ["--ink", "--muted", "--line", "--bad", "--surface"].map((it) => isocline.colour(it));
    const x = (time) => LABELS + ((width - LABELS) * (time - first)) / Math.max(last - first, 1e-9);
    names.forEach((name, n) => {
      const y = n * ROW;
      pen.fillStyle = ink;
      let text = name;
      while (text.length > 2 && pen.measureText(text).width > LABELS - 8) text = text.slice(0, -1);
      pen.fillText(text === name ? name : `${text.slice(0, -1)}…`, 0, y + ROW / 2);
      pen.fillStyle = line;
      pen.fillRect(LABELS, y + ROW - 1, width - LABELS, 1);
      shown.forEach((frame, i) => {
        const column = frame.index.get(name);
        const shares = frame.busy[column];
        if (!shares) return;
        const before = shown[i - 1]?.time ?? frame.time - 1;
        const left = x(Math.max(before, first)), right = x(frame.time);
        let low = y + ROW - 1;
        shares.forEach((it, k) => {
          const tall = Math.min(it, 1) * (ROW - 4);
          pen.fillStyle = colours[k];
          pen.fillRect(left, low - tall, Math.max(right - left, 0.5) + 0.3, tall);
          low -= tall;
        });
      });
      shown.forEach((frame) => { // on top of all bars
        if (!frame.broken[frame.index.get(name)]) return;
        const right = Math.min(Math.max(x(frame.time), LABELS + 14), width);
        pen.fillStyle = surface;
        pen.fillRect(right - 14, y + 2, 14, ROW - 4);
        pen.fillStyle = bad;
        pen.fillText("✕", right - 12, y + ROW / 2);
      });
    });
    pen.fillStyle = muted;
    const steps = Math.max(Math.floor((width - LABELS) / 110), 1);
    for (let k = 0; k <= steps; k++) {
      const time = first + ((last - first) * k) / steps;
      pen.textAlign = k === 0 ? "left" : k === steps ? "right" : "center";
      pen.fillText(isocline.clock(time), x(time), height - AXIS / 2 + 2);
    }
    pen.textAlign = "left";
    const newest = shown.at(-1);
    const busy = newest ? names.map((name) => `${name} ${percent(sum(newest.busy[newest.index.get(name)] ?? [0]))}`).slice(0, 8) : [];
    canvas.setAttribute("aria-label", `Timeline: share of time that nodes ran tasks. In the last interval: ${busy.join(", ")}`);
    say("timeline-note", `The height of a bar is the share of an interval in which the node ran tasks.${layout.names.length > MOST_ROWS ? ` The first ${MOST_ROWS} of ${layout.names.length} nodes.` : ""}`);
  }

  document.addEventListener("isocline:theme", () => live.draw());
  new ResizeObserver(() => live.schedule()).observe(at("timeline").parentElement);
  live.follow();
})();
