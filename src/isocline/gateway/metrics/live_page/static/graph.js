/* Compatibility graph: frontends on the left, backends on the right; widths are flows, colours tiers.

   Up to 40 backends have a box each; beyond that, each tier is a field of tiles. Edges and names are
   SVG, drawn once a frame; requests in transit are dots on a canvas, drawn 60 times a second while the
   graph is visible. */
"use strict";

(() => {
  const isocline = window.isocline;
  const SVG = "http://www.w3.org/2000/svg";
  const MOST_BOXES = 40;
  const MOST_FRONTENDS = 24;
  const MOST_TIERS = 8; // fields; the last one has the eighth and all further tiers
  const MOST_DOTS = 180;
  const TILE = 13;
  const CROSSING = 1.5; // s
  const MARKS = { up: "", full: "■", draining: "▲", ejected: "✕", down: "✕" };

  const svg = (tag, attributes = {}, ...content) => {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...content);
    return made;
  };
  const set = (element, name, value) => {
    if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
  };
  const say = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };
  const fitted = (text, width, size) => {
    const most = Math.max(Math.floor(width / (size * 0.58)), 3);
    return text.length > most ? `${text.slice(0, most - 1)}…` : text;
  };
  /** Point on the curve from (x0, y0) to (x1, y1) that is horizontal at both ends. */
  const along = (edge, share) => {
    const rest = 1 - share;
    const middle = (edge.x0 + edge.x1) / 2;
    const a = rest * rest * rest, b = 3 * rest * rest * share, c = 3 * rest * share * share, d = share * share * share;
    return [a * edge.x0 + (b + c) * middle + d * edge.x1, (a + b) * edge.y0 + (c + d) * edge.y1];
  };
  const path = (edge) => {
    const middle = (edge.x0 + edge.x1) / 2;
    return `M${edge.x0} ${edge.y0}C${middle} ${edge.y0} ${middle} ${edge.y1} ${edge.x1} ${edge.y1}`;
  };

  isocline.Graph = class {
    constructor(element, { note, choose }) {
      this.element = element;
      this.note = note;
      this.choose = choose;
      this.layout = null;
      this.frame = null;
      this.flows = new Map();
      this.moving = true;
      this.inView = true;
      this.dots = [];
      this.picture = svg("svg", { role: "img" });
      this.canvas = isocline.make("canvas", { "aria-hidden": "true" });
      this.tip = isocline.make("div", { class: "tip", "aria-hidden": "true", hidden: true });
      element.replaceChildren(this.picture, this.canvas, this.tip);
      this.calm = matchMedia("(prefers-reduced-motion: reduce)");
      new IntersectionObserver((seen) => {
        this.inView = seen.at(-1).isIntersecting;
        this.animate();
      }).observe(element);
      let width = 0;
      new ResizeObserver(() => {
        if (element.clientWidth === width) return;
        width = element.clientWidth;
        this.build();
      }).observe(element);
      document.addEventListener("isocline:theme", () => this.recolour());
      document.addEventListener("visibilitychange", () => this.animate());
      element.addEventListener("pointermove", (event) => this.point(event));
      element.addEventListener("pointerleave", () => { this.tip.hidden = true; });
      element.addEventListener("click", (event) => {
        const found = this.at(event);
        if (found !== null) this.choose(this.layout.backends[found]);
      });
    }

    setLayout(layout) {
      this.layout = layout;
      this.flows.clear();
      this.tiers = null;
      this.frame = null;
      this.build();
    }

    setMoving(moving) {
      this.moving = moving;
      this.animate();
    }

    setChosen(name) {
      this.chosen = name;
      for (const node of this.nodes ?? []) node.group.classList.toggle("chosen", this.layout.backends[node.b] === name);
      this.drawTiles();
    }

    /** Take the figures of a frame; flows are averaged over a few frames. */
    setFrame(frame, tiers) {
      this.frame = frame;
      const kept = 0.72;
      for (const [key, flow] of this.flows) this.flows.set(key, flow * kept);
      for (const [f, b, flow] of frame.flows) {
        const key = f * 65536 + b;
        this.flows.set(key, (this.flows.get(key) ?? 0) + flow * (1 - kept));
      }
      const text = JSON.stringify(tiers.of);
      if (text !== this.tiers) {
        this.tiers = text;
        this.tier = tiers.of;
        this.tiered = tiers.prices.length > 0;
        this.build();
      } else this.draw();
    }

    // Geometry

    build() {
      const { layout, element } = this;
      const width = element.clientWidth;
      if (!layout || width < 200) return; // not laid out yet
      this.tier ??= [];
      this.tier.length = layout.backends.length;
      this.narrow = width < 520;
      const many = layout.backends.length > MOST_BOXES;
      this.many = many;
      const order = layout.backends.map((_, b) => b).sort((a, b) => (this.tier[a] ?? 99) - (this.tier[b] ?? 99) || a - b);
      const side = this.narrow ? 88 : 128;
      const targets = many ? this.groups(order, width, side) : this.boxes(order, width);
      const shown = layout.frontends.slice(0, MOST_FRONTENDS);
      const height = Math.max(targets.height, shown.length * 44, 150);
      const lift = (height - targets.height) / 2;
      for (const target of targets.list) target.y += lift;
      const step = height / shown.length;
      const size = Math.min(step - 8, many ? 92 : 74);
      this.frontends = shown.map((name, f) => ({ f, name, x: 1, y: step * (f + 0.5) - size / 2, w: side, h: size }));
      this.targets = targets.list;
      this.edges = [];
      const reached = new Map();
      for (const from of this.frontends) {
        const mine = new Set(layout.edges[from.f]);
        for (const to of this.targets) {
          const backends = to.backends.filter((b) => mine.has(b));
          if (backends.length) this.edges.push({ from, to, backends });
          if (backends.length) reached.set(to, (reached.get(to) ?? 0) + 1);
        }
      }
      const outOf = new Map(), into = new Map();
      const count = (map, key) => { const n = map.get(key) ?? 0; map.set(key, n + 1); return n; };
      const degree = new Map();
      for (const edge of this.edges) count(degree, edge.from);
      for (const edge of this.edges) {
        const k = count(outOf, edge.from), j = count(into, edge.to);
        edge.x0 = edge.from.x + edge.from.w;
        edge.y0 = edge.from.y + (edge.from.h * (k + 0.5)) / degree.get(edge.from);
        edge.x1 = edge.to.x;
        edge.y1 = edge.to.y + (edge.to.h * (j + 0.5)) / reached.get(edge.to);
      }
      this.height = height;
      set(this.picture, "viewBox", `0 0 ${width} ${height}`);
      this.picture.style.height = `${height}px`;
      this.paint(width, height);
      const more = layout.frontends.length - shown.length;
      const sign = many ? "Each tile is a backend, fuller with more jobs; ✕ is out of service, ▲ is draining." : "The filling shows jobs at a backend; ▲ below it marks its workload at the optimum.";
      this.note(`Widths are requests/s. ${sign}${more > 0 ? ` ${more} more frontends are in the table below.` : ""}`);
      this.draw();
      this.animate();
    }

    boxes(order, width) {
      const w = this.narrow ? 128 : 196;
      const h = order.length > 16 ? 24 : 36;
      let y = 2, last = null;
      const list = order.map((b) => {
        const tier = this.tier[b] ?? null;
        if (last !== null && tier !== last[0]) y += 12;
        last = [tier];
        const box = { backends: [b], tier, x: width - w - 1, y, w, h };
        y += h + (h > 30 ? 8 : 4);
        return box;
      });
      return { list, height: y };
    }

    groups(order, width, side) {
      const x = side + Math.max(width * 0.16, 46);
      const w = width - x - 1;
      const columns = Math.max(Math.floor((w - 12) / TILE), 1);
      const groups = new Map();
      for (const b of order) {
        const tier = this.tier[b] === null || this.tier[b] === undefined ? null : Math.min(this.tier[b], MOST_TIERS - 1);
        if (!groups.has(tier)) groups.set(tier, []);
        groups.get(tier).push(b);
      }
      let y = 2;
      const list = [...groups].map(([tier, backends]) => {
        const h = Math.ceil(backends.length / columns) * TILE + 32;
        const group = { backends, tier, columns, x, y, w, h };
        y += h + 12;
        return group;
      });
      return { list, height: y };
    }

    // Drawing

    /** Create all elements of the picture; `draw` only updates them. */
    paint(width, height) {
      this.picture.replaceChildren();
      const lines = svg("g"), boxes = svg("g");
      for (const edge of this.edges) {
        edge.line = svg("path", { d: path(edge), class: `edge ${this.tierClass(edge.to.tier)}` });
        lines.append(edge.line);
      }
      for (const it of this.frontends) {
        it.label = svg("text", { x: it.x + 10, y: it.y + it.h / 2 - 3, class: "name" });
        it.label.textContent = fitted(it.name, it.w - 16, 12.5);
        it.label.append(svg("title", {}, it.name));
        it.figure = svg("text", { x: it.x + 10, y: it.y + it.h / 2 + 13, class: "figure" });
        boxes.append(svg("g", { class: "node frontend" }, svg("rect", { x: it.x, y: it.y, width: it.w, height: it.h, rx: 8, class: "box" }), it.label, it.figure));
      }
      this.nodes = [];
      for (const it of this.targets) boxes.append(this.many ? this.field(it) : this.node(it));
      this.picture.append(lines, boxes);
      this.canvas.remove();
      this.tiles?.remove();
      this.tiles = null;
      if (this.many) {
        this.tiles = isocline.make("canvas", { class: "tiles", "aria-hidden": "true" });
        this.element.append(this.tiles);
      }
      this.element.append(this.canvas);
      const ratio = Math.min(window.devicePixelRatio || 1, 2);
      for (const canvas of [this.canvas, this.tiles]) {
        if (!canvas) continue;
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
        canvas.style.height = `${height}px`;
        canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
      }
      this.dots = [];
      this.recolour();
    }

    node(it) {
      const [b] = it.backends;
      const group = svg("g", { class: `node ${this.tierClass(it.tier)}${it.tier === null ? "" : " tiered"}` });
      const large = it.h > 30;
      const middle = it.y + it.h / 2;
      const node = {
        b, group,
        load: svg("rect", { x: it.x, y: it.y, width: 0, height: it.h, rx: 7, class: "load" }),
        aim: svg("path", { d: "", class: "aim" }),
        mark: svg("text", { x: it.x + it.w - 9, y: large ? middle - 3 : middle + 4, class: "mark", "text-anchor": "end" }),
        rank: svg("text", { x: it.x + it.w - 9, y: middle + 12, class: "figure", "text-anchor": "end" }),
        figure: svg("text", large ? { x: it.x + 10, y: middle + 12, class: "figure" } : { x: it.x + it.w - 26, y: middle + 4, class: "figure", "text-anchor": "end" }),
        box: it,
      };
      const name = svg("text", { x: it.x + 10, y: large ? middle - 3 : middle + 4, class: "name" });
      name.textContent = fitted(this.layout.backends[b], large ? it.w - 34 : it.w * 0.42, 12.5);
      name.append(svg("title", {}, this.layout.backends[b]));
      group.append(svg("rect", { x: it.x, y: it.y, width: it.w, height: it.h, rx: 8, class: "box" }), node.load, node.aim, name, node.figure, node.mark);
      if (large && it.tier !== null) {
        node.rank.textContent = `T${it.tier + 1}`;
        group.append(node.rank);
      }
      this.nodes.push(node);
      group.classList.toggle("chosen", this.layout.backends[b] === this.chosen);
      return group;
    }

    field(it) {
      it.label = svg("text", { x: it.x + 8, y: it.y + 17, class: "name" });
      return svg("g", { class: `node ${this.tierClass(it.tier)}${it.tier === null ? "" : " tiered"}` },
        svg("rect", { x: it.x, y: it.y, width: it.w, height: it.h, rx: 8, class: "box" }), it.label);
    }

    draw() {
      const { frame, layout } = this;
      if (!layout || !this.edges) return;
      for (const edge of this.edges) {
        edge.flow = edge.backends.reduce((sum, b) => sum + (this.flows.get(edge.from.f * 65536 + b) ?? 0), 0);
      }
      const most = Math.max(...this.edges.map((it) => it.flow), 1e-9);
      const widest = this.many ? 34 : 15;
      for (const edge of this.edges) {
        edge.width = edge.flow < 0.004 * most ? 1 : Math.max((widest * edge.flow) / most, 1.4);
        set(edge.line, "stroke-width", edge.width.toFixed(1));
        const states = frame ? edge.backends.map((b) => frame.backends.state[b]) : [];
        const off = states.length > 0 && states.every((it) => it === "down" || it === "ejected" || it === "draining");
        edge.line.classList.toggle("quiet", edge.width === 1);
        edge.line.classList.toggle("off", off && edge.width === 1);
      }
      if (!frame) return;
      for (const it of this.frontends) {
        const waiting = frame.frontends.waiting[it.f];
        say(it.figure, `${isocline.number(frame.frontends.rate[it.f])}/s${waiting ? ` · ${waiting} wait` : ""}`);
      }
      const { state, rate, limit } = frame.backends;
      const aims = frame.optimality.jobs;
      const largest = Math.max(...frame.jobs.map((it) => it ?? 0), ...aims.map((it) => it ?? 0), 4);
      this.share = (b) => Math.min((frame.jobs[b] ?? 0) / (limit[b] ?? largest * 1.1), 1);
      for (const node of this.nodes) {
        const { b, box } = node;
        node.group.setAttribute("class", `node ${this.tierClass(box.tier)}${box.tier === null ? "" : " tiered"} state-${state[b]}${layout.backends[b] === this.chosen ? " chosen" : ""}`);
        set(node.load, "width", (this.share(b) * box.w).toFixed(1));
        const aim = aims[b];
        const x = box.x + Math.min((aim ?? 0) / (limit[b] ?? largest * 1.1), 1) * box.w;
        const y = box.y + box.h;
        set(node.aim, "d", aim === null ? "" : `M${x.toFixed(1)} ${y - 5}l4.5 9h-9z`);
        const jobs = `${isocline.number(frame.jobs[b])} jobs`;
        say(node.figure, box.h > 30 ? (state[b] === "up" ? `${isocline.number(rate[b])}/s · ${jobs}` : `${state[b]} · ${jobs}`) : this.narrow ? "" : `${isocline.number(rate[b])}/s`);
        say(node.mark, MARKS[state[b]] || (box.h > 30 || box.tier === null ? "" : `T${box.tier + 1}`));
      }
      if (this.many) {
        for (const it of this.targets) {
          const jobs = it.backends.reduce((sum, b) => sum + (frame.jobs[b] ?? 0), 0);
          const out = it.backends.filter((b) => state[b] === "down" || state[b] === "ejected").length;
          const none = this.tiered ? "Not needed at the optimum" : "Backends";
          const what = it.tier === null ? none : it.tier === MOST_TIERS - 1 ? `Tier ${MOST_TIERS} and further` : `Tier ${it.tier + 1}`;
          const text = `${what}: ${it.backends.length}, ${isocline.number(jobs)} jobs${out ? `, ${out} out` : ""}`;
          say(it.label, fitted(text, it.w - 16, 12.5));
        }
        this.drawTiles();
      }
      set(this.picture, "aria-label", `Compatibility graph: ${layout.frontends.length} frontends, ${layout.backends.length} backends, ${isocline.number(frame.rate)} requests per second. The table below has all flows.`);
    }

    drawTiles() {
      if (!this.tiles || !this.frame || !this.share) return;
      const context = this.tiles.getContext("2d");
      context.clearRect(0, 0, this.element.clientWidth, this.height);
      const { state } = this.frame.backends;
      const size = TILE - 3;
      for (const it of this.targets) {
        const colour = this.colours[it.tier === null ? 0 : 1 + (it.tier % 8)];
        it.backends.forEach((b, k) => {
          const [x, y] = this.tileAt(it, k);
          const out = state[b] === "down" || state[b] === "ejected";
          context.globalAlpha = out ? 1 : 0.16 + 0.84 * this.share(b);
          context.fillStyle = out ? this.colours[10] : state[b] === "draining" ? this.colours[9] : colour;
          if (out) {
            context.lineWidth = 2;
            context.strokeStyle = this.colours[10];
            context.beginPath();
            context.moveTo(x + 1, y + 1); context.lineTo(x + size - 1, y + size - 1);
            context.moveTo(x + size - 1, y + 1); context.lineTo(x + 1, y + size - 1);
            context.stroke();
          } else if (state[b] === "draining") {
            context.beginPath();
            context.moveTo(x + size / 2, y); context.lineTo(x + size, y + size); context.lineTo(x, y + size);
            context.fill();
          } else context.fillRect(x, y, size, size);
          context.globalAlpha = 1;
          if (state[b] === "full" || this.layout.backends[b] === this.chosen) {
            context.lineWidth = 1.5;
            context.strokeStyle = this.colours[11];
            context.strokeRect(x - 0.5, y - 0.5, size + 1, size + 1);
          }
        });
      }
    }

    tileAt(group, k) {
      return [group.x + 8 + (k % group.columns) * TILE, group.y + 26 + Math.floor(k / group.columns) * TILE];
    }

    tierClass(tier) {
      return tier === null || tier === undefined ? "" : `tier-${(tier % 8) + 1}`;
    }

    recolour() {
      const tokens = ["--line-strong", ...[1, 2, 3, 4, 5, 6, 7, 8].map((n) => `--tier-${n}`), "--warn", "--bad", "--ink"];
      this.colours = tokens.map((it) => isocline.colour(it));
      this.drawTiles();
    }

    // Requests in transit

    animate() {
      const runs = this.moving && this.inView && !this.calm.matches && !document.hidden && this.edges;
      if (!runs) {
        if (this.request) cancelAnimationFrame(this.request);
        this.request = null;
        if (this.canvas.width) this.canvas.getContext("2d").clearRect(0, 0, this.element.clientWidth, this.height ?? 0);
      } else if (!this.request) {
        this.last = performance.now();
        this.request = requestAnimationFrame((now) => this.step(now));
      }
    }

    step(now) {
      const passed = Math.min((now - this.last) / 1e3, 0.1);
      this.last = now;
      const context = this.canvas.getContext("2d");
      context.clearRect(0, 0, this.element.clientWidth, this.height);
      const total = this.edges.reduce((sum, it) => sum + (it.flow ?? 0), 0);
      // In fast flows, one dot stands for several requests.
      const scale = total > 0 ? Math.min(1, MOST_DOTS / CROSSING / total) : 0;
      for (const edge of this.edges) {
        edge.due = (edge.due ?? Math.random()) + (edge.flow ?? 0) * scale * passed;
        while (edge.due >= 1) {
          edge.due -= 1;
          this.dots.push({ edge, at: 0, off: (Math.random() - 0.5) * Math.max(edge.width - 3, 0) });
        }
      }
      let kept = 0;
      for (const dot of this.dots) {
        dot.at += passed / CROSSING;
        if (dot.at >= 1) continue;
        this.dots[kept++] = dot;
        const [x, y] = along(dot.edge, dot.at);
        const tier = dot.edge.to.tier;
        context.fillStyle = this.colours[tier === null ? 0 : 1 + (tier % 8)];
        context.beginPath();
        context.arc(x, y + dot.off, 2.3, 0, 6.3);
        context.fill();
      }
      this.dots.length = kept;
      this.request = requestAnimationFrame((next) => this.step(next));
    }

    // The pointer

    at(event) {
      if (!this.targets || !this.layout) return null;
      const bounds = this.element.getBoundingClientRect();
      const x = event.clientX - bounds.left, y = event.clientY - bounds.top;
      for (const it of this.targets) {
        if (x < it.x || x > it.x + it.w || y < it.y || y > it.y + it.h) continue;
        if (!this.many) return it.backends[0];
        const column = Math.floor((x - it.x - 8) / TILE), row = Math.floor((y - it.y - 26) / TILE);
        if (column < 0 || column >= it.columns || row < 0) return null;
        return it.backends[row * it.columns + column] ?? null;
      }
      return null;
    }

    point(event) {
      const b = this.at(event);
      this.tip.hidden = b === null || !this.frame;
      if (this.tip.hidden) return;
      const { backends, jobs, price } = this.frame;
      const [mean, , high] = backends.latency[b];
      this.tip.replaceChildren(
        isocline.make("strong", {}, this.layout.backends[b]), isocline.make("br"),
        `${backends.state[b]} · ${isocline.number(backends.rate[b])}/s · ${isocline.number(jobs[b])} jobs`, isocline.make("br"),
        `mean ${isocline.seconds(mean)}, 99 % within ${isocline.seconds(high)}`, isocline.make("br"),
        `price ${isocline.seconds(price[b])}`,
      );
      const bounds = this.element.getBoundingClientRect();
      const x = event.clientX - bounds.left, y = event.clientY - bounds.top;
      this.tip.style.left = `${Math.max(Math.min(x + 14, bounds.width - this.tip.offsetWidth - 4), 0)}px`;
      this.tip.style.top = `${y + 16}px`;
    }
  };
})();
