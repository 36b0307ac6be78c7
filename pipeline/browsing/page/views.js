// What is worth a look, the map of likeness, and how right each class has been.

import { get } from "./api.js";
import { $, colour, element, fitted, nameOf, number, shown } from "./words.js";

const KINDS = {
  unsure: ["the least sure", "Scores next to their class's threshold, that nobody has judged yet."],
  random: ["labels at random", "Labels drawn at random: judged one after the other they estimate the class's precision."],
  few: ["classes with the fewest confirmed", "The highest scores of the classes of which the fewest labels are confirmed."],
  disagree: ["where models disagree", "Labels that only one of two models gave."],
};

export class Queue {
  constructor(about, open) {
    this.about = about;
    this.open = open;
    const kinds = Object.entries(KINDS).filter(([kind]) => kind !== "disagree" || about.models.length > 1);
    $("queue-kind").append(...kinds.map(([kind, [words]]) => element("option", { value: kind }, words)));
    $("queue-code").append(element("option", { value: "" }, "any class"), ...about.classes.map((one) => element("option", { value: one.code }, one.name)));
    $("queue-form").addEventListener("change", () => this.show());
  }

  async show() {
    const kind = $("queue-kind").value;
    $("queue-why").textContent = KINDS[kind][1];
    const found = await get("/api/queue", { kind, code: $("queue-code").value });
    this.found = found.rows;
    const rows = found.rows.map((one) => element("li", {}, element("button", { type: "button", onclick: () => this.open(one.n, one.code) },
      element("span", { title: one.uri }, one.title, " ", element("small", {}, one.place)), element("span", {}, nameOf(this.about, one.code)), element("span", {}, one.why))));
    $("queue-list").replaceChildren(...(rows.length ? rows : [element("li", {}, "Nothing is left to look at here.")]));
  }

  // What was just judged is offered no more: the list is asked for again, and what follows opens.
  async next(n, code) {
    const at = (this.found ?? []).findIndex((one) => one.n === n && one.code === code);
    await this.show();
    const one = at < 0 ? undefined : this.found[at];
    if (!one) return;
    this.open(one.n, one.code);
    $("queue-list").querySelectorAll("button")[at]?.focus();
  }

  focus(step) {
    const buttons = [...$("queue-list").querySelectorAll("button")];
    const at = buttons.indexOf(document.activeElement);
    buttons[Math.max(0, Math.min(buttons.length - 1, at + step))]?.focus();
  }
}

export class Likeness {
  constructor(about, open) {
    this.about = about;
    this.open = open;
    this.hidden = new Set();
    $("map-canvas").addEventListener("pointermove", (event) => this.tip(event));
    $("map-canvas").addEventListener("pointerleave", () => { $("map-tip").hidden = true; });
    $("map-canvas").addEventListener("click", (event) => { const k = this.nearest(event); if (k !== null) this.open(this.points.n[k]); });
    new ResizeObserver(() => this.points && this.draw()).observe($("map-box"));
  }

  async show() {
    this.points ??= await get("/api/map");
    const { n, total, explained, why } = this.points;
    $("map-words").textContent = why ?? `${n.length.toLocaleString("en")} of ${total.toLocaleString("en")} tracks by their embeddings, coloured by the label with the highest score: what lies together sounds alike to the model. Two axes hold ${Math.round(100 * explained)} % of the variance.`;
    const codes = [...new Set(this.points.code)].filter((code) => code !== null);
    $("map-legend").replaceChildren(...codes.map((code) => {
      const dot = element("span", { class: "dot" });
      dot.style.setProperty("--of-class", colour(this.about, code));
      return element("li", {}, element("button", { type: "button", "aria-pressed": !this.hidden.has(code), onclick: () => { this.hidden.has(code) ? this.hidden.delete(code) : this.hidden.add(code); this.show(); } }, dot, ` ${nameOf(this.about, code)}`));
    }));
    $("map-canvas").setAttribute("aria-label", `${n.length} tracks as points; ${codes.map((code) => `${this.points.code.filter((one) => one === code).length} ${nameOf(this.about, code)}`).join(", ")}`);
    this.draw();
  }

  place(k) {
    const canvas = $("map-canvas");
    return [(0.03 + 0.94 * this.points.x[k]) * canvas.clientWidth, (0.03 + 0.94 * this.points.y[k]) * canvas.clientHeight];
  }

  draw() {
    const canvas = $("map-canvas");
    const context = fitted(canvas);
    const scale = devicePixelRatio || 1;
    const radius = (this.points.n.length > 5000 ? 1.5 : 4) * scale;
    this.points.n.forEach((_, k) => {
      if (this.hidden.has(this.points.code[k])) return;
      const [x, y] = this.place(k);
      context.fillStyle = this.points.code[k] === null ? "#8a939e" : colour(this.about, this.points.code[k], 0.85);
      context.beginPath();
      context.arc(x * scale, y * scale, radius, 0, 7);
      context.fill();
    });
  }

  nearest(event) {
    let best = null;
    let least = 144; // within 12 pixels
    const box = $("map-canvas").getBoundingClientRect();
    for (let k = 0; k < this.points.n.length; k++) {
      if (this.hidden.has(this.points.code[k])) continue;
      const [x, y] = this.place(k);
      const far = (x - event.clientX + box.left) ** 2 + (y - event.clientY + box.top) ** 2;
      if (far < least) { least = far; best = k; }
    }
    return best;
  }

  tip(event) {
    const k = this.points ? this.nearest(event) : null;
    const tip = $("map-tip");
    tip.hidden = k === null;
    if (k === null) return;
    const [x, y] = this.place(k);
    tip.replaceChildren(shown(this.points.title[k]));
    tip.style.left = `${Math.min(x + 12, $("map-box").clientWidth * 0.6)}px`;
    tip.style.top = `${Math.max(0, y - 30)}px`;
  }
}

export async function showPrecision(about) {
  const found = await get("/api/precision");
  $("precision-rows").replaceChildren(...found.rows.map((one) => element("tr", {},
    element("td", {}, nameOf(about, one.code)), element("td", {}, one.n_labels.toLocaleString("en")), element("td", {}, one.n_judged), element("td", {}, one.n_right),
    element("td", {}, number(one.precision)), element("td", {}, one.precision === null ? "–" : `${number(one.low)} to ${number(one.high)}`))));
}
