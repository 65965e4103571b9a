/* Controls for operators: drain, weight and share of a backend.

   They are shown only while the file allows them (api/controls), which a reload may change. The key is asked for once, and kept in a
   variable until the page is closed. */
"use strict";

(() => {
  const isocline = window.isocline;
  const PERIOD = 5000; // ms between two reads of the values in force
  const { make } = isocline;

  isocline.Controls = class {
    constructor({ changed, allowed }) {
      this.changed = changed;
      this.allowed = [];
      this.backends = new Map();
      this.key = null;
      this.waiting = null; // action to run once there is a key
      this.forms = new Map();
      this.form = document.getElementById("key-form");
      this.field = document.getElementById("key");
      this.noted = document.getElementById("control-note");
      this.form.addEventListener("submit", (event) => {
        event.preventDefault();
        this.key = this.field.value.trim() || null;
        this.field.value = "";
        this.form.hidden = this.key !== null;
        const action = this.waiting;
        this.waiting = null;
        if (this.key && action) action();
      });
      this.look(allowed);
      setInterval(() => { if (!document.hidden) this.look(allowed); }, PERIOD);
    }

    async look(changed) {
      const found = await this.read("api/controls");
      const before = this.allowed.join();
      if (found) this.allowed = found.allowed.filter((it) => ["drain", "weight", "max_share"].includes(it));
      if (this.allowed.length) await this.refresh();
      if (this.allowed.join() !== before) {
        this.forms.clear();
        this.form.hidden = true;
        changed();
      }
    }

    async read(path) {
      try {
        const answer = await fetch(path, { headers: { Accept: "application/json" } });
        return answer.ok ? await answer.json() : null;
      } catch {
        return null; // the stream shows that the router is unreachable
      }
    }

    async refresh() {
      const found = await this.read("api/backends");
      if (!found) return;
      this.backends = new Map(found.backends.map((it) => [it.name, it]));
      this.changed();
    }

    note(text) {
      this.noted.textContent = text;
    }

    async change(name, what, force = false) {
      if (!this.key) {
        this.waiting = () => this.change(name, what, force);
        this.form.hidden = false;
        this.field.focus();
        this.note("Give a key first; it is kept until this page is left.");
        return;
      }
      this.note(`${name}: asking…`);
      let answer, said;
      try {
        answer = await fetch(`api/backends/${encodeURIComponent(name)}`, {
          method: "PATCH",
          headers: { "Content-Type": "application/json", Authorization: `Bearer ${this.key}` },
          body: JSON.stringify(force ? { ...what, force: true } : what),
        });
        said = await answer.json();
      } catch {
        this.note(`${name}: the router did not answer.`);
        return;
      }
      if (answer.ok) {
        this.forms.get(name)?.forced(null);
        if (said.backend) this.backends.set(name, said.backend);
        const changed = Object.entries(said.changed ?? {}).map(([field, [, now]]) =>
          field === "draining" ? (now ? "drains" : "no longer drains") : `${field.replace("_", " ")} is ${now}`);
        this.note(`${name}: ${changed.join(", ") || "unchanged"}.`);
        this.changed();
        return;
      }
      this.note(answer.status === 401
        ? "The router does not know this key; give another one."
        : `${name}: ${said?.error?.message ?? answer.status}`);
      if (answer.status === 401) {
        this.key = null;
        this.waiting = () => this.change(name, what, force);
        this.form.hidden = false;
        this.field.focus();
      } else if (answer.status === 409) this.forms.get(name)?.forced(() => this.change(name, what, true));
    }

    /** Fill a table cell once, and keep it up to date. */
    cell(name, element) {
      let form = this.forms.get(name);
      if (form?.element !== element) {
        form = this.make(name, element);
        this.forms.set(name, form);
      }
      form.show(this.backends.get(name));
    }

    make(name, element) {
      const parts = make("span", { class: "row" });
      const can = (it) => this.allowed.includes(it);
      const drain = make("button", { type: "button", class: "button" }, "Drain");
      let forced = null, draining = false;
      drain.addEventListener("click", () => {
        if (forced) forced();
        else this.change(name, { draining: !draining });
      });
      if (can("drain")) parts.append(drain);
      const numbers = [];
      for (const [control, title] of [["weight", "Weight"], ["max_share", "Share"]]) {
        if (!can(control)) continue;
        const field = make("input", {
          class: "field num", type: "number", min: "0", step: "any", placeholder: title,
          max: control === "max_share" ? "1" : false, "aria-label": `${title} of ${name}`, title: control === "weight" ? "Weight; 1 is usual" : "Greatest share of a frontend's requests",
        });
        field.addEventListener("change", () => this.change(name, { [control]: field.value === "" ? null : Number(field.value) }));
        numbers.push([control, field]);
        const label = make("label", { class: "row small" }, title);
        label.append(field);
        parts.append(label);
      }
      element.replaceChildren(parts);
      return {
        element,
        forced(action) {
          forced = action;
          drain.classList.toggle("danger", action !== null);
          if (action) drain.textContent = "Drain all the same";
        },
        show(backend) {
          if (!backend) return;
          draining = backend.draining;
          if (!forced) {
            const text = draining ? "Undrain" : "Drain";
            if (drain.textContent !== text) drain.textContent = text;
            drain.setAttribute("aria-label", `${text} ${name}`);
          }
          for (const [control, field] of numbers) {
            if (document.activeElement !== field) field.value = backend[control] ?? "";
          }
        },
      };
    }
  };
})();
