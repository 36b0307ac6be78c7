// The page: which view is shown, what is chosen, and the keys.

import { get } from "./api.js";
import { Grid } from "./grid.js";
import { Track } from "./track.js";
import { Likeness, Queue, showPrecision } from "./views.js";
import { $, element, nameOf, shown } from "./words.js";

const about = await get("/api/about");
let view = "tracks";

const track = new Track(about, (said) => {
  grid.again();
  if (view === "precision") showPrecision(about);
  if (view === "queue") said.verdict && said.start_s === null ? queue.next(said.n, said.code) : queue.show();
});
const open = (n, code = null) => track.open(n, { play: code !== null, code });
const grid = new Grid(about, (n) => track.open(n));
const queue = new Queue(about, open);
const map = new Likeness(about, (n) => track.open(n));

function show(name) {
  view = name;
  for (const one of document.querySelectorAll(".view")) one.hidden = one.id !== name;
  for (const one of document.querySelectorAll("nav [data-view]")) one.setAttribute("aria-pressed", one.dataset.view === name);
  if (name === "queue") queue.show();
  if (name === "map") map.show();
  if (name === "precision") showPrecision(about);
}

function like(values, words) {
  show("tracks");
  $("like").hidden = !words;
  $("like").replaceChildren(...(words ? [shown(`Like ${words} `), element("button", { type: "button", onclick: () => like({ like: "", from: "", to: "" }, "") }, "all tracks again")] : []));
  $("order").disabled = Boolean(words);
  grid.ask(values);
}

function alike() {
  if (!track.now) return;
  const [from, to] = track.span ?? ["", ""];
  like({ like: track.now.n, from, to }, track.now.title + (track.span ? `, ${track.span[0].toFixed(1)} to ${track.span[1].toFixed(1)} s` : ""));
}

const keys = {
  "/": () => { show("tracks"); $("query").focus(); $("query").select(); },
  ArrowDown: () => step(1), j: () => step(1), ArrowUp: () => step(-1), k: () => step(-1),
  PageDown: () => step(10), PageUp: () => step(-10),
  Enter: () => { const one = grid.at_(grid.at); if (view === "tracks" && one) track.open(one.n, { play: true }); },
  " ": () => { if (track.now) track.audio.paused ? track.audio.play().catch(() => {}) : track.audio.pause(); },
  ArrowLeft: () => track.now && track.seek(track.audio.currentTime - 5),
  ArrowRight: () => track.now && track.seek(track.audio.currentTime + 5),
  y: () => track.say(track.code, "present"), n: () => track.say(track.code, "absent"),
  "[": () => track.now && track.edge("["), "]": () => track.now && track.edge("]"),
  u: () => track.undo(), l: alike, "?": () => $("help").showModal(),
  Escape: () => (track.span ? track.setSpan(null) : track.now && track.close()),
};

function step(by) {
  if (view === "queue") queue.focus(by);
  else if (view === "tracks") grid.choose(grid.at + by, Boolean(track.now));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
  const at = event.target;
  if (at.id === "query" && event.key === "Enter") { event.preventDefault(); $("grid").focus(); return; }
  if (at.id === "query" && event.key === "ArrowDown") { event.preventDefault(); $("grid").focus(); return; }
  if (event.key === "Escape" && at.matches("input, select")) { at.blur(); return; }
  if (at.matches("input, select, audio, summary")) return;
  if (at.matches("button") && (event.key === "Enter" || event.key === " ")) return;
  const lane = /^[1-9]$/.test(event.key) && track.now ? track.lanes()[Number(event.key) - 1] : undefined;
  if (lane) { event.preventDefault(); track.hear(lane); return; }
  const act = keys[event.key];
  if (act) { event.preventDefault(); act(); }
});

let typed;
$("query").addEventListener("input", () => {
  clearTimeout(typed);
  typed = setTimeout(() => { grid.ask({ q: $("query").value }); remember(); }, 60);
});
$("order").append(element("option", { value: "" }, "name"), element("option", { value: "duration desc" }, "length, longest first"),
  element("option", { value: "tagged_at desc" }, "time of tagging, newest first"),
  ...about.classes.map((one) => element("option", { value: `${one.code} desc` }, `score: ${one.name}`)));
$("order").addEventListener("change", () => grid.ask({ order: $("order").value }));
$("search").addEventListener("submit", (event) => event.preventDefault());
$("alike").addEventListener("click", alike);
$("alike").hidden = !about.has_embeddings;
$("help-button").addEventListener("click", () => $("help").showModal());
for (const one of document.querySelectorAll("nav [data-view]")) one.addEventListener("click", () => show(one.dataset.view));

// A filter is in the address, so that pages and people can link to it.
function remember() {
  const q = $("query").value;
  history.replaceState(null, "", q ? `#q=${encodeURIComponent(q)}` : location.pathname);
}

function asked() { return new URLSearchParams(location.hash.slice(1)).get("q") ?? ""; }

$("catalogue").replaceChildren(shown(`${about.catalogue || "tags"}: ${about.n_tracks.toLocaleString("en")} tracks`));
document.title = `${about.catalogue || "tags"}, timbre`;
$("words").append(element("p", {}, "Codes alone ask for a label; with a comparison for a score: ", element("code", {}, "cel and not voi, duration > 60"), ", ", element("code", {}, "vio > 0.8"), ", ", element("code", {}, "uri ~ \"live\""), "."),
  element("p", {}, about.classes.map((one) => `${one.code} ${nameOf(about, one.code)}`).join(", ")),
  element("p", {}, `Also: ${about.words.join(", ")}.`));
addEventListener("hashchange", () => { $("query").value = asked(); grid.ask({ q: asked() }); });
$("query").value = asked();
await grid.ask({ q: asked() });
document.body.dataset.ready = "true";
