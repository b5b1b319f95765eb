"""Summaries: seeds averaged first, methods paired with baselines, every table summarised."""

import numpy as np
import pandas as pd
import pytest

from stepscope.statistics import summaries
from stepscope.table_columns import INTERVAL
from stepscope.table_registry import TABLES, TEXT
from support.synthetic import KEYS, blocks_of

SETTINGS = {"draws": 400, "confidence": 0.95, "seed": 0}


def saliency(prompts=10, seeds=2):
    rng = np.random.default_rng(0)
    rows = [
        {**KEYS, "prompt_id": f"p{p}", "seed": s, "step": k, "timestep": 1000.0 - k,
         "log_snr": float(k), "method": method, "detail_correlation": 0.5,
         "detail_partial": 0.1 * k * p,
         "semantic_mass": level + p + 0.1 * rng.normal()}
        for p in range(prompts) for s in range(seeds) for k in (1, 2)
        for method, level in (("df_rise", 2.0), ("random", 1.0), ("centre", 2.5))
    ]  # fmt: skip
    return pd.DataFrame(rows).reindex(columns=TABLES["rq1_saliency"].columns)


def test_seeds_are_averaged_first_and_methods_paired_by_prompt():
    frame = saliency()
    frame.loc[(frame["prompt_id"] == "p3") & (frame["method"] == "df_rise"), "semantic_mass"] = (
        np.nan
    )
    table = summaries.summary("rq1_saliency", [frame], **SETTINGS)
    assert tuple(table.columns[-6:]) == INTERVAL
    rows = table[(table["quantity"] == "semantic_mass") & (table["step"] == 1)]
    alone = rows[rows["compared"].str.startswith("mean")].set_index("method")
    assert alone.loc["df_rise", ["n", "missing"]].tolist() == [9, 1]  # prompts, not samples
    assert alone.loc["random", ["n", "missing"]].tolist() == [10, 0]
    paired = rows[rows["compared"] == "minus random, paired by sample"]
    assert paired["method"].tolist() == ["df_rise"]
    row = paired.iloc[0]
    assert row["estimate"] == pytest.approx(1, abs=0.1)
    assert row["ci_high"] - row["ci_low"] < 0.3  # prompts differ by far more
    assert rows[rows["compared"].str.startswith("minus centre")]["estimate"].item() < 0


def test_areas_of_the_heads_game_are_compared_with_random_orders():
    curves = {"random": [0, 0.5, 1], "alone": [0, 1, 1], "wrong": [0, 0, 1]}
    rows = [
        {**KEYS, "prompt_id": f"p{p}", "seed": 0, "step": 2, "timestep": 9.0, "log_snr": 1.0,
         "word": word, "word_index": index, "role": role, "method": method,
         "weakened": share, "lost": lost, "changed": lost**2}
        for p in range(4) for word, index, role in (("", np.nan, "prompt"), ("cat", 1, "subject"))
        for method, curve in curves.items() for share, lost in zip((0, 0.5, 1), curve, strict=True)
    ]  # fmt: skip
    table = summaries.summary("rq2_head_games", [pd.DataFrame(rows)], **SETTINGS)
    lost = table[(table["quantity"] == "auc_lost") & (table["step"] == 2)]
    found = lost.set_index(["role", "method", "compared"])["estimate"]
    for role in ("prompt", "subject"):
        means = [found[role, name, "mean over prompts, seeds averaged"] for name in curves]
        assert means == pytest.approx([0.5, 0.8125, 0.1875])
        beyond = [
            found[role, name, "minus random, paired by sample"] for name in ("alone", "wrong")
        ]
        assert beyond == pytest.approx([0.3125, -0.3125])
    assert set(lost["n"]) == {4}
    pooled = table[table["compared"] == "minus random, paired by sample, over steps"]
    assert pooled["estimate"].max() == pytest.approx(0.3125)


def test_a_method_of_one_seed_is_compared_with_the_baseline_of_that_seed():
    frame = saliency()
    frame["semantic_mass"] += 100 * frame["seed"]  # the seeds' pictures differ by far more
    frame = frame[(frame["seed"] == 0) | frame["method"].isin(summaries.BASELINES)]
    table = summaries.summary("rq1_saliency", [frame], **SETTINGS)
    rows = table[(table["quantity"] == "semantic_mass") & (table["step"] == 1)]
    paired = rows[rows["compared"] == "minus random, paired by sample"]
    assert paired["estimate"].item() == pytest.approx(1, abs=0.2)


def test_a_course_is_told_step_by_step_among_the_steps_that_a_sample_has():
    frame = pd.concat([saliency(), saliency().query("step == 2").assign(step=5, log_snr=5.0)])
    height = {1: 1.0, 2: 4.0, 5: 3.5}  # a rise at first, and a fall after it
    frame["detail_partial"] = frame["step"].map(height) + 10 * frame["prompt_id"].str[1:].astype(
        int
    )
    frame.loc[(frame["prompt_id"] == "p0") & (frame["step"] == 2), "detail_partial"] = np.nan
    table = summaries.summary("rq1_saliency", [frame], **SETTINGS)
    rows = table[table["compared"] == "minus the step before, paired by sample"]
    assert set(rows["quantity"]) == {"semantic_mass", "detail_partial"}
    rows = rows[(rows["quantity"] == "detail_partial") & (rows["method"] == "df_rise")]
    rows = rows.set_index("step")
    assert rows.index.tolist() == [2, 5]
    assert rows["n"].to_dict() == {2: 9, 5: 10}
    assert rows["estimate"].to_dict() == {2: 3.0, 5: pytest.approx((9 * -0.5 + 2.5) / 10)}
    assert rows.loc[2, "ci_low"] == rows.loc[2, "ci_high"] == pytest.approx(3)


def test_normalised_areas_are_also_averaged_over_steps_and_paired_with_baselines():
    steps = {1: 0.2, 2: 0.6}
    rows = [
        {**KEYS, "prompt_id": f"p{p}", "seed": 0, "step": step, "timestep": 9.0, "log_snr": 1.0,
         "method": method, "similarity": "", "game": "deletion", "substrate": "zero",
         "score": "clip_distance", "auc_distance": 100.0 ** step, "auc_similarity": np.nan,
         "auc_normalised": area + gain + 0.01 * p}
        for p in range(5) for step, area in steps.items()
        for method, gain in (("df_rise", -0.1), ("random", 0.0))
    ]  # fmt: skip
    table = summaries.summary("rq1_auc", [pd.DataFrame(rows)], **SETTINGS)
    over = table[table["compared"].str.endswith(", over steps")]
    assert set(over["quantity"]) == {"auc_normalised"}
    assert over[["step", "timestep", "log_snr"]].isna().all(axis=None)
    found = over.set_index(["method", "compared"])["estimate"]
    mean = "mean over prompts, seeds averaged, over steps"
    assert found["df_rise", mean] == pytest.approx(0.32)
    assert found["random", mean] == pytest.approx(0.42)
    assert found["df_rise", "minus random, paired by sample, over steps"] == pytest.approx(-0.1)


@pytest.mark.parametrize(
    ("seed_of", "noises"),
    [
        (lambda prompt, seed: seed, [2, 1, 1]),  # one for all, as many as a prompt has
        (lambda prompt, seed: 10 * prompt + seed, [19, 9, 9]),
        (lambda prompt, seed: prompt // 5 + 10 * seed, [4, 2, 2]),
    ],
    ids=["shared", "own", "some"],
)
def test_the_noises_behind_n_are_the_seeds_of_its_values(seed_of, noises):
    frame = saliency()
    first = (frame["prompt_id"] == "p0") & (frame["seed"] == 0)
    seeds = frame["seed"]
    frame["seed"] = [seed_of(int(p[1:]), s) for p, s in zip(frame["prompt_id"], seeds, strict=True)]
    frame.loc[first & (frame["method"] == "df_rise"), "semantic_mass"] = np.nan
    few = (frame["method"] == "df_rise") & (frame["step"] == 2) & (seeds == 1)
    frame.loc[few, "semantic_mass"] = np.nan  # an expensive method looks at one seed alone
    table = summaries.summary("rq1_saliency", [frame], **SETTINGS | {"draws": 20})
    rows = table[(table["quantity"] == "semantic_mass") & (table["method"] == "df_rise")]
    alone = rows[rows["compared"].str.startswith("mean")].set_index("step")
    paired = rows[rows["compared"] == "minus random, paired by sample"].set_index("step")
    assert alone["n"].to_dict() == {1: 10, 2: 9}
    assert [alone.loc[1, "noises"], alone.loc[2, "noises"], paired.loc[2, "noises"]] == noises
    assert paired.loc[1, "noises"] == alone.loc[1, "noises"]


def test_a_summary_of_blocks_is_that_of_the_whole():
    frame = saliency(prompts=7, seeds=1)
    gone = (frame["prompt_id"] == "p2") & (frame["method"] == "df_rise")
    frame = frame[~gone | (frame["step"] == 1)]
    frame.loc[frame["prompt_id"] == "p5", "semantic_mass"] = np.nan
    other = frame.assign(sampling="early", seed=9)
    whole = summaries.summary("rq1_saliency", [other, frame], **SETTINGS | {"draws": 20})
    of = [rows for each in (frame, other) for _, rows in each.groupby(each["prompt_id"] < "p3")]
    pd.testing.assert_frame_equal(
        summaries.summary("rq1_saliency", of, **SETTINGS | {"draws": 20}), whole
    )
    coded = [block for each in (frame, other) for block in blocks_of(each)]
    pd.testing.assert_frame_equal(
        summaries.summary("rq1_saliency", coded, **SETTINGS | {"draws": 20}), whole
    )
    alone = whole[(whole["method"] == "df_rise") & (whole["quantity"] == "semantic_mass")]
    alone = alone[alone["compared"].str.startswith("mean")].set_index(["sampling", "step"])
    assert alone[["n", "missing"]].apply(tuple, axis=1).to_dict() == {
        ("early", 1): (6, 1), ("early", 2): (5, 1), ("uniform", 1): (6, 1), ("uniform", 2): (5, 1),
    }  # fmt: skip


@pytest.mark.parametrize(
    "table", [name for name in TABLES if name not in ("rq2_head_games", "rq3_earliest")]
)  # whose summaries are of curves
def test_every_table_with_one_row_a_sample_has_a_summary(table):
    rng = np.random.default_rng(0)
    numbers = {"step": 1, "timestep": 999.0, "log_snr": -5.0, "word_index": 0, "move": 3}
    numbers |= {"changed": 0.5, "depth": 1}
    texts = {"similarity": "", "role": "subject", "prediction": "guided", "method": "mine"}
    rows = [
        {
            name: {**KEYS, **numbers, **texts, "prompt_id": f"p{p}", "seed": s}.get(
                name, name if name in TEXT else rng.random()
            )
            for name in TABLES[table].columns
        }
        for p in range(4)
        for s in range(2)
    ]
    summary = summaries.summary(table, [pd.DataFrame(rows)], **SETTINGS)
    assert (summary["n"] == 4).all()
    assert (summary["noises"] == 2).all()
    curve_and_median = 2 if table == "rq3_commitment" else 0
    about = TABLES[table]
    assert len(summary) == len(about.quantities) + len(about.pooled) + curve_and_median
    assert (summary["ci_low"] <= summary["estimate"] + 1e-12).all()
    assert (summary["estimate"] <= summary["ci_high"] + 1e-12).all()


def test_recovery_is_also_told_beyond_the_null_of_the_same_sample():
    rng = np.random.default_rng(0)
    rows = [
        {**KEYS, "prompt_id": f"p{p}", "seed": s, "step": 2, "timestep": 1.0, "log_snr": 0.0,
         "prediction": name, "region": "object", "band": "low", "recovered": of + beyond}
        for p in range(8) for s in (0, 1) for of in (10 * rng.normal(),)
        for name, beyond in (("guided", 0.5), ("e_c", -0.25), ("gaussian", 0.0))
    ]  # fmt: skip
    table = summaries.summary("rq1_recovery", [pd.DataFrame(rows)], **SETTINGS)
    beyond = table[table["compared"] == "minus the Gaussian null, paired by sample"]
    estimates = beyond.set_index("prediction")
    assert estimates["estimate"].to_dict() == pytest.approx({"e_c": -0.25, "guided": 0.5})
    width = estimates["ci_high"] - estimates["ci_low"]
    assert (width < 1e-6).all()  # samples differ by far more
    alone = table[table["compared"].str.startswith("mean")]
    assert set(alone["prediction"]) == {"guided", "e_c", "gaussian"}
