// Numbers and selections in words.
import { test } from "node:test";

import { assert, lrx } from "./joined.mjs";

test("numbers are written to three significant digits, whole ones in full", () => {
  const shown = {
    0.031623: "0.0316",
    300: "300",
    "-2.5": "−2.5",
    3.2e-5: "3.2×10⁻⁵",
    1e-6: "10⁻⁶",
    123456.7: "1.23×10⁵",
    0.09999: "0.1",
    99999.5: "10⁵",
    12345: "12345",
    100000: "10⁵",
    123456: "123456",
    0: "0",
  };
  for (const [value, text] of Object.entries(shown)) assert.equal(lrx.inWords(Number(value)), text);
  assert.equal(lrx.inWords(NaN), "no value");
  assert.equal(lrx.inWords(-Infinity), "−∞");
  assert.equal(lrx.inWords(Math.fround(0.1)), "0.1");
});

test("a value against the one of a pinned run: as a ratio on a scale of ratios", () => {
  const said = (now, pinned, ratios = true) => lrx.against("loss", now, pinned, ratios);
  assert.equal(said(1, 0.25), "4 times the loss");
  assert.equal(said(0.1, 0.4), "0.25 times the loss");
  assert.equal(said(1.2, 1), "loss 20 % higher");
  assert.equal(said(0.9, 1), "loss 10 % lower");
  assert.equal(said(9.99, 9.96), "nearly the same loss");
  assert.equal(said(0.5, 0.5), "the same loss");
  assert.equal(said(0.97, 0.95, false), "loss higher by 0.02");
  assert.equal(said(-1, 1), "loss lower by 2");
  assert.equal(said(NaN, 1), "no finite loss here");
  assert.equal(said(1, Infinity), "loss 1 in place of no finite one");
  assert.equal(said(NaN, NaN), "no finite loss in either");
});

test("words: selections, divergence, values", () => {
  const dims = {
    lr: { label: "learning rate", labels: ["0.1", "0.2"] },
    m: { label: "momentum", labels: ["0", "0.9"] },
  };
  assert.equal(lrx.naming(dims, { lr: 1, m: 0 }, ["lr", "m"]), "learning rate 0.2, momentum 0");
  assert.deepEqual(
    lrx.differing([
      { lr: 1, m: 0 },
      { lr: 0, m: 0 },
    ]),
    ["lr"],
  );
  assert.equal(lrx.divergence([-1, 30, 12, -1, 40]), "3 of 5 runs diverged, the first at step 12.");
  assert.equal(lrx.divergence([3, 4]), "All 2 runs diverged, the first at step 3.");
  assert.equal(lrx.divergence([7]), "The run diverged at step 7.");
  assert.equal(lrx.divergence([-1, -1]), "None of the 2 runs diverged.");
  assert.equal(lrx.divergence([-1]), "");
  assert.equal(
    lrx.valueText("loss", " at step 9", 0.5, 0.4, 0.6, 5, "seed"),
    "loss 0.5 at step 9, median of 5 seeds (quartiles 0.4 to 0.6)",
  );
  assert.equal(
    lrx.valueText("loss", " at step 9", Infinity, 1, Infinity, 5, "seed"),
    "no finite median loss at step 9 (5 seeds)",
  );
  assert.equal(lrx.valueText("rate", "", 0.5, 0.5, 0.5, 5, "seed"), "rate 0.5, median of 5 seeds");
  assert.equal(lrx.valueText("loss", "", NaN, null, null, 1, "seed"), "no finite loss");
  assert.equal(lrx.spreadText(1, 0.5, Infinity), "1");
  assert.equal(lrx.spreadText(NaN), "diverged");
});

test("missing runs are said to be missing, and never to have diverged", () => {
  assert.equal(
    lrx.divergence([-1, 12, NaN]),
    "1 of 3 runs diverged, the first at step 12; 1 is missing.",
  );
  assert.equal(lrx.divergence([-1, NaN, NaN]), "None of the 3 runs diverged; 2 are missing.");
  assert.equal(lrx.divergence([NaN, NaN]), "All 2 runs are missing.");
  assert.equal(lrx.divergence([NaN]), "The run is missing.");
});
