// The Poincare disk on a canvas. A root distance d lies at radius tanh(sqrt(c) d / 2), c being the curvature.

const TAU = 2 * Math.PI;
const MARGIN = 18;
const RIM = 0.94;
const NEAR = 12;
const COLOURS = ["surface", "line", "ink", "quiet", "safe", "unsafe", "accent", "safe-tint", "unsafe-tint"];
/** Where on their circles the names of the bounds stand, so that they do not cover each other. */
const LABEL_AT = { trigger: -Math.PI / 2, limit: Math.PI / 6, landing: (5 * Math.PI) / 6 };

/** Draws points, circles and the way of a query; everything it is told is redrawn with the next frame. */
export class Disk {
  /** The points, as {id, modality, root_distance, angle, blurred}. */
  points = [];
  #canvas;
  #context;
  #curv;
  #size = 0;
  #zoom = 1;
  #fit = 1;
  #whole = false;
  #xs = new Float32Array();
  #ys = new Float32Array();
  #unsafe = new Uint8Array();
  #rings = [];
  #query = null;
  #marked = new Set();
  #hovered = -1;
  #frame = 0;
  #colours = {};
  #sprites = {};

  constructor(canvas, { curv }) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.#curv = curv;
    new ResizeObserver(() => this.#resized()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.coloured());
    addEventListener("themechange", () => this.coloured());
  }

  /** The root distance at the rim of what is drawn. */
  get rim() {
    return this.#zoom <= RIM ? Infinity : (2 / Math.sqrt(this.#curv)) * Math.atanh(1 / this.#zoom);
  }

  /** How much larger than the whole disk it is drawn. */
  get zoom() {
    return this.#zoom;
  }

  /** Points, and the limit by modality above which each is unsafe. */
  show(points, limit) {
    this.points = points;
    const count = points.length;
    this.#xs = new Float32Array(count);
    this.#ys = new Float32Array(count);
    this.#unsafe = new Uint8Array(count);
    points.forEach(({ root_distance, angle, modality }, index) => {
      const radius = this.#radius(root_distance);
      this.#xs[index] = radius * Math.cos(angle);
      this.#ys[index] = -radius * Math.sin(angle);
      this.#unsafe[index] = root_distance > limit[modality] ? 1 : 0;
    });
    this.#hovered = -1;
    this.#fitted();
  }

  /** The circles, as {kind, at}: trigger, limit and landing. */
  circles(rings) {
    this.#rings = rings;
    this.#fitted();
  }

  /** The query, as {angle, before, after, stops}; null for none. */
  way(query) {
    const farther = query !== null && query.before !== this.#query?.before;
    this.#query = query;
    if (farther) this.#fitted();
    this.redraw();
  }

  /** Ids of the items that were found. */
  mark(ids) {
    this.#marked = new Set(ids);
    this.redraw();
  }

  /** Draw the disk up to infinity, or as much of it as has points. */
  whole(whole) {
    this.#whole = whole;
    this.#glide(whole ? 1 : this.#fit);
  }

  hover(index) {
    if (index === this.#hovered) return;
    this.#hovered = index;
    this.redraw();
  }

  /** The index of the point next to a place on the canvas; -1 for none within reach. */
  at(x, y) {
    const [cx, cy, unit] = this.#frameOf();
    let [best, nearest] = [-1, NEAR * NEAR];
    for (let index = 0; index < this.#xs.length; index++) {
      const dx = cx + this.#xs[index] * unit - x;
      const dy = cy + this.#ys[index] * unit - y;
      const away = dx * dx + dy * dy;
      if (away < nearest) [best, nearest] = [index, away];
    }
    return best;
  }

  /** Where a point is drawn, in pixels of the page from the canvas's corner. */
  place(index) {
    const [cx, cy, unit] = this.#frameOf();
    return [cx + this.#xs[index] * unit, cy + this.#ys[index] * unit];
  }

  /** Read the colours anew: they depend on the theme. */
  coloured() {
    const style = getComputedStyle(this.#canvas);
    for (const name of COLOURS) this.#colours[name] = style.getPropertyValue(`--${name}`).trim();
    this.#sprites = {};
    this.redraw();
  }

  redraw() {
    if (this.#frame) return;
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0;
      this.draw();
    });
  }

  /** Draw everything now. */
  draw() {
    if (!this.#size) return;
    const context = this.#context;
    const ratio = devicePixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.#size, this.#size);
    const [cx, cy, unit] = this.#frameOf();
    this.#shells(cx, cy, unit);
    this.#dots(cx, cy, unit);
    this.#names(cx, cy, unit);
    if (this.#query) this.#path(cx, cy, unit);
    if (this.#hovered >= 0) this.#ring(...this.place(this.#hovered), 9, this.#colours.ink, 2.5);
  }

  // -- inside ----------------------------------------------------------------------------------------------

  #radius(distance) {
    return Math.tanh((Math.sqrt(this.#curv) * distance) / 2);
  }

  #frameOf() {
    const half = this.#size / 2;
    return [half, half, (half - MARGIN) * this.#zoom];
  }

  #resized() {
    const size = this.#canvas.clientWidth;
    if (!size) return;
    this.#size = size;
    this.#canvas.width = this.#canvas.height = Math.round(size * devicePixelRatio);
    this.coloured();
    this.draw();
  }

  #fitted() {
    const far = [...this.#rings.map(({ at }) => at), this.#query?.before ?? 0];
    const farthest = this.points.reduce((most, { root_distance }) => Math.max(most, root_distance), Math.max(...far));
    this.#fit = farthest > 0 ? Math.max(1, RIM / this.#radius(farthest)) : 1;
    if (!this.#whole) this.#zoom = this.#fit;
    this.redraw();
  }

  #glide(goal) {
    const from = this.#zoom;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const start = performance.now();
    const step = (now) => {
      const done = still ? 1 : Math.min(1, Math.max(0, now - start) / 350);
      this.#zoom = from * (goal / from) ** (1 - (1 - done) ** 3);
      this.draw();
      if (done < 1) requestAnimationFrame(step);
      else this.#canvas.dispatchEvent(new Event("zoomed"));
    };
    requestAnimationFrame(step);
  }

  #shells(cx, cy, unit) {
    const rim = this.#size / 2 - MARGIN;
    const limit = this.#rings.find(({ kind }) => kind === "limit");
    this.#disc(cx, cy, rim, this.#colours["unsafe-tint"]);
    if (limit) this.#disc(cx, cy, this.#radius(limit.at) * unit, this.#colours["safe-tint"]);
    this.#ring(cx, cy, rim, this.#colours.line, 1.5);
    for (const { kind, at } of this.#rings) {
      this.#context.setLineDash({ trigger: [2, 4], landing: [7, 5] }[kind] ?? []);
      this.#ring(cx, cy, this.#radius(at) * unit, kind === "landing" ? this.#colours.safe : this.#colours.quiet, 1.25);
    }
    this.#context.setLineDash([]);
  }

  #dots(cx, cy, unit) {
    const context = this.#context;
    const size = this.points.length > 1200 ? 2.5 : 3.5;
    const half = size + 2;
    const sprites = [0, 1].map((unsafe) => [false, true].map((blurred) => this.#sprite(unsafe, blurred, size)));
    for (let index = 0; index < this.points.length; index++) {
      const sprite = sprites[this.#unsafe[index]][this.points[index].blurred ? 1 : 0];
      context.drawImage(sprite, cx + this.#xs[index] * unit - half, cy + this.#ys[index] * unit - half, 2 * half, 2 * half);
    }
    if (!this.#marked.size) return;
    this.points.forEach(({ id }, index) => {
      if (this.#marked.has(id)) this.#ring(...this.place(index), size + 3, this.#colours.accent, 2);
    });
  }

  /** A dot, drawn once: a ring for a blurred item. */
  #sprite(unsafe, blurred, size) {
    const name = `${unsafe}${blurred}${size}`;
    if (this.#sprites[name]) return this.#sprites[name];
    const half = size + 2;
    const sprite = document.createElement("canvas");
    sprite.width = sprite.height = Math.ceil(2 * half * devicePixelRatio);
    const context = sprite.getContext("2d");
    context.scale(devicePixelRatio, devicePixelRatio);
    context.beginPath();
    context.arc(half, half, size, 0, TAU);
    context.fillStyle = context.strokeStyle = this.#colours[unsafe ? "unsafe" : "safe"];
    context.globalAlpha = 0.75;
    context.lineWidth = 1.5;
    if (blurred) context.stroke();
    else context.fill();
    this.#sprites[name] = sprite;
    return sprite;
  }

  #names(cx, cy, unit) {
    const context = this.#context;
    context.font = `600 12px ${getComputedStyle(this.#canvas).fontFamily}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const { kind, at } of this.#rings) {
      const radius = this.#radius(at) * unit;
      if (radius < 40) continue;
      const x = cx + radius * Math.cos(LABEL_AT[kind]);
      const y = cy + radius * Math.sin(LABEL_AT[kind]);
      const width = context.measureText(kind).width;
      context.fillStyle = this.#colours.surface;
      context.beginPath();
      context.roundRect(x - width / 2 - 6, y - 10, width + 12, 20, 10);
      context.fill();
      context.fillStyle = this.#colours[kind === "landing" ? "safe" : "ink"];
      context.fillText(kind, x, y + 0.5);
    }
    this.#disc(cx, cy, 4, this.#colours.ink);
    context.fillStyle = this.#colours.ink;
    context.fillText("root", cx, cy + 15);
  }

  #path(cx, cy, unit) {
    const context = this.#context;
    const { angle, before, after, stops } = this.#query;
    const at = (distance) => {
      const radius = this.#radius(distance) * unit;
      return [cx + radius * Math.cos(angle), cy - radius * Math.sin(angle)];
    };
    const line = (from, to, width, dash) => {
      context.beginPath();
      context.setLineDash(dash);
      context.moveTo(...from);
      context.lineTo(...to);
      context.lineWidth = width;
      context.strokeStyle = this.#colours.accent;
      context.stroke();
      context.setLineDash([]);
    };
    line(at(after), at(0), 2, [4, 4]);
    for (const stop of stops) this.#disc(...at(Math.min(stop, after)), 3, this.#colours.accent);
    if (before > after) {
      line(at(before), at(after), 3, []);
      this.#disc(...at(before), 6, this.#colours.surface);
      this.#ring(...at(before), 6, this.#colours.accent, 2.5);
    }
    this.#disc(...at(after), 9, this.#colours.surface);
    this.#disc(...at(after), 7, this.#colours.accent);
  }

  #disc(x, y, radius, colour) {
    this.#context.beginPath();
    this.#context.arc(x, y, radius, 0, TAU);
    this.#context.fillStyle = colour;
    this.#context.fill();
  }

  #ring(x, y, radius, colour, width) {
    this.#context.beginPath();
    this.#context.arc(x, y, radius, 0, TAU);
    this.#context.strokeStyle = colour;
    this.#context.lineWidth = width;
    this.#context.stroke();
  }
}
