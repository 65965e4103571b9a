/* Live page of a router: shows the frames and events of the stream. */
"use strict";

(() => {
  const isocline = window.isocline;
  const { make, number, seconds, say } = isocline;
  const at = (id) => document.getElementById(id);
  const CURVES = 6;
  const CURVES_PERIOD = 5000; // ms

  const fleet = { layout: null, names: [], tiers: { of: [], prices: [] }, chosen: null };

  const graph = new isocline.Graph(at("graph"), { note: (text) => say("graph-note", text), choose });
  const plots = new isocline.Plots();
  const live = new isocline.Live({
    whole: "router", ended: ["bad", "the router has ended"], useLayout, draw,
    pausing(paused) {
      graph.setMoving(!paused);
      if (!paused) loadCurves();
    },
  });
  const schedule = () => live.schedule();

  // Tables

  /** Cell with a number of jobs, and a meter in which the optimum is marked. */
  const workCell = (row, element, state) => {
    if (!state.meter) {
      state.figure = make("span", { class: "num" });
      state.bar = make("span");
      state.aim = make("i", { title: "optimum", hidden: true });
      state.meter = make("span", { class: "meter", "aria-hidden": "true" }, state.bar, state.aim);
      element.append(make("span", { class: "work" }, state.figure, state.meter));
    }
    const text = number(row.jobs);
    if (state.figure.textContent !== text) state.figure.textContent = text;
    state.bar.style.width = `${(100 * Math.min((row.jobs ?? 0) / row.most, 1)).toFixed(1)}%`;
    state.aim.hidden = row.aim === null;
    if (row.aim !== null) state.aim.style.left = `${(100 * Math.min(row.aim / row.most, 1)).toFixed(1)}%`;
  };

  const columns = (controls) => [
    {
      title: "Backend", key: "name", sort: (row) => row.name,
      cell(row, element, state) {
        const title = row.trip === null ? row.url : `${row.url}, round trip ${seconds(row.trip)}`;
        if (state.name && state.name.title !== title) state.name.title = title;
        if (state.name) return;
        state.name = make("button", { type: "button", class: "choose", title }, row.name);
        state.name.addEventListener("click", () => choose(row.name));
        element.append(state.name);
      },
    },
    {
      title: "State", key: "state", sort: (row) => Object.keys(isocline.BADGES).indexOf(row.state),
      cell(row, element, state) {
        if (state.word === row.state) return;
        state.word = row.state;
        element.replaceChildren(isocline.badge(row.state));
      },
    },
    {
      title: "Tier", key: "tier", sort: (row) => row.tier,
      cell(row, element, state) {
        if (state.tier === row.tier) return;
        state.tier = row.tier;
        element.replaceChildren(row.tier === null ? "–" : tierBadge(row.tier));
      },
    },
    { title: "Requests/s", key: "rate", number: true, sort: (row) => row.rate, text: (row) => number(row.rate) },
    { title: "Jobs there", key: "jobs", sort: (row) => row.jobs, cell: workCell },
    { title: "Price", key: "price", number: true, sort: (row) => row.price, text: (row) => seconds(row.price) },
    { title: "Mean", key: "mean", number: true, sort: (row) => row.mean, text: (row) => seconds(row.mean) },
    { title: "99 %", key: "p99", number: true, sort: (row) => row.p99, text: (row) => seconds(row.p99) },
    { title: "Failed/s", key: "failed", number: true, sort: (row) => row.failed, text: (row) => number(row.failed) },
    { title: "Curve", key: "error", number: true, sort: (row) => row.error, text: (row) => (row.error === null ? "given" : `± ${number(row.error * 100)} %`) },
    ...(controls ? [{ title: "Controls", key: "controls", class: "control", cell: (row, element) => controls.cell(row.name, element) }] : []),
  ];
  const backends = new isocline.Table(at("backends"), { caption: "Backends", columns: columns(null), sort: ["name", false], more: at("backends-more"), noun: "backends" });
  const frontends = new isocline.Table(at("frontends"), {
    caption: "Frontends", sort: ["name", false],
    columns: [
      { title: "Frontend", key: "name", sort: (row) => row.name, text: (row) => row.name },
      { title: "Requests/s", key: "rate", number: true, sort: (row) => row.rate, text: (row) => number(row.rate) },
      { title: "Waiting", key: "waiting", number: true, sort: (row) => row.waiting, text: (row) => String(row.waiting) },
      { title: "Mean", key: "mean", number: true, sort: (row) => row.latency[0], text: (row) => seconds(row.latency[0]) },
      { title: "Median", key: "p50", number: true, sort: (row) => row.latency[1], text: (row) => seconds(row.latency[1]) },
      { title: "99 %", key: "p99", number: true, sort: (row) => row.latency[2], text: (row) => seconds(row.latency[2]) },
      { title: "Failed/s", key: "failed", number: true, sort: (row) => row.failed, text: (row) => number(row.failed) },
      { title: "Backends", key: "backends", number: true, sort: (row) => row.backends, text: (row) => String(row.backends) },
    ],
  });
  const flows = new isocline.Table(at("flows"), {
    caption: "Flows", sort: ["rate", true],
    columns: [
      { title: "Frontend", key: "from", sort: (row) => row.from, text: (row) => row.from },
      { title: "Backend", key: "to", sort: (row) => row.to, text: (row) => row.to },
      { title: "Requests/s", key: "rate", number: true, sort: (row) => row.rate, text: (row) => number(row.rate) },
    ],
  });
  at("flows").closest("details").addEventListener("toggle", schedule);
  at("filter").addEventListener("input", schedule);

  const controls = new isocline.Controls({
    changed: schedule,
    allowed: () => { backends.setColumns(columns(controls.allowed.length ? controls : null)); schedule(); },
  });

  function tierBadge(tier) {
    return make("span", { class: `badge tier tier-${(tier % 8) + 1}` }, String(tier + 1));
  }

  function choose(name) {
    fleet.chosen = fleet.chosen === name ? null : name;
    graph.setChosen(fleet.chosen);
    loadCurves();
    schedule();
  }

  // Receiving

  function useLayout(layout) {
    const before = fleet.layout;
    fleet.layout = layout;
    fleet.names = layout.backends;
    if (before && JSON.stringify(before.backends) !== JSON.stringify(layout.backends)) fleet.tiers = { of: [], prices: [] };
    say("system", layout.system || "Isocline");
    at("policy").hidden = !layout.policy;
    say("policy", layout.policy);
    document.title = `${layout.system || "Isocline"} · live`;
    graph.setLayout(layout);
  }

  function useTiers({ tiers }) {
    if (!tiers.length) return; // keep the last tiers until an account has some
    const of = fleet.names.map(() => null);
    tiers.forEach((tier, n) => { for (const b of tier.backends) of[b] = n; });
    const prices = tiers.map((it) => it.price);
    if (JSON.stringify([of, prices]) === JSON.stringify([fleet.tiers.of, fleet.tiers.prices])) return;
    fleet.tiers = { of, prices };
    at("tiers").replaceChildren(...tiers.slice(0, 8).map((tier, n) => make("li", {}, make("span", { class: `swatch tier-${(n % 8) + 1}` }), `tier ${n + 1}: ${seconds(tier.price)}`)));
  }

  // Drawing

  function draw() {
    if (!fleet.layout) return;
    const { latest } = live;
    if (latest && latest.version === fleet.layout.version) {
      useTiers(latest.optimality);
      graph.setFrame(latest, fleet.tiers);
      drawStats(latest);
      drawTables(latest);
    }
    plots.draw(live.frames, live.span, fleet);
  }

  function drawStats(frame) {
    const { optimality: account, backends: columns } = frame;
    const [mean, median, , high] = frame.latency;
    say("stat-rate", number(frame.rate));
    say("note-rate", `${number(frame.router.clients)} client connections`);
    say("stat-latency", seconds(mean));
    const [token] = frame.first_token;
    say("note-latency", `median ${seconds(median)}, 99 % ${seconds(high)}${token === null ? "" : `, first token ${seconds(token)}`}`);
    say("stat-flight", number(frame.in_flight));
    say("note-flight", `${number(frame.waiting)} more held at frontends`);
    say("stat-failed", number(frame.failed));
    const reasons = Object.entries(frame.router.reasons).sort((a, b) => b[1] - a[1]);
    say("note-failed", reasons.length ? `most: ${reasons[0][0].replaceAll("_", " ")}` : `${number(frame.retries)} retries/s`);
    const states = columns.state;
    const up = states.filter((it) => it === "up" || it === "full").length;
    say("stat-up", `${up} of ${states.length}`);
    const out = ["down", "ejected", "draining"].map((it) => [it, states.filter((state) => state === it).length]).filter(([, n]) => n);
    say("note-up", out.map(([it, n]) => `${n} ${it}`).join(", ") || `${frame.router.workers} ${frame.router.workers === 1 ? "worker" : "workers"}`);
    say("stat-gap", account.gap === null ? "–" : `× ${number(account.gap)}`);
    say("note-gap", account.gap === null ? account.why_not : "mean latency over the least possible");
    const [low, top] = [account.capacity_scale_low, account.capacity_scale_high];
    say("stat-scale", account.capacity_scale ? `× ${number(account.capacity_scale)}` : low ? `× ${number(low)} +` : "–");
    say("note-scale", low && top ? `between ${number(low)} and ${number(top)}` : account.gap === null ? "no account yet" : low ? "from the observed part of curves" : "until no policy keeps up");
    say("gap-note", account.gap === null ? "" : `of ${number(account.served)} requests in ${number(account.window)} s`);
    const missing = account.missing_edges.filter((it) => it.saves > 0.01 * (account.latency ?? Infinity))
      .map((it) => `An edge from ${it.frontend} to ${it.backend} would save ${seconds(it.saves)} of the mean latency.`);
    const notes = [...account.notes, ...missing];
    if (at("gap-notes").dataset.text !== notes.join("\n")) {
      at("gap-notes").dataset.text = notes.join("\n");
      at("gap-notes").replaceChildren(...notes.map((it) => make("li", {}, it)));
    }
    warn(frame, states);
  }

  function warn(frame, states) {
    const found = [];
    if (frame.router.draining >= frame.router.workers) found.push("The router accepts no new requests.");
    fleet.layout.edges.forEach((edges, f) => {
      if (edges.length && edges.every((b) => states[b] === "down" || states[b] === "draining")) found.push(`Frontend ${fleet.layout.frontends[f]}: none of its backends is up.`);
    });
    const text = found.join("\n");
    if (at("warnings").dataset.text === text) return;
    at("warnings").dataset.text = text;
    at("warnings").replaceChildren(...found.map((it) => make("p", { class: "callout bad" }, it)));
  }

  function drawTables(frame) {
    const { layout } = fleet;
    const { backends: columns, optimality: account } = frame;
    const largest = Math.max(4, ...frame.jobs.map((it) => it ?? 0), ...account.jobs.map((it) => it ?? 0)) * 1.1;
    const wanted = at("filter").value.trim().toLowerCase();
    const rows = layout.backends.map((name, b) => ({
      id: name, name, url: layout.urls[b], state: columns.state[b], tier: fleet.tiers.of[b] ?? null,
      rate: columns.rate[b], jobs: frame.jobs[b], aim: account.jobs[b], most: columns.limit[b] ?? largest,
      price: frame.price[b], mean: columns.latency[b][0], p99: columns.latency[b][2], failed: columns.failed[b],
      error: columns.error[b], trip: columns.round_trip[b], class: name === fleet.chosen ? "chosen" : "",
    }));
    backends.draw(wanted ? rows.filter((it) => it.name.toLowerCase().includes(wanted) || it.state.includes(wanted)) : rows);
    frontends.draw(layout.frontends.map((name, f) => ({
      id: name, name, rate: frame.frontends.rate[f], waiting: frame.frontends.waiting[f], failed: frame.frontends.failed[f],
      latency: frame.frontends.latency[f], backends: layout.edges[f].length,
    })));
    if (at("flows").closest("details").open) {
      flows.draw(frame.flows.map(([f, b, rate]) => ({ id: `${f} ${b}`, from: layout.frontends[f], to: layout.backends[b], rate })));
    }
  }

  // Curves are fetched on demand: those of 500 backends would be most of the stream.

  async function loadCurves() {
    if (!fleet.layout || document.hidden || live.paused) return;
    const rest = fleet.names.filter((it) => it !== fleet.chosen);
    const names = fleet.chosen && fleet.names.includes(fleet.chosen) ? [fleet.chosen, ...rest] : rest;
    const shown = names.slice(0, CURVES);
    if (!shown.length) return;
    try {
      const answer = await fetch(`curves?${new URLSearchParams(shown.map((it) => ["backend", it]))}`);
      if (!answer.ok) return;
      const { curves } = await answer.json();
      if (live.paused) return;
      at("curves").replaceChildren(...curves.map((it) => isocline.curveFigure(it, fleet.tiers.of[fleet.names.indexOf(it.name)] ?? null)));
      say("curves-note", names.length > CURVES ? `${shown.length} of ${names.length} backends; choose one in the table, or in the picture, to see its curve first.` : "The dot is the workload of now, the dotted line that of the optimum.");
    } catch {
      // the stream says that the router is away
    }
  }
  setInterval(loadCurves, CURVES_PERIOD);

  // Controls of the page

  live.choices("smooth", (value) => { plots.smoothing = value; });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) loadCurves(); });
  const first = setInterval(() => {
    if (!live.latest) return;
    clearInterval(first);
    loadCurves();
  }, 200);
  live.follow();
})();
