// Requests to this server, and to nothing else.

/** An answer that is an error, in the server's own words. */
export class Problem extends Error {
  constructor(status, message, code, wait) {
    super(message);
    Object.assign(this, { status, code, wait });
  }
}

const KEY = "hyperaware.key";
const TRIES = 4;
const MOST_PICTURES = 400;
const AT_ONCE = 6;
const GRACE = 10000;

/** The API key: kept for this tab only, and gone when it is closed. */
export const key = {
  get: () => sessionStorage.getItem(KEY),
  set(value) {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
    forgetPictures();
  },
};

/** A JSON answer. `query`: parameters, null ones left out. */
export async function call(method, path, { body, query, signal } = {}) {
  return (await request(method, path, { body, query, signal })).json();
}

/** A text answer. */
export async function text(path, { query, signal } = {}) {
  return (await request("GET", path, { query, signal })).text();
}

async function request(method, path, { body, query, signal } = {}) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== null && value !== undefined) url.searchParams.set(name, value);
  }
  const headers = {};
  if (key.get()) headers.Authorization = `Bearer ${key.get()}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const options = { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) };
  for (let attempt = 1; ; attempt++) {
    const response = await fetched(url, options);
    if (response.ok) return response;
    const problem = await problemOf(response);
    const again = problem.status === 429 && attempt < TRIES;
    if (!again) throw problem;
    await new Promise((done) => setTimeout(done, problem.wait * 1000));
    signal?.throwIfAborted();
  }
}

async function fetched(url, options) {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "The server does not answer.", "unreachable", 1);
  }
}

async function problemOf(response) {
  const wait = Number(response.headers.get("Retry-After") ?? 1);
  try {
    const { error } = await response.json();
    return new Problem(response.status, error.message, error.code, wait);
  } catch {
    return new Problem(response.status, `The server answered ${response.status}.`, null, wait);
  }
}

const pictures = new Map();
const waiting = [];
let busy = 0;

/** The address of a picture that was fetched with the key: an <img> cannot send one. Kept until `forgetPictures`. */
export function picture(path, query = {}) {
  const name = JSON.stringify([path, query]);
  if (!pictures.has(name)) {
    pictures.set(name, queued(async () => URL.createObjectURL(await (await request("GET", path, { query })).blob())));
    pictures.get(name).catch(() => pictures.delete(name));
    if (pictures.size > MOST_PICTURES) dropOldest();
  }
  return pictures.get(name);
}

/** Forget every picture, so that nothing of one role or key is shown to another. */
export function forgetPictures() {
  while (pictures.size) dropOldest();
}

function dropOldest() {
  const [name, address] = pictures.entries().next().value;
  pictures.delete(name);
  // Not at once: an <img> may be about to read it.
  address.then((url) => setTimeout(() => URL.revokeObjectURL(url), GRACE), () => {});
}

async function queued(work) {
  if (busy >= AT_ONCE) await new Promise((start) => waiting.push(start));
  busy++;
  try {
    return await work();
  } finally {
    busy--;
    waiting.shift()?.();
  }
}
