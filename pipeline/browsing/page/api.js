// What the server is asked; a refusal becomes an Error with the server's own words.

async function answer(response) {
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  throw new Error(said.error || `the server answered ${response.status}`);
}

function address(path, values = {}) {
  const pairs = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return pairs.length ? `${path}?${new URLSearchParams(pairs)}` : path;
}

export async function get(path, values, signal) {
  return (await answer(await fetch(address(path, values), { signal }))).json();
}

export async function getBytes(path, values) {
  const response = await answer(await fetch(address(path, values)));
  const [height, width] = response.headers.get("X-Shape").split(",").map(Number);
  return { height, width, bytes: new Uint8Array(await response.arrayBuffer()) };
}

export async function post(path, value) {
  const headers = { "Content-Type": "application/json" };
  return (await answer(await fetch(path, { method: "POST", headers, body: JSON.stringify(value) }))).json();
}

export const audioAddress = (n, asOpus) => address("/audio", { n, as: asOpus ? "opus" : null });
