// The runs as they arrive in the page: decoding, cutting, medians.
import { test } from "node:test";

import { assert, lrx, near } from "./joined.mjs";

test("float32 arrays are read from any place of the buffer", () => {
  const bytes = new Uint8Array(20);
  bytes.set(new Uint8Array(new Float32Array([1.5, NaN, -2]).buffer), 8);
  const values = lrx.decode(bytes, { type: "f4", offset: 8, size: 3 });
  assert.deepEqual([...values], [1.5, NaN, -2]);
});

test("16-bit codes are read with their formula, and the last code is a missing value", () => {
  const bytes = new Uint8Array(new Uint16Array([0, 100, 65535]).buffer);
  const [a, b, c] = lrx.decode(bytes, {
    type: "q2",
    offset: 0,
    size: 3,
    scale: 2,
    low: -1,
    step: 0.01,
  });
  near(a, 2 * Math.sinh(-1), 1e-6);
  assert.equal(Math.abs(b) < 1e-6, true);
  assert.ok(Number.isNaN(c));
});

test("quantiles lie between neighbours, and infinities stay infinite", () => {
  assert.equal(lrx.quantile([1, 2, 4], 0.5), 2);
  assert.equal(lrx.quantile([1, 2, 4], 0.25), 1.5);
  assert.equal(lrx.quantile([1, 2], 0.5), 1.5);
  assert.equal(lrx.quantile([1, Infinity], 0.5), Infinity);
  assert.equal(lrx.quantile([-Infinity, 1], 0.5), -Infinity);
  assert.equal(lrx.quantile([Infinity, Infinity], 0.5), Infinity);
});

test("a run that diverged counts as the worst one", () => {
  const rows = [
    [1, 1],
    [2, NaN],
    [3, NaN],
  ];
  const loss = lrx.quartiles(rows),
    accuracy = lrx.quartiles(rows, -1);
  assert.deepEqual([...loss.mid], [2, Infinity]);
  assert.deepEqual([...loss.low], [1.5, Infinity]);
  assert.deepEqual([...accuracy.mid], [2, -Infinity]);
  assert.equal(lrx.quartiles([[4, 5]]).low, null);
});

test("packed runs are cut along any dimension, whatever their order", () => {
  const shape = [2, 3, 4],
    values = Float32Array.from({ length: 24 }, (_, i) => i);
  const dims = {
    lr: { n: 2, numbers: [0.1, 1] },
    step: { n: 4, numbers: { first: 0, stride: 10 } },
  };
  const arrays = {
    loss: {
      dims: ["lr", "seed", "step"],
      shape,
      type: "f4",
      offset: 0,
      size: 24,
      runs: 3,
      worst: 1,
    },
    flat: { dims: [], shape: [], type: "f4", offset: 4, size: 1, runs: 2, worst: 1 },
  };
  const packed = new lrx.Packed({ dims, band: "seed", arrays }, new Uint8Array(values.buffer));
  assert.deepEqual(
    packed.rows("loss", { lr: 1 }, "step").map((r) => [...r]),
    [
      [12, 13, 14, 15],
      [16, 17, 18, 19],
      [20, 21, 22, 23],
    ],
  );
  assert.deepEqual(
    packed.rows("loss", { step: 2 }, "lr").map((r) => [...r]),
    [
      [2, 14],
      [6, 18],
      [10, 22],
    ],
  );
  assert.deepEqual([...packed.curve("loss", { lr: 0 }, "step").mid], [4, 5, 6, 7]);
  assert.equal(packed.value("loss", { lr: 1, step: 3 }), 19);
  assert.deepEqual(packed.dims.step.numbers, [0, 10, 20, 30]);
  assert.deepEqual(
    packed.rows("flat", {}, "step").map((r) => [...r]),
    [
      [1, 1, 1, 1],
      [1, 1, 1, 1],
    ],
    "a dimension that was dropped is constant",
  );
});

test("runs whose divergence nobody knows are missing", () => {
  const values = new Float32Array([-1, 7, NaN, -1]);
  const meta = { dims: ["lr", "seed"], shape: [2, 2], type: "f4", offset: 0, size: 4, runs: 2 };
  const spec = { dims: { lr: { n: 2, numbers: [1, 2] } }, band: "seed", arrays: { at: meta } };
  const bytes = new Uint8Array(values.buffer);
  const packed = new lrx.Packed({ ...spec, diverged: "at" }, bytes);
  assert.deepEqual(packed.missing({ lr: 0 }), [false, false]);
  assert.deepEqual(packed.missing({ lr: 1 }), [true, false]);
  assert.deepEqual(new lrx.Packed({ ...spec, diverged: null }, bytes).missing({ lr: 1 }), []);
});
