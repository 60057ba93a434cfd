// The pure functions of the explorer's view: numbers, words, scales, the cube.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

const source = await readFile(new URL("../../lrcourse/explore/explore.js", import.meta.url));
const lrx = await import(`data:text/javascript;base64,${source.toString("base64")}`);

const near = (a, b, tolerance = 1e-12) => assert.ok(Math.abs(a - b) <= tolerance * Math.max(1, Math.abs(b)), `${a} is not ${b}`);

test("numbers are written to three significant digits, whole ones in full", () => {
  const shown = { 0.031623: "0.0316", 300: "300", "-2.5": "−2.5", 3.2e-5: "3.2×10⁻⁵", 1e-6: "10⁻⁶", 123456.7: "1.23×10⁵", 0.09999: "0.1", 99999.5: "10⁵", 12345: "12345", 100000: "10⁵", 123456: "123456", 0: "0" };
  for (const [value, text] of Object.entries(shown)) assert.equal(lrx.format(Number(value)), text);
  assert.equal(lrx.format(NaN), "no value");
  assert.equal(lrx.format(-Infinity), "−∞");
  assert.equal(lrx.format(Math.fround(0.1)), "0.1");
});

test("float32 arrays are read from any place of the buffer", () => {
  const bytes = new Uint8Array(20);
  bytes.set(new Uint8Array(new Float32Array([1.5, NaN, -2]).buffer), 8);
  const values = lrx.decode(bytes, { type: "f4", offset: 8, size: 3 });
  assert.deepEqual([...values], [1.5, NaN, -2]);
});

test("16-bit codes are read with their formula, and the last code is a missing value", () => {
  const bytes = new Uint8Array(new Uint16Array([0, 100, 65535]).buffer);
  const [a, b, c] = lrx.decode(bytes, { type: "q2", offset: 0, size: 3, scale: 2, low: -1, step: 0.01 });
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
  const rows = [[1, 1], [2, NaN], [3, NaN]];
  const loss = lrx.summary(rows), accuracy = lrx.summary(rows, -1);
  assert.deepEqual([...loss.mid], [2, Infinity]);
  assert.deepEqual([...loss.low], [1.5, Infinity]);
  assert.deepEqual([...accuracy.mid], [2, -Infinity]);
  assert.equal(lrx.summary([[4, 5]]).low, null);
});

test("a scale and its inverse undo each other, linear and logarithmic", () => {
  for (const log of [false, true]) {
    const map = lrx.scale([0.01, 100], [0, 300], log);
    near(map(0.01), 0);
    near(map(100), 300);
    for (const v of [0.02, 1, 57]) near(map.invert(map(v)), v, 1e-9);
  }
  near(lrx.scale([1, 100], [0, 10], true)(10), 5);
  assert.ok(lrx.scale([1, 100], [100, 0], true)(0) > 1e4, "zero lies far below a logarithmic axis");
  assert.ok(Number.isFinite(lrx.scale([3, 3], [0, 1])(3)));
});

test("ticks are round, inside and about as many as asked for", () => {
  assert.deepEqual(lrx.ticks(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(lrx.ticks(-1, 1, 4), [-1, -0.5, 0, 0.5, 1]);
  assert.deepEqual(lrx.ticks(0.1, 0.3, 2), [0.1, 0.2, 0.3]);
  assert.deepEqual(lrx.ticks(5, 5, 3), [5]);
  assert.deepEqual(lrx.ticks(0.6, 1.4, 3.7), [0.6, 0.8, 1, 1.2, 1.4]);
  for (const n of [1, 3, 8]) assert.ok(lrx.ticks(0, 7.3, n).length <= 2 * n + 2);
});

test("logarithmic ticks are powers of ten, thinned when many, 1-2-5 when few", () => {
  assert.deepEqual(lrx.logTicks(0.001, 1, 6), [0.001, 0.01, 0.1, 1]);
  assert.deepEqual(lrx.logTicks(1e-12, 1, 4), [1e-12, 1e-8, 1e-4, 1]);
  assert.deepEqual(lrx.logTicks(0.1, 1, 6), [0.1, 0.2, 0.5, 1]);
  assert.ok(lrx.logTicks(0.9, 1.1, 5).every((v) => v >= 0.9 && v <= 1.1));
});

test("a number has a place between columns, by ratio when they span ratios", () => {
  assert.equal(lrx.fraction([0, 1, 2], 1.5), 1.5);
  near(lrx.fraction([0.01, 0.1, 1], Math.sqrt(0.1 * 0.01)), 0.5);
  near(lrx.fraction([1, 2, 3], 4), 3);
  near(lrx.fraction([1, 2, 3], 0), -1);
});

test("the nearest place is found in pixels", () => {
  assert.equal(lrx.nearest([0, 10, 20], 14), 1);
  assert.equal(lrx.nearest([1, 10, 100], 60, lrx.scale([1, 100], [0, 100], true)), 1);
});

test("a path is broken where a value is missing", () => {
  const same = (v) => v;
  assert.equal(lrx.trace([0, 1, 2, 3], [1, NaN, 2, 3], same, same), "M0 1M2 2L3 3");
  assert.equal(lrx.trace([0], [NaN], same, same), "");
  assert.equal(lrx.lastFinite([1, 2, NaN]), 1);
  assert.equal(lrx.lastFinite([NaN]), -1);
});

test("words: selections, divergence, values", () => {
  const dims = { lr: { label: "learning rate", labels: ["0.1", "0.2"] }, m: { label: "momentum", labels: ["0", "0.9"] } };
  assert.equal(lrx.naming(dims, { lr: 1, m: 0 }, ["lr", "m"]), "learning rate 0.2, momentum 0");
  assert.deepEqual(lrx.differing([{ lr: 1, m: 0 }, { lr: 0, m: 0 }]), ["lr"]);
  assert.equal(lrx.divergence([-1, 30, 12, -1, 40]), "3 of 5 runs diverged, the first at step 12.");
  assert.equal(lrx.divergence([3, 4]), "All 2 runs diverged, the first at step 3.");
  assert.equal(lrx.divergence([7]), "The run diverged at step 7.");
  assert.equal(lrx.divergence([-1, -1]), "None of the 2 runs diverged.");
  assert.equal(lrx.divergence([-1]), "");
  assert.equal(lrx.valueText("loss", " at step 9", 0.5, 0.4, 0.6, 5, "seed"), "loss 0.5 at step 9, median of 5 seeds (quartiles 0.4 to 0.6)");
  assert.equal(lrx.valueText("loss", " at step 9", Infinity, 1, Infinity, 5, "seed"), "no finite median loss at step 9 (5 seeds)");
  assert.equal(lrx.valueText("rate", "", 0.5, 0.5, 0.5, 5, "seed"), "rate 0.5, median of 5 seeds");
  assert.equal(lrx.valueText("loss", "", NaN, null, null, 1, "seed"), "no finite loss");
  assert.equal(lrx.spreadText(1, 0.5, Infinity), "1");
  assert.equal(lrx.spreadText(NaN), "diverged");
});

test("a cube is cut along any dimension, whatever their order", () => {
  const shape = [2, 3, 4], values = Float32Array.from({ length: 24 }, (_, i) => i);
  const dims = { lr: { n: 2, numbers: [0.1, 1] }, step: { n: 4, numbers: { first: 0, stride: 10 } } };
  const arrays = { loss: { dims: ["lr", "seed", "step"], shape, type: "f4", offset: 0, size: 24, runs: 3, worst: 1 }, flat: { dims: [], shape: [], type: "f4", offset: 4, size: 1, runs: 2, worst: 1 } };
  const cube = new lrx.Cube({ dims, band: "seed", arrays }, new Uint8Array(values.buffer));
  assert.deepEqual(cube.rows("loss", { lr: 1 }, "step").map((r) => [...r]), [[12, 13, 14, 15], [16, 17, 18, 19], [20, 21, 22, 23]]);
  assert.deepEqual(cube.rows("loss", { step: 2 }, "lr").map((r) => [...r]), [[2, 14], [6, 18], [10, 22]]);
  assert.deepEqual([...cube.curve("loss", { lr: 0 }, "step").mid], [4, 5, 6, 7]);
  assert.equal(cube.value("loss", { lr: 1, step: 3 }), 19);
  assert.deepEqual(cube.dims.step.numbers, [0, 10, 20, 30]);
  assert.deepEqual(cube.rows("flat", {}, "step").map((r) => [...r]), [[1, 1, 1, 1], [1, 1, 1, 1]], "a dimension that was dropped is constant");
});

test("the colour ramp grows lighter from end to end", () => {
  const light = (t) => lrx.ramp(t).match(/\d+/g).reduce((s, c, k) => s + c * [0.2126, 0.7152, 0.0722][k], 0);
  for (let t = 0.05; t <= 1; t += 0.05) assert.ok(light(t) > light(t - 0.05));
  assert.equal(lrx.ramp(-1), lrx.ramp(0));
});

test("what lies far outside a picture stays within reach of whatever measures it", () => {
  const linear = lrx.scale([0, 1], [100, 0]), log = lrx.scale([1e-3, 1], [100, 0], true);
  for (const px of [linear(1e30), linear(-1e30), linear(Infinity), log(0), log(1e300)]) assert.ok(Math.abs(px) <= 20000);
  assert.equal(linear(0.5), 50);
  assert.ok(Number.isNaN(linear(NaN)));
});
