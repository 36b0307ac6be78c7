// The table of what is found: only the rows in sight are there, fetched a page at a time.

import { get } from "./api.js";
import { $, clock, element, number, tag } from "./words.js";

const PAGE_ROWS = 100;
const MOST_PIXELS = 12_000_000; // of a scrolled element: browsers cut off higher ones

export class Grid {
  constructor(about, open) {
    this.about = about;
    this.open = open;
    this.question = { q: "", order: "" };
    this.total = 0;
    this.at = 0; // the row that is chosen, by its place
    this.pages = new Map();
    this.box = $("grid");
    this.box.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.box);
    this.head();
  }

  get rowHeight() { return matchMedia("(max-width: 820px)").matches ? 56 : 34; }

  async ask(change) {
    Object.assign(this.question, change);
    this.wait?.abort();
    const wait = (this.wait = new AbortController());
    try {
      const found = await get("/api/find", { ...this.question, offset: 0, limit: PAGE_ROWS }, wait.signal);
      this.pages = new Map([[0, found.rows]]);
      this.total = found.total;
      this.at = 0;
      this.box.scrollTop = 0;
      $("said").className = "";
      $("said").value = `${found.total.toLocaleString("en")} tracks, ${Math.round(found.ms)} ms`;
      this.head();
      this.draw();
    } catch (error) {
      if (error.name === "AbortError") return;
      $("said").className = "wrong";
      $("said").value = error.message;
    }
  }

  // Fetch all pages again, as labels have changed; the place stays.
  again() { this.pages.clear(); this.draw(); }

  // The class whose scores are shown: the one that the tracks are sorted by.
  get sortCode() {
    const code = this.question.order.split(" ")[0];
    return this.about.classes.some((one) => one.code === code) ? code : null;
  }

  get isLike() { return this.question.like !== undefined && this.question.like !== ""; }

  head() {
    const last = this.isLike ? "likeness" : this.sortCode ?? "";
    $("head").replaceChildren(element("span", {}, "track"), element("span", { class: "number" }, "length"),
      element("span", {}, "labels"), element("span", { class: "number" }, last));
  }

  draw() {
    const height = this.rowHeight;
    const seen = Math.ceil(this.box.clientHeight / height) + 2;
    const whole = Math.min(this.total * height, MOST_PIXELS);
    $("space").style.height = `${whole}px`;
    const room = Math.max(1, whole - this.box.clientHeight);
    const share = Math.min(1, this.box.scrollTop / room);
    const isScaled = this.total * height > MOST_PIXELS;
    const exact = isScaled ? share * Math.max(0, this.total - this.box.clientHeight / height) : this.box.scrollTop / height;
    const first = Math.max(0, Math.floor(exact));
    const rows = [];
    for (let k = first; k < Math.min(this.total, first + seen); k++) rows.push(this.row(k));
    $("rows").style.top = `${this.box.scrollTop - (exact - first) * height}px`;
    $("rows").replaceChildren(...rows);
    this.fetch(first, seen);
  }

  at_(k) { return this.pages.get(Math.floor(k / PAGE_ROWS))?.[k % PAGE_ROWS]; }

  row(k) {
    const one = this.at_(k);
    const isAt = k === this.at;
    const made = element("div", {
      class: `row${one?.status === "failed" ? " failed" : ""}`, role: "option", id: `row-${k}`,
      "aria-selected": isAt, "aria-posinset": k + 1, "aria-setsize": this.total,
      onclick: () => this.choose(k, true),
    });
    if (isAt) this.box.setAttribute("aria-activedescendant", made.id);
    if (!one) return made;
    const labels = one.labels.map((code) => tag(this.about, code, one.confirmed.includes(code) ? "by-person" : ""));
    const score = this.isLike ? one.similarity : one.scores?.[this.sortCode];
    made.append(element("span", { title: one.uri }, one.title, " ", element("small", {}, one.place)), element("span", { class: "number" }, clock(one.duration_s)),
      element("span", { class: "labels" }, ...(one.status === "failed" ? [`failed: ${one.reason}`] : labels)),
      element("span", { class: "number score" }, score === undefined || score === null ? "" : number(score)));
    return made;
  }

  async fetch(first, seen) {
    for (const page of new Set([Math.floor(first / PAGE_ROWS), Math.floor((first + seen) / PAGE_ROWS)])) {
      if (this.pages.has(page) || page * PAGE_ROWS >= this.total) continue;
      const pages = this.pages;
      pages.set(page, null);
      const found = await get("/api/find", { ...this.question, offset: page * PAGE_ROWS, limit: PAGE_ROWS }).catch(() => null);
      if (found === null) pages.delete(page);
      else pages.set(page, found.rows);
      if (pages === this.pages && found) this.draw();
    }
  }

  choose(k, isOpened = false) {
    if (!this.total) return;
    this.at = Math.max(0, Math.min(this.total - 1, k));
    this.reveal();
    this.draw();
    const one = this.at_(this.at);
    if (isOpened && one) this.open(one.n);
  }

  reveal() {
    const height = this.rowHeight;
    if (this.total * height > MOST_PIXELS) {
      const room = $("space").clientHeight - this.box.clientHeight;
      const span = Math.max(1, this.total - this.box.clientHeight / height);
      const first = (this.box.scrollTop / room) * span;
      if (this.at < first || this.at > first + this.box.clientHeight / height - 2)
        this.box.scrollTop = (Math.max(0, this.at - 3) / span) * room;
      return;
    }
    const top = this.at * height;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + height > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + height - this.box.clientHeight;
  }
}
