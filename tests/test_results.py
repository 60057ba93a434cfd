"""Reading a cube: against sorted ranks, plain loops and what must not depend on the order."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lrcourse import results
from lrcourse.results import (
    best,
    final,
    first_reached,
    good_range,
    judged_elsewhere,
    middle,
    off_plan,
    quartiles,
    table,
    updates_until,
    worst_of,
)

NAN, INF = np.nan, np.inf
numbers = st.floats(-1e6, 1e6)
with_gaps = st.one_of(numbers, st.sampled_from([NAN, INF, -INF]))
runs_of = arrays(float, st.tuples(st.integers(1, 9), st.integers(1, 4)), elements=with_gaps)


def along_lr(values, lr=None, **attrs):
    lr = 10.0 ** np.arange(len(values)) if lr is None else lr
    return xr.DataArray(np.array(values, float), {"lr": lr}, name="val_loss", attrs=attrs)


# -- medians ---------------------------------------------------------------------------------------


def by_rank(values, q, worst):
    """The quantile of a list: finite runs sorted from good to bad, the diverged behind them."""
    finite = sorted((v for v in values if np.isfinite(v)), key=lambda v: worst * v)
    ranked = finite + [worst * INF] * (len(values) - len(finite))
    at = (len(ranked) - 1) * (q if worst > 0 else 1 - q)
    a, b = ranked[int(np.floor(at))], ranked[int(np.ceil(at))]
    if a == b or at % 1 == 0:
        return a
    return b if np.isinf(b) else a + (b - a) * (at % 1)


@given(runs_of, st.sampled_from([1, -1]))
@settings(max_examples=200, deadline=None)
def test_quartiles_are_ranks_with_diverged_runs_last(rows, worst):
    for q, found in zip((0.25, 0.5, 0.75), quartiles(rows, worst), strict=True):
        expected = [by_rank(column, q, worst) for column in rows.T.tolist()]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-9)


@given(runs_of, st.sampled_from(["low", "high"]), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_middle_run_does_not_depend_on_the_order_of_runs(rows, better, random):
    order = random.sample(range(len(rows)), len(rows))
    one, other = (
        middle(xr.DataArray(r, dims=["seed", "lr"]), better=better) for r in (rows, rows[order])
    )
    np.testing.assert_array_equal(one, other)
    assert not np.isnan(one).any()


@given(arrays(float, (4, 3), elements=numbers))
@settings(deadline=None)
def test_the_middle_of_complete_runs_is_the_median(rows):
    runs = xr.DataArray(rows, dims=["lr", "seed"])
    np.testing.assert_allclose(middle(runs), np.median(rows, axis=1), rtol=1e-12, atol=1e-9)
    assert middle(runs, ["seed", "lr"]).item() == pytest.approx(np.median(rows), rel=1e-12)


def test_a_diverged_run_is_the_worst_and_never_left_out():
    runs = xr.DataArray([[1.0, NAN, NAN], [1.0, 9.0, INF], [1.0, -INF, 2.0]], dims=["lr", "seed"])
    np.testing.assert_array_equal(middle(runs), [INF, 9.0, 2.0])
    np.testing.assert_array_equal(middle(runs, better="high"), [-INF, 1.0, 1.0])


def test_the_middle_keeps_name_attributes_and_the_other_coordinates():
    runs = xr.DataArray(
        np.ones((2, 3), np.float32),
        {"lr": [0.1, 0.2], "seed": range(3), "name": ("lr", ["a", "b"]), "task": "digits"},
        ["lr", "seed"],
        "val_loss",
        {"units": "nats"},
    )
    found = middle(runs)
    assert (found.name, found.attrs, found.dims) == ("val_loss", {"units": "nats"}, ("lr",))
    assert set(found.coords) == {"lr", "name", "task"}


def test_what_is_better_is_said_by_argument_or_attribute_and_never_guessed():
    accuracy = xr.DataArray([0.9, NAN, NAN], dims="seed", name="val_accuracy")
    assert middle(accuracy, better="high") == -INF
    assert middle(accuracy.assign_attrs(better="high")) == -INF
    assert worst_of(accuracy.rename("loss")) == 1
    for name in ("val_accuracy", "mean_return", "reward"):
        with pytest.raises(ValueError, match=f"better must be 'low' or 'high' for '{name}'"):
            middle(accuracy.rename(name))
    with pytest.raises(ValueError, match="better must be 'low' or 'high', was 'more'"):
        middle(accuracy, better="more")


# -- ends ------------------------------------------------------------------------------------------


def cube(loss, diverged_at=None, dim="eval_step"):
    ds = xr.Dataset({"val_loss": (("lr", dim), np.array(loss, float))})
    return ds if diverged_at is None else ds.assign(diverged_at=("lr", diverged_at))


@pytest.mark.parametrize("dim", ["step", "eval_step", "updates", "episode", "epoch"])
def test_the_end_is_the_last_record_of_whatever_counts_time(dim):
    np.testing.assert_array_equal(final(cube([[3, 2, 1], [3, 3, 4]], dim=dim)), [1, 4])


def test_the_end_may_be_a_mean_and_a_gap_in_it_is_no_value():
    runs = cube([[4, 2, 1], [4, NAN, 1], [4, 2, INF]])
    np.testing.assert_array_equal(final(runs, last=2), [1.5, NAN, NAN])
    np.testing.assert_array_equal(final(runs, last=1), [1, 1, NAN])


def test_a_run_that_diverged_after_its_last_record_has_no_end():
    np.testing.assert_array_equal(final(cube([[2, 1], [2, 1]], [-1, 7])), [1, NAN])


@given(arrays(float, (3, 5), elements=with_gaps))
@settings(deadline=None)
def test_the_middle_of_the_ends_is_worst_where_runs_have_none(rows):
    ends = final(xr.Dataset({"val_loss": (("seed", "step"), rows)}))
    assert middle(ends).item() == quartiles(rows[:, -1])[1]


# -- the best --------------------------------------------------------------------------------------


def test_the_best_says_its_place_and_whether_that_is_the_edge():
    losses = xr.DataArray(
        [[3, 1, 2], [1, 2, 3], [INF, NAN, 4], [NAN, NAN, INF]],
        {"rule": list("abcd"), "lr": [0.1, 1.0, 10.0]},
    )
    found = best(losses)
    np.testing.assert_array_equal(found.value, [1, 1, 4, INF])
    np.testing.assert_array_equal(found.lr, [1.0, 0.1, 10.0, NAN])
    np.testing.assert_array_equal(found.at_edge, [False, True, True, False])
    assert list(found.data_vars) == ["value", "lr", "at_edge"]


def test_the_edge_is_that_of_the_numbers_and_not_of_their_order():
    assert best(along_lr([3, 1, 2], [10.0, 0.1, 1.0])).at_edge
    assert not best(along_lr([1, 3, 2], [1.0, 10.0, 0.1])).at_edge


def test_the_best_of_named_things_has_no_edge():
    losses = xr.DataArray([[2.0, 1.0], [NAN, NAN]], {"lr": [1, 2], "rule": ["GD", "Adam"]})
    found = best(losses, "rule")
    assert found.rule.values.tolist() == ["Adam", ""]
    assert not found.at_edge.any()


@given(arrays(float, (3, 6), elements=with_gaps), st.sampled_from(["low", "high"]))
@settings(deadline=None)
def test_no_value_is_better_than_the_best_and_the_best_stands_where_it_says(rows, better):
    losses = xr.DataArray(rows, {"seed": range(3), "lr": np.geomspace(0.1, 1, 6)})
    found = best(losses, better=better)
    for row, value, lr in zip(rows, found.value.values, found.lr.values, strict=True):
        finite = row[np.isfinite(row)]
        if not len(finite):
            assert np.isinf(value)
            assert np.isnan(lr)
            continue
        assert value == (finite.min() if better == "low" else finite.max())
        assert row[losses.lr.values == lr] == value


def test_the_best_rate_selects_the_runs_it_belongs_to():
    runs = xr.DataArray(np.random.default_rng(0).random((4, 3, 5)), dims=["rule", "lr", "seed"])
    runs = runs.assign_coords(lr=[0.1, 1.0, 10.0])
    found = best(middle(runs))
    np.testing.assert_array_equal(middle(runs.sel(lr=found.lr)), found.value)


# -- good ranges -----------------------------------------------------------------------------------


def walked(x, values, bar):
    """The range found by walking from the best outwards."""
    k = int(np.nanargmin(np.where(np.isfinite(values), values, NAN)))
    low = high = k
    while low > 0 and values[low - 1] <= bar:
        low -= 1
    while high < len(x) - 1 and values[high + 1] <= bar:
        high += 1
    return x[low], x[high]


@given(
    arrays(float, 9, elements=st.one_of(st.floats(0, 4), st.just(NAN), st.just(INF))),
    st.floats(1, 3),
    st.permutations(range(9)),
)
@settings(deadline=None)
def test_a_good_range_is_found_by_walking_from_the_best(values, within, order):
    x = np.geomspace(0.01, 1, 9)
    found = good_range(along_lr(values[order], x[order]), within)
    finite = values[np.isfinite(values)]
    if not len(finite):
        assert np.isnan(found.low)
        assert not found.at_edge
        return
    low, high = walked(x, values, within * finite.min())
    assert (found.low, found.high) == (low, high)
    assert found.decades.item() == pytest.approx(np.log10(high / low), abs=1e-12)
    assert bool(found.at_edge) == (low == x[0] or high == x[-1])


def test_a_second_valley_beyond_a_ridge_does_not_count():
    found = good_range(along_lr([1.05, 2, 1, 1.02, 2, 1.01]))
    assert (found.low, found.high, found.decades) == (100, 1000, 1)
    assert not found.at_edge


def test_where_high_is_better_the_best_is_divided():
    found = good_range(along_lr([0.5, 0.91, 1.0, 0.9]), better="high")
    assert (found.low, found.high) == (10, 100)


def test_a_level_is_a_bar_that_another_method_sets():
    losses = xr.DataArray(
        [[3, 1, 1.2, 3], [4, 2, 2.1, 4.0]], {"rule": ["a", "b"], "lr": [1.0, 10, 100, 1000]}
    )
    found = good_range(losses, level=1.5)
    np.testing.assert_array_equal(found.decades, [1, NAN])
    np.testing.assert_array_equal(found.at_edge, [False, False])
    each = good_range(losses, level=xr.DataArray([1.1, 2.1], {"rule": ["a", "b"]}))
    np.testing.assert_array_equal(each.high, [10, 100])


def test_a_bar_that_is_infinite_lets_no_diverged_run_in():
    found = good_range(along_lr([1, 2, INF, 3]), level=xr.DataArray(INF))
    assert (found.low, found.high) == (1, 10)


def test_between_rates_the_ends_lie_where_a_power_law_crosses_the_bar():
    lr = np.geomspace(1e-3, 1e3, 13)
    losses = along_lr(np.maximum(lr, 1 / lr), lr)  # the bar 4 is crossed at 1/4 and at 4
    found = good_range(losses, level=4, interpolate=True)
    np.testing.assert_allclose([found.low, found.high], [0.25, 4], rtol=1e-12)
    assert good_range(losses, level=4).high < 4


def test_between_a_good_rate_and_a_diverged_one_nothing_is_known():
    found = good_range(along_lr([NAN, 1, 1.2, INF]), within=1.5, interpolate=True)
    assert (found.low, found.high) == (10, 100)


# -- first times -----------------------------------------------------------------------------------


@given(arrays(float, (3, 6), elements=with_gaps), numbers, st.sampled_from(["low", "high"]))
@settings(deadline=None)
def test_the_first_time_is_that_of_a_loop(rows, level, better):
    steps = np.array([0, 10, 20, 50, 100, 200])
    values = xr.DataArray(rows, {"seed": range(3), "eval_step": steps})
    found = first_reached(values, level, better=better)
    for row, first in zip(rows.tolist(), found.values, strict=True):
        there = [
            step
            for step, v in zip(steps, row, strict=True)
            if (v <= level if better == "low" else v >= level)
        ]
        np.testing.assert_equal(first, there[0] if there else NAN)


def test_each_run_may_have_a_level_of_its_own():
    values = xr.DataArray([[4, 2, 1], [4, 2, 1.0]], {"task": ["a", "b"], "step": [0, 5, 10]})
    found = first_reached(values, xr.DataArray([2.0, 0.5], {"task": ["a", "b"]}))
    np.testing.assert_array_equal(found, [5, NAN])
    wide = first_reached(values.sel(task="a", drop=True), xr.DataArray([4, 2.0], dims="bar"))
    np.testing.assert_array_equal(wide, [0, 5])


@given(st.floats(0.01, 0.99), st.floats(0.1, 0.95), st.floats(0.1, 100))
@settings(deadline=None)
def test_updates_to_a_share_of_a_geometric_sequence_do_not_depend_on_its_start(
    share, factor, start
):
    distance = xr.DataArray(start * factor ** np.arange(900.0), dims="step")
    expected = np.log(share) / np.log(factor)
    if abs(expected - round(expected)) < 1e-6:
        return
    assert updates_until(distance, share) == (np.ceil(expected) if expected < 900 else NAN)


def test_a_run_that_never_gets_there_has_no_number_of_updates():
    loss = xr.DataArray([[4, 2, 1], [4, 9, NAN], [0, 0, 0]], dims=["lr", "step"])
    np.testing.assert_array_equal(updates_until(loss, 0.5), [1, NAN, 0])


# -- wrong input -----------------------------------------------------------------------------------

LOSS = along_lr([1, 2, 3])


@pytest.mark.parametrize(("kind", "call", "words"), [
    (ValueError, lambda: quartiles(np.ones((0, 3))), "rows must hold at least one run"),
    (ValueError, lambda: middle(LOSS), "runs must have the dimension 'seed', had lr"),
    (TypeError, lambda: middle(np.ones(3)), "runs must be a DataArray such as runs.val_loss"),
    (TypeError, lambda: middle(cube([[1]])), "runs must be a DataArray such as runs.val_loss"),
    (TypeError, lambda: final(LOSS), "runs must be a Dataset such as a sweep returns"),
    (ValueError, lambda: final(cube([[1]]), "loss"), "variable of runs (val_loss), was 'loss'"),
    (ValueError, lambda: final(cube([[1]]), last=2), "last must be at most 1, the records, was 2"),
    (ValueError, lambda: final(cube([[1]], dim="x")), "val_loss must have one dimension of step, "),
    (ValueError, lambda: best(LOSS, "rate"), "values must have the dimension 'rate', had lr"),
    (TypeError, lambda: best([1, 2]), "values must be a DataArray such as"),
    (ValueError, lambda: good_range(LOSS, 0.9), "within must be a finite number >= 1, was 0.9"),
    (ValueError, lambda: good_range(-LOSS), "values >= 0, the best was -3: give level"),
    (ValueError, lambda: good_range(LOSS - 2, level=1, interpolate=True), "values and lr > 0"),
    (ValueError, lambda: good_range(LOSS, level=LOSS.rename(lr="task")), "had 'task'"),
    (ValueError, lambda: good_range(LOSS.assign_coords(lr=list("abc"))), "a dimension of numbers"),
    (ValueError, lambda: first_reached(LOSS, 1), "values must have one dimension of step, "),
    (ValueError, lambda: first_reached(LOSS, NAN, "lr"), "level must be a finite number, was nan"),
    (TypeError, lambda: first_reached([1], 1), "values must be a DataArray"),
    (ValueError, lambda: updates_until(LOSS, 0.5), "values must have the dimension 'step', had lr"),
    (ValueError, lambda: updates_until(LOSS, 0, "lr"), "share must be a finite number > 0, was 0"),
    (ValueError, lambda: updates_until(-LOSS, 0.5, "lr"), "start at 0 or above, the least was -1"),
])  # fmt: skip
def test_wrong_input_is_named(kind, call, words):
    with pytest.raises(kind, match=re.escape(words)):
        call()


# -- tables ----------------------------------------------------------------------------------------

METHODS = {
    "SGD": {"loss": 0.27061, "lr": 0.1, "updates": 1400},
    "Adam": {"loss": 0.27084, "lr": 10**-2.5, "updates": None},
    "GD": {"loss": INF, "lr": 3.0, "updates": None},
}


class Parsed(HTMLParser):
    """The cells of a page by tag, with their attributes."""

    def __init__(self, made):
        super().__init__()
        self.cells, self.open = [], []
        self.feed(made._repr_html_())
        assert not self.open  # every element is closed

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.cells.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and data.strip():
            self.cells[-1][2] += data

    def texts(self, tag, **attrs):
        return [t for name, a, t in self.cells if name == tag and attrs.items() <= a.items()]


def test_the_page_holds_a_captioned_table_with_scopes():
    page = Parsed(table(METHODS, caption="Loss < 1", rows="method", units={"loss": "nats"}))
    assert page.texts("caption") == ["Loss < 1"]
    assert page.texts("th", scope="col") == ["method", "loss (nats)", "learning rate", "updates"]
    assert page.texts("th", scope="row") == ["SGD", "Adam", "GD"]
    assert page.texts("td")[:3] == ["0.271", "0.1", "1,400"]
    tag, attrs, _ = page.cells[0]
    assert (tag, attrs["class"], attrs["tabindex"]) == ("div", "lr-table", "0")
    assert attrs["aria-label"] == "Loss < 1"
    assert "overflow-x: auto" in attrs["style"]


def test_what_looks_alike_is_marked_alike_and_not_by_colour():
    made = table(METHODS, caption="c", best={"loss": "low"})
    assert Parsed(made).texts("strong") == ["0.271", "0.271"]
    assert repr(made).count("0.271 *") == 2
    assert "best of its column" in made._repr_html_()
    finer = table(METHODS, caption="c", best={"loss": "low"}, digits={"loss": 4})
    assert Parsed(finer).texts("strong") == ["0.2706"]


def test_the_best_may_be_high_and_may_be_looked_for_in_each_row():
    values = xr.DataArray([[1, 2, 3], [9, NAN, 8.0]], {"task": ["a", "b"], "rule": list("xyz")})
    assert Parsed(table(values, caption="c", best="high", among="row")).texts("strong") == [
        "3",
        "9",
    ]
    assert Parsed(table(values, caption="c", best="low")).texts("strong") == ["1", "2", "3"]
    rows = table(values, caption="c", best={"b": "low"}, among="row")
    assert Parsed(rows).texts("strong") == ["8"]


def test_a_dead_column_has_no_best():
    made = table({"a": {"x": INF}, "b": {"x": NAN}}, caption="c", best="low")
    assert "<strong>" not in made._repr_html_()
    assert "diverged" in repr(made)
    assert "–" in repr(made)


def test_the_text_is_aligned_and_says_it_all():
    assert repr(
        table(METHODS, caption="Final loss", best={"loss": "low"}, rows="method")
    ) == "\n".join(
        [
            "Final loss",
            "",
            "method      loss    learning rate  updates",
            "SGD        0.271 *            0.1    1,400",
            "Adam       0.271 *        0.00316        –",
            "GD      diverged                3        –",
            "* best of its column",
        ]
    )


@given(st.floats(1e-5, 1e5), st.integers(1, 6))
@settings(max_examples=300, deadline=None)
def test_a_last_bit_changes_nothing_in_a_rounded_number(value, digits):
    shown = {
        repr(table({"a": v}, caption="c", digits=digits))
        for v in (np.nextafter(value, 0), value, np.nextafter(value, INF))
    }
    assert len(shown) == 1


def test_a_tie_does_not_hang_on_the_last_bit():
    for value in (0.125, 0.125 - 1e-17, 0.1 + 0.025):
        assert repr(table({"a": value}, caption="c", digits=2)).endswith("0.12")


@pytest.mark.parametrize(("value", "text"), [
    (0.1, "0.1"), (0.27004, "0.270"), (1234.5, "1,230"), (1234.0, "1,234"), (-3.2e-5, "−3.2×10⁻⁵"),
    (123456.7, "1.23×10⁵"), (1e-6, "10⁻⁶"), (0, "0"), (0.9996, "1.00"), (INF, "diverged"),
    (-INF, "diverged"), (NAN, "–"), (None, "–"), (True, "yes"), (np.bool_(False), "no"),
    (np.float32(0.1), "0.1"), (np.int64(70), "70"), ("any text", "any text"),
    ((0.1, 2.5), "0.1 to 2.5"), ((0.2704, 0.1, np.inf), "0.270 (0.1 to diverged)"),
])  # fmt: skip
def test_a_cell_is_written(value, text):
    assert Parsed(table({"a": {"x": value}}, caption="c")).texts("td") == [text]


def test_one_quantity_is_whole_everywhere_or_nowhere():
    mixed = table(xr.DataArray([[1000.0, 0.5]], dims=["a", "b"]), caption="c")
    assert Parsed(mixed).texts("td") == ["1,000", "0.5"]
    counts = table(xr.DataArray([[1234.0, NAN]], dims=["a", "b"]), caption="c", missing="never")
    assert Parsed(counts).texts("td") == ["1,234", "never"]


def test_an_array_has_its_dimensions_across_and_down():
    values = xr.DataArray(
        np.arange(8.0).reshape(2, 2, 2),
        {"rule": ["a", "b"], "data": ["clean", "noisy"], "batch_size": [4, 64]},
        name="updates",
    )
    page = Parsed(table(values, caption="c", columns=["data", "batch_size"], units="updates"))
    assert page.texts("th", scope="colgroup") == ["updates, by data, batch size"]
    assert page.texts("th", scope="col") == [
        "rule",
        "clean, 4",
        "clean, 64",
        "noisy, 4",
        "noisy, 64",
    ]
    assert page.texts("td") == [str(i) for i in range(8)]
    deep = Parsed(table(values, caption="c"))
    assert deep.texts("th", scope="row")[:4] == ["a", "clean", "a", "noisy"]
    assert deep.texts("th", scope="col") == ["rule", "data", "4", "64"]


def test_a_dataset_has_its_variables_across_with_their_words_and_units():
    ds = xr.Dataset(
        {"value": ("rule", [1.5, 2.5]), "decades": ("rule", [0.5, NAN]), "task": "digits"},
        {"rule": ["a", "b"]},
    )
    ds.value.attrs.update(long_name="final loss", units="nats")
    page = Parsed(table(ds, caption="c", rename={"decades": "width", "a": "first rule"}))
    assert page.texts("th", scope="col") == ["rule", "final loss (nats)", "width", "task"]
    assert page.texts("th", scope="row") == ["first rule", "b"]
    assert page.texts("td") == ["1.5", "0.5", "digits", "2.5", "–", "digits"]


def test_what_best_and_good_range_return_becomes_a_table():
    losses = xr.DataArray([[3, 1, 2.0], [1, 2, 3]], {"rule": ["a", "b"], "lr": [0.1, 1, 10]})
    found = xr.merge([best(losses), good_range(losses, 2)[["low", "high"]]])
    page = Parsed(table(found, caption="c", rename={"value": "loss"}))
    heads = ["rule", "loss", "learning rate", "at edge", "low", "high"]
    assert page.texts("th", scope="col") == heads
    assert page.texts("td") == ["1", "1", "no", "1", "10", "1", "0.1", "yes", "0.1", "1"]


def test_a_frame_and_a_series_keep_their_names():
    frame = pd.DataFrame({"loss": [0.5, 0.25]}, index=pd.Index(["a", "b"], name="rule"))
    page = Parsed(table(frame, caption="c"))
    assert page.texts("th", scope="col") == ["rule", "loss"]
    assert page.texts("td") == ["0.5", "0.25"]
    assert Parsed(table(frame.loss, caption="c")).texts("td") == ["0.5", "0.25"]
    wide = frame.T.rename_axis(columns="rule")
    assert Parsed(table(wide, caption="c")).texts("th", scope="colgroup") == ["rule"]


def test_all_text_is_escaped():
    made = table({"<b>": {"x & y": "<i>"}}, caption='"<u>"', rows="<s>", units={"x & y": "<p>"})
    page = Parsed(made)
    assert {tag for tag, *_ in page.cells} <= {
        "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "span", "strong",
    }  # fmt: skip
    assert page.texts("td") == ["<i>"]


@pytest.mark.parametrize(("kind", "call", "words"), [
    (ValueError, lambda: table(METHODS, caption=" "), "caption must say what the table shows"),
    (ValueError, lambda: table({}, caption="c"), "at least one row and one column"),
    (ValueError, lambda: table(METHODS, caption="c", best={"los": "low"}), "(loss, lr, updates)"),
    (ValueError, lambda: table(METHODS, caption="c", best="least"), "best must be 'low' or 'high'"),
    (ValueError, lambda: table(METHODS, caption="c", units={"x": "m"}), "units must name what"),
    (ValueError, lambda: table(METHODS, caption="c", digits={"x": 2}), "digits must name what"),
    (ValueError, lambda: table(METHODS, caption="c", digits=0), "digits must be an integer >= 1"),
    (ValueError, lambda: table(METHODS, caption="c", columns="lr"), "columns must be left out"),
    (ValueError, lambda: table(LOSS, caption="c", columns="x"), "dimensions of data (lr), was 'x'"),
    (TypeError, lambda: table([1, 2], caption="c"), "data must be a DataArray, a Dataset"),
    (TypeError, lambda: table({"a": [1]}, caption="c"), "a cell must be a number, a text, a bool"),
])  # fmt: skip
def test_a_wrong_table_is_named(kind, call, words):
    with pytest.raises(kind, match=re.escape(words)):
        call()


def test_everything_public_is_there():
    assert all(callable(getattr(results, name)) for name in results.__all__)


def test_settings_chosen_on_one_half_are_judged_on_the_other():
    values = [[[1.0, 1.2], [2.0, 2.2]], [[3.0, 3.2], [0.0, 0.2]]]  # each half likes another rate
    loss = xr.DataArray(values, {"lr": [0.1, 0.2]}, ["half", "lr", "seed"])
    np.testing.assert_allclose(judged_elsewhere(loss), [2.5, 2.7])
    shares = loss * 10
    np.testing.assert_allclose(judged_elsewhere(shares, loss), [25, 27])


def test_runs_are_judged_on_the_half_that_did_not_choose_their_rate():
    loss = [[[1.0, 5.0], [1.0, 7.0]], [[2.0, 3.0], [2.0, np.nan]], [[np.nan, 1.0], [np.nan, 1.0]]]
    wrong = [[[0.0, 50.0], [0.0, 70.0]], [[20.0, 30.0], [20.0, 0.0]], [[0.0, 10.0], [0.0, 10.0]]]
    dims = {"lr": [0.1, 0.2, 0.3], "seed": [0, 1]}
    runs = xr.Dataset(
        {"loss": (["lr", "seed", "half"], loss), "mistakes": (["lr", "seed", "half"], wrong)}, dims
    )
    # Half 0 chooses 0.1, judged on half 1: 5, 7. Half 1 chooses 0.3, which diverged on half 0.
    assert np.isnan(judged_elsewhere(runs.loss)).all()
    runs = runs.isel(lr=[0, 1])
    # Of the rest half 1 chooses 0.1 as well, since a run at 0.2 diverged.
    assert judged_elsewhere(runs.loss).values.tolist() == [3.0, 4.0]
    assert judged_elsewhere(runs.mistakes, runs.loss).values.tolist() == [25.0, 35.0]


def test_what_cannot_be_judged_elsewhere_is_refused():
    loss = xr.DataArray(np.ones((3, 2, 1)), dims=["half", "lr", "seed"])
    with pytest.raises(ValueError, match="half must have two places, had 3"):
        judged_elsewhere(loss)
    with pytest.raises(ValueError, match="must have the dimension weight_decay"):
        judged_elsewhere(loss.isel(half=[0, 1]), along=["lr", "weight_decay"])
    with pytest.raises(ValueError, match="must have the dimension half"):
        judged_elsewhere(loss.isel(half=0))


def test_updates_off_plan_are_counted_once_for_all_seeds():
    planned = np.array([0.1, 0.1, 0.05, 0.0])
    used = np.array([[0.1, 0.1, 0.05, 0.0], [0.1, 0.2, 0.05 * (1 + 1e-13), 0.01]])
    runs = xr.Dataset({"used": (("seed", "step"), used), "planned": ("step", planned)})
    assert off_plan(runs).item() == 2
    assert off_plan(runs.rename(seed="how")).values.tolist() == [0, 2]
    momentum = {
        "used_momentum": ("step", [0.9] * 4),
        "planned_momentum": ("step", [0.8] + [0.9] * 3),
    }
    assert off_plan(runs.assign(momentum)).item() == 3
    with pytest.raises(ValueError, match="planned is missing"):
        off_plan(runs.drop_vars("planned"))
    with pytest.raises(ValueError, match="must have the dimension step"):
        off_plan(runs.isel(step=0))
