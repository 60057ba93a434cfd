// Which state a handle in prose asks for.

import assert from "node:assert/strict";
import test from "node:test";

import { placeOf, wanted } from "../../lrcourse/explore/handles.js";

const rates = { labels: ["0.01", "0.1", "1"], numbers: [0.01, 0.1, 1], rising: true };
const plans = { labels: ["cosine", "step = 2"], numbers: [0, 1], rising: false };

test("a handle names dimensions and values, with or without spaces", () => {
  assert.deepEqual(wanted("lr=0.1, plan=step = 2"), { lr: "0.1", plan: "step = 2" });
});

test("a text may hold a comma and spaces, written as in an address", () => {
  assert.deepEqual(wanted("plan=0.1%2C%20then%200.01,lr=1"), { plan: "0.1, then 0.01", lr: "1" });
});

test("a label is found by its text, a number by the nearest", () => {
  assert.equal(placeOf(rates, "0.1"), 1);
  assert.equal(placeOf(rates, "0.4"), 1);
  assert.equal(placeOf(plans, "step = 2"), 1);
});

test("a word that is no label is found nowhere, nor is a number among labels", () => {
  assert.equal(placeOf(plans, "linear"), -1);
  assert.equal(placeOf(plans, "0"), -1);
  assert.equal(placeOf(rates, "fast"), -1);
  assert.equal(placeOf(rates, ""), -1);
});
