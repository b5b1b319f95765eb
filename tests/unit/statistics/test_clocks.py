"""Clocks of a made study: onsets, work and intervals come to the times they were put at."""

import numpy as np
import pandas as pd
import pytest

from stepscope.statistics import clock_summary, clocks
from stepscope.table_columns import CLOCKS, CLOCKS_SUMMARY
from support.synthetic import KEYS, blocks_of

LOG_SNR = np.linspace(-8, 4, 25)
AT = {"colour": -5.0, "object": -3.0, "tint": 1.0}  # when concepts become visible
FAMILIES = {"colour": ["red", "blue"], "object": ["cat", "dog", "t-shirt"], "tint": ["teal"]}
SAMPLES = [(f"p{number}", seed) for number in range(12) for seed in range(2)]
SETTINGS = {"draws": 100, "confidence": 0.95, "seed": 0}


def emergence(reader="clip", late=0.0):
    """Readings that turn right half a nat around the time of their family."""
    rng = np.random.default_rng(0)
    rows = []
    for prompt_id, seed in SAMPLES:
        for family, time in AT.items():
            turn = time + late + rng.uniform(-0.5, 0.5)
            shown = np.where(turn <= LOG_SNR, 1, 0)
            key = {"prompt_id": prompt_id, "seed": seed, "family": family, "reader": reader}
            rows.append(
                key | {"prediction": "e_u", "shown": "".join(map(str, shown)), "chance": 1e-3}
            )
    return pd.DataFrame(rows).assign(**KEYS)


def words():
    """Work on the words of "a t-shirt on red", each a bump around a time of its own."""
    at = {"a": 0.0, "t-shirt": -2.0, "on": 0.0, "red": 1.0}
    rows = [
        {"prompt_id": "p0", "seed": 0, "step": step, "log_snr": level, "word": word,
         "word_index": index, "role": "", "method": method,
         "relevance": np.exp(-((level - at[word]) ** 2) * 2)}
        for method in ("information", "relevance", "df_cam_word")
        for index, word in enumerate(at)
        for step, level in enumerate(LOG_SNR, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**KEYS)


AXES = pd.DataFrame({"step": np.arange(1, 26), "log_snr": LOG_SNR}).assign(**KEYS)


@pytest.fixture(scope="module")
def found():
    decided = emergence()[[*KEYS, "prompt_id", "seed", "family"]].assign(reader="untrained")
    time = decided["family"].map(AT)
    decided = decided.assign(lower=time - 1.5, upper=time - 0.5, step=1)
    decided = pd.concat([decided, decided.assign(step=2)])  # a row a step, as tables have
    decided.loc[decided["seed"] == 1, "lower"] = -np.inf
    world = pd.DataFrame(
        {"reader": ["bayes", "e_u"], "family": "object", "middle_log_snr": [-4.0, 0.0],
         "ci_low": [-4.5, 0], "ci_high": [-3.5, 0]}
    )  # fmt: skip
    both = pd.concat([emergence(), emergence("untrained", late=1.0)])
    return clock_summary.measure(
        both, AXES, [words()], FAMILIES, {"decided": decided}, world, [KEYS["model"]], **SETTINGS
    )


def test_every_reader_dates_a_concept_to_when_it_turns_on(found):
    table, summary = found
    assert tuple(table.columns) == CLOCKS
    assert tuple(summary.columns) == CLOCKS_SUMMARY
    for reader, late in (("clip", 0.0), ("untrained", 1.0)):
        rows = table[(table["clock"] == "visible") & (table["reader"] == reader)]
        means = rows.groupby("family")["log_snr"].mean()
        assert means.to_dict() == pytest.approx(
            {name: at + late for name, at in AT.items()}, abs=0.2
        )
        assert ((rows["lower"] <= rows["log_snr"]) & (rows["log_snr"] <= rows["upper"])).all()
    medians = summary[(summary["compared"] == "median") & (summary["clock"] == "visible")]
    expected = medians["family"].map(AT) + (medians["reader"] == "untrained")
    assert ((medians["ci_low"] <= expected + 0.2) & (expected - 0.2 <= medians["ci_high"])).all()
    np.testing.assert_allclose(medians["estimate"], expected, atol=0.3)


def test_work_is_dated_to_the_middle_of_its_bump(found):
    table, _ = found
    rows = table[table["clock"] == "information"].set_index("family")["log_snr"]
    assert rows.to_dict() == pytest.approx({"object": -2.0, "colour": 1.0}, abs=0.05)
    assert set(table.loc[table["clock"] == "relevance", "family"]) == {"object", "colour"}


def test_work_of_blocks_is_that_of_the_whole():
    each = [words().assign(prompt_id=f"p{number}", seed=number) for number in range(3)]
    frame = pd.concat(each, ignore_index=True)
    whole = clocks.worked_on([frame], FAMILIES, AXES)
    assert set(whole["prompt_id"]) == {"p0", "p1", "p2"}
    parts = clocks.worked_on(blocks_of(frame), FAMILIES, AXES)
    keys = ["clock", "family", "prompt_id"]
    left, right = (of.sort_values(keys, ignore_index=True) for of in (parts, whole))
    pd.testing.assert_frame_equal(left, right)


def test_intervals_keep_their_open_ends(found):
    table, summary = found
    rows = table[(table["clock"] == "decided") & (table["family"] == "tint")]
    assert len(rows) == len(SAMPLES)  # one a sample, of a table with a row a step
    open_ = rows[rows["seed"] == 1]
    assert open_["lower"].isna().all()
    assert (open_["censored"] == "before").all()
    assert (rows.loc[rows["seed"] == 0, "log_snr"] == 0).all()
    median = summary[(summary["compared"] == "median") & (summary["clock"] == "decided")]
    assert median["n"].eq(12).all()


def test_lags_orders_and_the_truth_stand_in_the_summary(found):
    _, summary = found
    lag = summary[summary["compared"] == "minus visible by untrained, paired by sample"]
    lag = lag[lag["reader"] == "clip"].set_index("family")["estimate"]
    assert lag.to_dict() == pytest.approx(dict.fromkeys(AT, -1.0), abs=0.15)
    truth = summary[summary["compared"] == "minus bayes, paired by sample"]
    assert set(truth["family"]) == {"object"}
    one = truth[truth["reader"] == "clip"]["estimate"].item()
    assert one == pytest.approx(1, abs=0.2)
    order = summary[(summary["quantity"] == "share_in_order") & (summary["reader"] == "clip")]
    assert order.set_index("family")["compared"].to_dict() == {
        "colour": "before object", "object": "before tint",
    }  # fmt: skip
    assert (order["estimate"] == 1).all()
    ranks = summary[summary["quantity"] == "rank_correlation"]
    ranks = ranks[ranks["compared"].str.contains("visible by untrained")]
    ranks = ranks[(ranks["clock"] == "visible") & (ranks["reader"] == "clip")]
    assert ranks["estimate"].item() == pytest.approx(1)


def test_clocks_of_pairs_stand_in_the_summary_alone():
    first = {"n": 24, "noises": 24, "family": "tint", "reader": "clip"}
    rows = [
        first | {"quantity": "log_snr_clean", "compared": "first step", "estimate": 0.5},
        first | {"quantity": "log_snr_state", "compared": "not testable"},
        first | {"quantity": "flipped", "compared": "share of pairs", "estimate": 0.1},
    ]
    pairs = pd.DataFrame(rows).assign(**KEYS)
    nothing = emergence().iloc[:0], AXES, []
    table, found = clock_summary.measure(
        *nothing, FAMILIES, {}, None, [], earliest=pairs, **SETTINGS
    )
    assert table.empty
    assert found.set_index("clock")["compared"].to_dict() == {
        "earliest": "first step", "earliest_state": "not testable",
    }  # fmt: skip
    assert found["quantity"].eq("log_snr").all()
    assert found["estimate"].tolist()[0] == 0.5


def test_a_study_without_readings_has_no_clocks():
    empty, no_words = emergence().iloc[:0], list[pd.DataFrame]()
    table, summary = clock_summary.measure(
        empty, AXES, no_words, FAMILIES, {}, None, [], **SETTINGS
    )
    assert table.empty
    assert summary.empty
    assert tuple(table.columns) == CLOCKS
    assert clocks.worked_on(no_words, FAMILIES, AXES).empty
