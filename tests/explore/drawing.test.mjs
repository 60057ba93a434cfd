// From numbers to pixels: scales, ticks, paths, colours.
import { test } from "node:test";

import { assert, lrx, near } from "./joined.mjs";

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

test("the colour ramp grows lighter from end to end", () => {
  const light = (t) =>
    lrx
      .ramp(t)
      .match(/\d+/g)
      .reduce((s, c, k) => s + c * [0.2126, 0.7152, 0.0722][k], 0);
  for (let t = 0.05; t <= 1; t += 0.05) assert.ok(light(t) > light(t - 0.05));
  assert.equal(lrx.ramp(-1), lrx.ramp(0));
});

test("what lies far outside a picture stays within reach of whatever measures it", () => {
  const linear = lrx.scale([0, 1], [100, 0]),
    log = lrx.scale([1e-3, 1], [100, 0], true);
  for (const px of [linear(1e30), linear(-1e30), linear(Infinity), log(0), log(1e300)])
    assert.ok(Math.abs(px) <= 20000);
  assert.equal(linear(0.5), 50);
  assert.ok(Number.isNaN(linear(NaN)));
});

test("a label takes the first place that covers the fewest points", () => {
  const places = [
    [10, 20],
    [60, 20],
    [10, 80],
  ];
  assert.deepEqual(lrx.leastCovering(places, 30, []), places[0]);
  assert.deepEqual(lrx.leastCovering(places, 30, [[20, 15]]), places[1]);
  const many = [
    [20, 15],
    [70, 15],
    [75, 15],
    [20, 75],
  ];
  assert.deepEqual(lrx.leastCovering(places, 30, many), places[0]);
});

test("colours part at a neutral middle", () => {
  const parts = (t) => lrx.ramp(t, lrx.PARTED).match(/\d+/g).map(Number);
  const [low, middle, high] = [0, 0.5, 1].map(parts);
  assert.ok(low[2] > low[0], "blue below");
  assert.ok(high[0] > high[2], "orange above");
  assert.ok(Math.max(...middle) - Math.min(...middle) < 8, "grey in the middle");
});
