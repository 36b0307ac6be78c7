// One track: its sound, its log-mel, where each class is heard, its labels and what people said.

import { audioAddress, get, getBytes, post } from "./api.js";
import { $, clock, colour, element, fitted, isDark, nameOf, number, shown } from "./words.js";

const LEAST_SHOWN = 0.1;
const MOST_LANES = 9;

export class Track {
  constructor(about, changed) {
    this.about = about;
    this.changed = changed;
    this.audio = $("audio");
    this.span = null;
    this.audio.addEventListener("timeupdate", () => this.drawCursor());
    this.audio.addEventListener("error", () => this.otherwise());
    $("close").addEventListener("click", () => this.close());
    $("undo").addEventListener("click", () => this.undo());
    $("add").addEventListener("submit", (event) => { event.preventDefault(); this.say($("add-code").value, "present"); });
    $("add-code").append(...about.classes.map((one) => element("option", { value: one.code }, one.name)));
    this.dragging();
    new ResizeObserver(() => this.now && this.drawAll()).observe($("picture"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.now && this.drawAll());
  }

  async open(n, { play = false, code = null } = {}) {
    const opening = (this.opening = {});
    const now = await get("/api/track", { n });
    if (opening !== this.opening) return;
    this.now = now;
    this.picture = null;
    this.code = code ?? now.labels[0] ?? this.lanes()[0] ?? null;
    this.setSpan(null);
    $("track").hidden = false;
    $("title").replaceChildren(shown(now.title));
    $("uri").replaceChildren(shown(now.uri));
    $("status").textContent = now.status === "ok" ? "" : `${now.reason}: ${now.detail ?? ""}`;
    this.isOpus = !now.plays;
    this.audio.hidden = $("picture").hidden = $("axis").hidden = now.status !== "ok";
    if (now.status === "ok") this.audio.src = audioAddress(n, this.isOpus);
    else this.audio.removeAttribute("src");
    this.drawAll();
    if (play && now.status === "ok") this.hear(this.code);
    if (now.status !== "ok") return;
    const picture = await getBytes("/api/logmel", { n }).catch((error) => { $("status").textContent = error.message; });
    if (opening !== this.opening || !picture) return;
    this.picture = picture;
    this.drawLogmel();
    if (!this.now.windows) await this.scoreNow(opening, now.intervals);
  }

  /** Take windows that were not kept, scored now; where there are none, the intervals that are given. */
  async scoreNow(opening, intervals) {
    const scored = await get("/api/windows", { n: this.now.n }).catch(() => null);
    if (opening !== this.opening) return;
    Object.assign(this.now, scored?.windows ? scored : { intervals });
    this.drawAll();
  }

  close() { this.opening = null; this.audio.pause(); $("track").hidden = true; this.now = null; $("grid").focus(); }

  otherwise() {
    if (!this.now || !this.audio.getAttribute("src")) return;
    if (this.isOpus) { $("status").textContent = "It cannot be played: the file is gone, or nothing decodes it."; return; }
    this.isOpus = true; // the browser has no decoder for it
    const wasAt = this.audio.currentTime;
    this.audio.src = audioAddress(this.now.n, true);
    this.audio.currentTime = wasAt;
  }

  lanes() {
    const now = this.now;
    const high = (code) => now.scores?.[code] ?? 0;
    const said = new Set([...now.labels, ...now.rejected]);
    const others = this.about.classes.map((one) => one.code).filter((code) => !said.has(code) && high(code) >= LEAST_SHOWN);
    return [...said, ...others].sort((a, b) => high(b) - high(a)).slice(0, MOST_LANES);
  }

  drawAll() { this.drawLogmel(); this.drawLanes(); this.drawLabels(); this.drawFacts(); this.drawCursor(); }

  get length() { return this.now?.duration_s || this.audio.duration || 1; }

  drawLogmel() {
    const canvas = $("logmel");
    const context = fitted(canvas);
    const heard = this.now.intervals.map((one) => `${nameOf(this.about, one.code)} from ${clock(one.start_s)} to ${clock(one.end_s)}`);
    canvas.setAttribute("aria-label", `Log-mel of the track over ${clock(this.length)}. ${heard.length ? heard.join(", ") : "No stretch of an instrument is kept."}`);
    if (!this.picture) return;
    const { height, width, bytes } = this.picture;
    const image = new ImageData(width, height);
    const [low, high] = isDark() ? [[22, 26, 30], [255, 214, 140]] : [[250, 251, 252], [11, 60, 120]];
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
      const value = bytes[(height - 1 - y) * width + x] / 255;
      const at = 4 * (y * width + x);
      for (let c = 0; c < 3; c++) image.data[at + c] = low[c] + (high[c] - low[c]) * value;
      image.data[at + 3] = 255;
    }
    const own = new OffscreenCanvas(width, height);
    own.getContext("2d").putImageData(image, 0, 0);
    context.imageSmoothingEnabled = true;
    context.drawImage(own, 0, 0, canvas.width, canvas.height);
  }

  drawLanes() {
    const lanes = this.now.status === "ok" ? this.lanes() : [];
    $("lanes").replaceChildren(...lanes.map((code, k) => this.lane(code, k)));
    for (const code of lanes) this.drawLane(code);
  }

  lane(code, k) {
    const heard = this.stretches(code).map(([from, to]) => `${clock(from)} to ${clock(to)}`).join(", ") || "nowhere for sure";
    return element("div", { class: "lane", role: "listitem" },
      element("button", { type: "button", "aria-current": code === this.code, title: `${k + 1}: hear it`, onclick: () => this.hear(code) }, `${k + 1} ${nameOf(this.about, code)}`),
      element("canvas", { id: `lane-${code}`, role: "img", "aria-label": `${nameOf(this.about, code)} is heard ${heard}`,
        onclick: (event) => { this.code = code; this.seek(this.timeAt(event)); this.audio.play().catch(() => {}); this.drawLanes(); } }),
      element("span", { class: "number" }, number(this.now.scores?.[code])));
  }

  drawLane(code) {
    const canvas = $(`lane-${code}`);
    const context = fitted(canvas);
    const across = canvas.width / this.length;
    const windows = this.now.windows;
    if (windows) {
      windows.start_s.forEach((start, k) => {
        const end = k + 1 < windows.start_s.length ? windows.start_s[k + 1] : windows.end_s[k];
        context.fillStyle = windows.is_active[k] ? colour(this.about, code, windows.scores[code][k]) : isDark() ? "#333a43" : "#d5d9de";
        context.fillRect(start * across, 0, Math.max(1, (end - start) * across), canvas.height);
      });
    }
    context.fillStyle = colour(this.about, code);
    for (const [from, to] of this.stretches(code)) context.fillRect(from * across, canvas.height - 4, Math.max(2, (to - from) * across), 4);
  }

  stretches(code) { return this.now.intervals.filter((one) => one.code === code).map((one) => [one.start_s, one.end_s]); }

  // Where a class plays best: its first stretch, or else its highest window.
  hear(code) {
    this.code = code;
    this.drawLanes();
    let at = this.stretches(code)[0]?.[0] ?? 0;
    const windows = this.now.windows;
    if (!this.stretches(code).length && windows && code) {
      const scores = windows.scores[code];
      at = windows.start_s[scores.indexOf(Math.max(...scores))] ?? 0;
    }
    this.seek(at);
    this.audio.play().catch(() => {}); // a browser may want a click first
  }

  seek(seconds) { this.audio.currentTime = Math.max(0, Math.min(this.length, seconds)); this.drawCursor(); }

  drawCursor() { $("cursor").style.left = `${(100 * this.audio.currentTime) / this.length}%`; }

  timeAt(event) {
    const box = event.currentTarget.getBoundingClientRect();
    return (this.length * Math.max(0, Math.min(box.width, event.clientX - box.left))) / box.width;
  }

  dragging() {
    const canvas = $("logmel");
    let from = null;
    canvas.addEventListener("pointerdown", (event) => { from = this.timeAt(event); canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", (event) => {
      const to = this.timeAt(event);
      if (from !== null && Math.abs(to - from) > this.length / 200) this.setSpan([Math.min(from, to), Math.max(from, to)]);
    });
    canvas.addEventListener("pointerup", (event) => {
      const to = this.timeAt(event);
      if (from !== null && Math.abs(to - from) <= this.length / 200) { this.setSpan(null); this.seek(to); this.audio.play().catch(() => {}); }
      else if (this.span) this.seek(this.span[0]);
      from = null;
    });
  }

  edge(side) {
    const at = this.audio.currentTime;
    const [from, to] = this.span ?? [0, this.length];
    this.setSpan(side === "[" ? [at, to > at ? to : this.length] : [from < at ? from : 0, Math.max(at, 0.01)]);
  }

  setSpan(span) {
    this.span = span;
    $("span").hidden = !span;
    const words = span ? `${clock(span[0])}–${clock(span[1])}` : "the track";
    $("add-to").textContent = words;
    $("span-words").textContent = span ? `What you say now holds from ${span[0].toFixed(1)} s to ${span[1].toFixed(1)} s.` : "What you say holds for the whole track; drag over the picture for a span.";
    if (!span) return;
    $("span").style.left = `${(100 * span[0]) / this.length}%`;
    $("span").style.width = `${(100 * (span[1] - span[0])) / this.length}%`;
  }

  drawLabels() {
    const now = this.now;
    const codes = [...new Set([...now.labels, ...now.rejected])];
    const button = (words, code, verdict, title) => element("button", { type: "button", title, "aria-label": `${words}: ${nameOf(this.about, code)}`, onclick: () => this.say(code, verdict) }, words);
    $("labels").replaceChildren(...codes.map((code) => {
      const isDenied = now.rejected.includes(code);
      const isConfirmed = now.confirmed.includes(code);
      const chip = element("span", { class: `tag ${isDenied ? "denied" : isConfirmed ? "by-person" : ""}` }, nameOf(this.about, code));
      chip.style.setProperty("--of-class", colour(this.about, code));
      return element("div", { class: "label", role: "listitem" }, chip,
        element("span", { class: "who" }, isDenied ? "a person: it is not there" : isConfirmed ? "a person's" : "the model's"),
        isConfirmed ? null : button(isDenied ? "it is there" : "confirm", code, "present", "It is there (y)"),
        isDenied ? null : button("remove", code, "absent", "It is not there (n)"));
    }));
    $("said-head").hidden = !now.corrections.length;
    $("history").replaceChildren(...now.corrections.map((one) => element("li", {},
      `${one.author}: ${nameOf(this.about, one.code)} is ${one.verdict}${one.start_s === null ? "" : ` from ${clock(one.start_s)} to ${clock(one.end_s)}`}, ${one.said_at.slice(0, 16).replace("T", " ")}`)));
  }

  drawFacts() {
    const facts = Object.entries(this.now.facts);
    $("facts").replaceChildren(...facts.flatMap(([key, value]) => [element("dt", {}, key), element("dd", {}, value === null ? "–" : typeof value === "number" ? String(Math.round(value * 1000) / 1000) : String(value))]));
  }

  async say(code, verdict) {
    if (!this.now || !code) return;
    const [start_s, end_s] = this.span ?? [null, null];
    await this.put("/api/correct", { n: this.now.n, code, verdict, start_s, end_s });
  }

  async undo() { await this.put("/api/undo", {}); }

  async put(path, value) {
    try {
      const now = await post(path, value);
      if (this.now && now.n === this.now.n) {
        const { windows, intervals, ...others } = now;
        Object.assign(this.now, windows ? now : others); // until they are scored again those of before stay
        this.drawAll();
        if (!windows) this.scoreNow(this.opening, intervals);
      }
      $("status").textContent = "";
      this.changed(value);
    } catch (error) { $("status").textContent = error.message; }
  }
}
