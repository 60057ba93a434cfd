// A descent over contour lines, or over a curve when there is one coordinate.

import { Frame } from "../frame.js";
import { cross, disc, join, put, svg, trace } from "../drawing.js";
import { clamp } from "../scales.js";
import { inWords } from "../words.js";

/** Where each run went, and the ground below. */
export class Descent extends Frame {
  constructor(view, spec) {
    const dim = view.spec.dims[spec.along];
    super(
      view,
      spec,
      `${spec.title ?? "path"}: ${spec.xlabel} and ${spec.ylabel} along ${dim.label}`,
      dim.n - 1,
    );
    this.dim = dim;
    this.name.textContent = spec.title ?? spec.ylabel;
    this.toggle("y", spec.ylog);
    this.faint = svg("path", { class: "lrx-faint" });
    this.ground = svg("g", { class: spec.curve ? "lrx-curve" : "lrx-contours" });
    this.back.append(this.ground, this.faint);
  }

  layout(width) {
    const {
      domain: { x, y },
      equal,
      title,
      xlabel,
      ylabel,
    } = this.spec;
    const domain = y[this.log.y ? "log" : "linear"];
    const height = equal
      ? ((width - 50) * (domain[1] - domain[0])) / (x[1] - x[0]) + 66
      : this.height(width);
    this.axes(
      width,
      clamp(height, 200, 900),
      { domain: x, log: false, label: xlabel },
      { domain, log: this.log.y, label: title && ylabel },
    );
    this.groundKey = this.faintKey = null;
  }

  /** The points of each run, in pixels; far ones are pulled in along their direction. */
  points(sel) {
    const { spec, view, X, Y } = this;
    const cx = this.inner / 2;
    const cy = this.tall / 2;
    const far = 4 * (cx + cy);
    const ys = view.packed.rows(spec.y, sel, spec.along);
    return view.packed.rows(spec.x, sel, spec.along).map((xs, k) =>
      Array.from(xs, (x, i) => {
        const at = [x, ys[k % ys.length][i]];
        if (!at.every(Number.isFinite)) return null;
        const dx = X(x) - cx;
        const dy = clamp(Y(at[1]), -1e9, 1e9) - cy;
        const pull = Math.min(1, far / Math.hypot(dx, dy));
        return { x: cx + dx * pull, y: cy + dy * pull, at, i };
      }),
    );
  }

  inside({ x, y }) {
    return x >= -1 && x <= this.inner + 1 && y >= -1 && y <= this.tall + 1;
  }

  draw(runs, cursor) {
    const { spec, dim, view } = this;
    const along = cursor?.dim === spec.along ? cursor.i : null;
    this.drawGround();
    this.shadows((sel) =>
      this.points(sel)
        .map((path) => {
          const out = path.findIndex((p) => !p || !this.inside(p));
          return join((out < 0 ? path : path.slice(0, out + 1)).filter(Boolean));
        })
        .join(""),
    );
    this.series = runs.map((run) => ({
      run,
      name: `${spec.x} ${spec.y}`,
      paths: this.points(run.sel),
    }));
    this.series.forEach(({ run, paths: whole }, i) => {
      const paths = this.played(cursor) ? whole.map((path) => path.slice(0, along + 1)) : whole;
      const {
        g,
        line,
        beads,
        start,
        end,
        cross: ends,
        dot,
      } = this.group(i, ["line", "beads", "start", "end", "cross", "dot"]);
      const there = paths.map((path) => path.filter(Boolean)).filter((path) => path.length);
      const last = there.map((path) => path.at(-1));
      const ended = last.filter((p) => p.i === dim.n - 1 && this.inside(p));
      const givenUp = this.played(cursor) ? [] : there.filter((path) => path.at(-1).i < dim.n - 1);
      const now = along === null ? null : paths[0][along];
      put(g, { class: `lrx-run-${run.colour} lrx-var-0` });
      put(line, { d: there.map(join).join(""), "data-series": spec.y });
      put(beads, {
        d: dim.n <= 120 && there.length === 1 ? there[0].map((p) => disc(p, 2)).join("") : "",
      });
      put(start, { d: there.map((path) => disc(path[0], 4.5)).join("") });
      put(end, { d: ended.map((p) => disc(p, 4.5)).join("") });
      put(ends, {
        d: givenUp
          .map((path) => path.findLast((p) => this.inside(p)) ?? path[0])
          .map((p) => cross(clamp(p.x, 6, this.inner - 6), clamp(p.y, 6, this.tall - 6)))
          .join(""),
      });
      put(dot, { d: now ? disc(now, 5) : "" });
    });
    this.hideFrom(runs.length);
    const k = along ?? dim.n - 1;
    this.report(
      k,
      `${dim.label} ${inWords(dim.numbers[k])}`,
      this.series.map(({ run, paths }) => ({
        run,
        j: 0,
        text: paths[0][k]
          ? this.pair(paths[0][k])
          : view.packed.missing(run.sel)[0]
            ? "missing"
            : "diverged",
      })),
    );
  }

  /** Coordinates as a reader can see them: to a thousandth of the picture. */
  pair({ at }) {
    const { x, y } = this.spec.domain;
    return `(${at
      .map((v, k) => {
        const [a, b] = k ? y.linear : x;
        const grain = 10 ** (Math.floor(Math.log10(b - a)) - 3);
        return inWords(Math.round(v / grain) * grain);
      })
      .join(", ")})`;
  }

  drawGround() {
    const { spec, view, X, Y } = this;
    const source = spec.curve ?? spec.contours;
    const k = source?.dim ? view.sel[source.dim] : 0;
    if (!source || k === this.groundKey) return;
    this.groundKey = k;
    if (spec.curve) {
      const { mid } = view.packed.curve(source.name, view.sel, source.along);
      this.ground.replaceChildren(
        svg("path", { d: trace(view.spec.dims[source.along].numbers, mid, X, Y) }),
      );
      return;
    }
    const { offset, size, levels } = source.sets[k];
    const codes = new Uint16Array(view.bytes.slice(offset, offset + 4 * size).buffer);
    const place = (code, [a, b]) =>
      a + ((code / 65535) * (1 + 2 * source.pad) - source.pad) * (b - a);
    let at = -2;
    const ring = (n) =>
      join(
        Array.from({ length: n }, () => {
          at += 2;
          return {
            x: X(place(codes[at], spec.domain.x)),
            y: Y(place(codes[at + 1], spec.domain.y.linear)),
          };
        }),
      ) + "Z";
    this.ground.replaceChildren(
      ...levels.map((rings) => svg("path", { d: rings.map(ring).join("") })),
    );
  }

  /** How far runs reach along the path now. */
  lastSeen() {
    return Math.max(
      ...this.series.flatMap(({ paths }) => paths.map((p) => p.findLastIndex(Boolean))),
    );
  }

  step(across, up) {
    this.walk(this.spec.along, across || up);
  }

  at(px, py, chosen) {
    const gap = (p) => Math.hypot(p.x - px, p.y - py);
    if (chosen && this.spec.start) return this.startAt(gap);
    const path = this.series.at(-1).paths[0].filter(Boolean);
    const best = path.reduce((a, p) => (a && gap(a) <= gap(p) ? a : p), null);
    this.view.point(best && gap(best) < 40 ? { dim: this.spec.along, i: best.i } : null);
  }

  /** Choose the run whose start is nearest. */
  startAt(gap) {
    const { view, spec } = this;
    const gaps = view.spec.dims[spec.start].labels.map((_, i) => {
      const [first] = this.points({ ...view.sel, [spec.start]: i })[0];
      return first ? gap(first) : Infinity;
    });
    view.select({ [spec.start]: gaps.indexOf(Math.min(...gaps)) });
  }

  clause() {
    const { label, numbers } = this.dim;
    const path = this.series.at(-1).paths[0].filter(Boolean);
    const end = path.at(-1);
    if (!end) return "no finite point";
    if (this.inside(end))
      return `the path ends at ${this.pair(end)} after ${label} ${inWords(numbers[end.i])}`;
    return `the path leaves the picture at ${label} ${inWords(numbers[path.find((p) => !this.inside(p)).i])}`;
  }
}
