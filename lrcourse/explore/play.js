// A button that draws runs along a dimension which is time, and stops at its end.

import { button, put } from "./drawing.js";
import { nearest } from "./scales.js";

const SECONDS = 8;

/** Moves the reading mark of a view along one dimension; what lies ahead of it is not drawn. */
export class Player {
  constructor(view) {
    this.view = view;
    this.dim = view.spec.play;
    this.button = button("Play", () => (this.running ? this.end() : this.start()), {
      class: "lrx-button lrx-play",
    });
  }

  start() {
    const { numbers } = this.view.spec.dims[this.dim];
    const shown = this.view.panels.filter((p) => (p.spec.along ?? p.spec.x) === this.dim);
    const end = numbers[Math.max(1, ...shown.map((p) => p.lastSeen()))];
    const began = performance.now();
    this.running = true;
    this.show();
    const step = (now) => {
      const share = (now - began) / (1000 * SECONDS);
      if (!this.running) return;
      if (share >= 1) {
        this.end();
        return;
      }
      const at = numbers[0] + Math.max(0, share) * (end - numbers[0]);
      this.view.point({ dim: this.dim, i: nearest(numbers, at), only: true });
      this.frame = requestAnimationFrame(step);
    };
    this.frame = requestAnimationFrame(step);
  }

  /** Show the whole run again. */
  end() {
    this.stop();
    this.view.point(null);
  }

  stop() {
    if (!this.running) return;
    this.running = false;
    cancelAnimationFrame(this.frame);
    this.show();
  }

  show() {
    this.button.textContent = this.running ? "Stop" : "Play";
    put(this.button, { "aria-pressed": Boolean(this.running) });
  }
}
