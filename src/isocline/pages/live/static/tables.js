/* Tables of live pages: sorted by any column, updated in place, and cut to the first rows. */
"use strict";

(() => {
  const isocline = window.isocline;
  const NAMES = new Intl.Collator(undefined, { numeric: true }); // made once: 500 names are sorted each second
  const FIRST = 50; // rows shown until the reader asks for all: 500 rows of ten cells take 10 ms each second

  isocline.BADGES = {
    up: ["ok", "up"], full: ["warn", "full"], draining: ["warn", "draining"], silent: ["warn", "silent"],
    ejected: ["bad", "ejected"], down: ["bad", "down"],
  };
  isocline.badge = (state) => {
    const [tone, word] = isocline.BADGES[state] ?? ["", state];
    return isocline.make("span", { class: `badge ${tone}` }, word);
  };

  /** Table of `columns`: {title, key, number, cell(row, element), sort(row)}; rows have an `id`. */
  isocline.Table = class {
    constructor(element, { caption, columns, sort, more, noun = "rows" }) {
      this.element = element;
      this.columns = columns;
      this.more = more;
      this.noun = noun;
      this.sorted = sort;
      this.all = false;
      this.rows = new Map();
      this.body = isocline.make("tbody");
      this.build(caption);
    }

    build(caption) {
      this.caption = caption;
      this.heads = this.columns.map((column) => {
        const button = isocline.make("button", { type: "button", class: "sort" }, column.title);
        button.addEventListener("click", () => {
          const down = this.sorted[0] === column.key ? !this.sorted[1] : Boolean(column.number);
          this.sorted = [column.key, down];
          this.draw(this.data ?? []);
        });
        return isocline.make("th", { scope: "col", class: column.number ? "num" : false }, column.sort ? button : column.title);
      });
      this.element.replaceChildren(
        isocline.make("caption", { class: "visually-hidden" }, caption),
        isocline.make("thead", {}, isocline.make("tr", {}, ...this.heads)),
        this.body,
      );
    }

    /** Replace the columns, for instance when controls are added. */
    setColumns(columns) {
      this.columns = columns;
      this.rows.clear();
      this.body.replaceChildren();
      this.build(this.caption);
      this.draw(this.data ?? []);
    }

    draw(data) {
      this.data = data;
      const [key, down] = this.sorted;
      const column = this.columns.find((it) => it.key === key);
      const value = (row) => column.sort(row);
      const order = (a, b) => {
        const x = value(a), y = value(b);
        if (x === y) return 0;
        if (x === null || x === undefined) return 1;
        if (y === null || y === undefined) return -1;
        return (typeof x === "string" ? NAMES.compare(x, y) : x - y) * (down ? -1 : 1);
      };
      const sorted = [...data].sort(order);
      const shown = this.all ? sorted : sorted.slice(0, FIRST);
      this.heads.forEach((head, k) => {
        if (this.columns[k].key === key) head.setAttribute("aria-sort", down ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
      const ids = new Set(shown.map((it) => it.id));
      for (const [id, row] of this.rows) {
        if (ids.has(id)) continue;
        row.element.remove();
        this.rows.delete(id);
      }
      // While the focus is in the table, rows are not reordered: key presses must not hit another row.
      const held = this.body.contains(document.activeElement);
      shown.forEach((item, k) => {
        let row = this.rows.get(item.id);
        if (!row) {
          const cells = this.columns.map((it, n) => isocline.make(n ? "td" : "th", { scope: n ? false : "row", class: [it.number && "num", it.class].filter(Boolean).join(" ") || false }));
          row = { element: isocline.make("tr", {}, ...cells), cells, said: [] };
          this.rows.set(item.id, row);
        }
        this.columns.forEach((it, n) => {
          if (it.text) {
            const text = it.text(item);
            if (row.said[n] !== text) row.cells[n].textContent = row.said[n] = text;
          } else it.cell(item, row.cells[n], row);
        });
        row.element.className = item.class ?? "";
        if (!row.element.isConnected || (!held && this.body.children[k] !== row.element)) this.body.insertBefore(row.element, this.body.children[k] ?? null);
      });
      this.footer(sorted.length, shown.length);
    }

    footer(count, shown) {
      if (!this.more) return;
      const text = `${count}:${shown}`;
      if (text === this.counted) return;
      this.counted = text;
      this.more.replaceChildren();
      if (count <= FIRST) return;
      const button = isocline.make("button", { type: "button", class: "button no-print" }, this.all ? `Show the first ${FIRST}` : `Show all ${count}`);
      button.addEventListener("click", () => {
        this.all = !this.all;
        this.counted = null;
        this.draw(this.data);
      });
      this.more.append(isocline.make("span", {}, `${shown} of ${count} ${this.noun}, in the order of the table.`), button);
    }
  };
})();
