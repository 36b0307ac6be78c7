// Small things that all views share: elements of text, colours of classes, times.

const HUES = [210, 28, 130, 0, 275, 50, 320, 180, 95, 245, 345, 160];

export const $ = (id) => document.getElementById(id);

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "class") made.className = value;
    else if (key === "dataset") Object.assign(made.dataset, value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined).map((child) => (child instanceof Node ? child : shown(String(child)))));
  return made;
}

// Names of files may turn the direction of a text or hold what is not seen: it is shown as a box.
export const shown = (text) => document.createTextNode(text.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g, "\u25a1"));

export const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;

export function colour(about, code, alpha = 1) {
  const k = about.classes.findIndex((one) => one.code === code);
  const round = Math.floor(k / HUES.length);
  const light = (isDark() ? 64 : 42) + (round % 3) * 9;
  return `hsl(${HUES[((k % HUES.length) + HUES.length) % HUES.length]} 65% ${light}% / ${alpha})`;
}

export const nameOf = (about, code) => about.classes.find((one) => one.code === code)?.name ?? code;

export function clock(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.floor(seconds);
  const minutes = Math.floor(whole / 60);
  const tail = String(whole % 60).padStart(2, "0");
  return minutes < 60 ? `${minutes}:${tail}` : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${tail}`;
}

export const number = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));

export function tag(about, code, kind = "") {
  const made = element("span", { class: `tag ${kind}`, title: kind === "by-person" ? "a person's" : null }, nameOf(about, code));
  made.style.setProperty("--of-class", colour(about, code));
  return made;
}

export function fitted(canvas) {
  const scale = devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * scale));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * scale));
  return canvas.getContext("2d");
}
