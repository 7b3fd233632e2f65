// The Poincare disk on a canvas. A root distance d lies at radius tanh(sqrt(c) d / 2), c being the curvature.

const TAU = 2 * Math.PI;
const MARGIN = 18;
const RIM = 0.94;
const NEAR = 12;
const COLOURS = ["surface", "line", "ink", "quiet", "safe", "unsafe", "accent", "safe-tint", "unsafe-tint"];
/** Where on their circles the names of the bounds stand, so that they do not cover each other, and how far each gives way. */
const LABEL_AT = { trigger: -Math.PI / 2, limit: Math.PI / 6, landing: (5 * Math.PI) / 6 };
const GIVES_WAY = 0.8;

/** Draws points, circles and the way of a query; everything it is told is redrawn with the next frame. */
export class Disk {
  /** The points, as {id, modality, root_distance, angle, blurred}. */
  points = [];
  #canvas;
  #context;
  #curv;
  #size = 0;
  #zoom = 1;
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
  /** Shells and points, and the magnification at which they were drawn; 0: to be drawn anew. */
  #still = document.createElement("canvas");
  #stillAt = 0;

  constructor(canvas, { curv }) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.#curv = curv;
    new ResizeObserver(() => this.#resized()).observe(canvas);
    addEventListener("themechange", () => this.coloured());
  }

  /** The root distance at the rim of what is drawn. */
  get rim() {
    return this.#zoom === 1 ? Infinity : (2 / Math.sqrt(this.#curv)) * Math.atanh(1 / this.#zoom);
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
    this.#stillAt = 0;
    this.#fitted();
  }

  /** The circles, as {kind, at}: trigger, limit and landing. */
  circles(rings) {
    this.#rings = rings;
    this.#stillAt = 0;
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
    this.#fitted();
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
    this.#stillAt = 0;
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
    this.#drawStill(cx, cy, unit);
    context.drawImage(this.#still, 0, 0, this.#size, this.#size);
    this.#marks();
    this.#names(cx, cy, unit);
    if (this.#query) this.#path(cx, cy, unit);
    if (this.#hovered >= 0) ring(this.#context, ...this.place(this.#hovered), 9, this.#colours.ink, 2.5);
  }

  // -- inside ----------------------------------------------------------------------------------------------

  get #dotSize() {
    return this.points.length > 1200 ? 2.5 : 3.5;
  }

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
    this.#zoom = this.#whole || farthest === 0 ? 1 : Math.max(1, RIM / this.#radius(farthest));
    this.redraw();
  }

  /** What stays while the query moves, on a canvas of its own that is drawn again only when it has changed. */
  #drawStill(cx, cy, unit) {
    if (this.#stillAt === unit) return;
    this.#stillAt = unit;
    this.#still.width = this.#still.height = this.#canvas.width;
    const context = this.#still.getContext("2d");
    context.scale(devicePixelRatio, devicePixelRatio);
    this.#shells(context, cx, cy, unit);
    this.#dots(context, cx, cy, unit);
  }

  #shells(context, cx, cy, unit) {
    const rim = this.#size / 2 - MARGIN;
    const limit = this.#rings.find(({ kind }) => kind === "limit");
    disc(context, cx, cy, rim, this.#colours["unsafe-tint"]);
    if (limit) disc(context, cx, cy, this.#radius(limit.at) * unit, this.#colours["safe-tint"]);
    ring(context, cx, cy, rim, this.#colours.line, 1.5);
    for (const { kind, at } of this.#rings) {
      context.setLineDash({ trigger: [2, 4], landing: [7, 5] }[kind] ?? []);
      ring(context, cx, cy, this.#radius(at) * unit, kind === "landing" ? this.#colours.safe : this.#colours.quiet, 1.25);
    }
    context.setLineDash([]);
  }

  /** Small circles one by one: of all ways to draw 5,000 points this is the quickest (sprites took 40 times as long). */
  #dots(context, cx, cy, unit) {
    const size = this.#dotSize;
    context.globalAlpha = 0.75;
    context.lineWidth = 1.5;
    for (const unsafe of [0, 1]) {
      context.fillStyle = context.strokeStyle = this.#colours[unsafe ? "unsafe" : "safe"];
      for (let index = 0; index < this.points.length; index++) {
        if (this.#unsafe[index] !== unsafe) continue;
        context.beginPath();
        context.arc(cx + this.#xs[index] * unit, cy + this.#ys[index] * unit, size, 0, TAU);
        if (this.points[index].blurred) context.stroke();
        else context.fill();
      }
    }
    context.globalAlpha = 1;
  }

  #marks() {
    if (!this.#marked.size) return;
    this.points.forEach(({ id }, index) => {
      if (this.#marked.has(id)) ring(this.#context, ...this.place(index), this.#dotSize + 3, this.#colours.accent, 2);
    });
  }

  #names(cx, cy, unit) {
    const context = this.#context;
    context.font = `600 12px ${getComputedStyle(this.#canvas).fontFamily}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const { kind, at } of this.#rings) {
      const radius = this.#radius(at) * unit;
      if (radius < 40) continue;
      const angle = this.#labelAngle(kind);
      const x = cx + radius * Math.cos(angle);
      const y = cy + radius * Math.sin(angle);
      const width = context.measureText(kind).width;
      context.fillStyle = this.#colours.surface;
      context.beginPath();
      context.roundRect(x - width / 2 - 6, y - 10, width + 12, 20, 10);
      context.fill();
      context.fillStyle = this.#colours[kind === "landing" ? "safe" : "ink"];
      context.fillText(kind, x, y + 0.5);
    }
    disc(context, cx, cy, 4, this.#colours.ink);
    context.fillStyle = this.#colours.ink;
    context.fillText("root", cx, cy + 15);
  }

  /** Not where the query is. */
  #labelAngle(kind) {
    const close = this.#query && Math.cos(LABEL_AT[kind] + this.#query.angle) > Math.cos(GIVES_WAY / 2);
    return LABEL_AT[kind] + (close ? GIVES_WAY : 0);
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
    for (const stop of stops) disc(context, ...at(Math.min(stop, after)), 3, this.#colours.accent);
    if (before > after) {
      line(at(before), at(after), 3, []);
      disc(context, ...at(before), 6, this.#colours.surface);
      ring(context, ...at(before), 6, this.#colours.accent, 2.5);
    }
    disc(context, ...at(after), 9, this.#colours.surface);
    disc(context, ...at(after), 7, this.#colours.accent);
  }
}

function disc(context, x, y, radius, colour) {
  context.beginPath();
  context.arc(x, y, radius, 0, TAU);
  context.fillStyle = colour;
  context.fill();
}

function ring(context, x, y, radius, colour, width) {
  context.beginPath();
  context.arc(x, y, radius, 0, TAU);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke();
}
