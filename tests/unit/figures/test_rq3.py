"""Figures of RQ3 name families, predictions, samplings."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.axes import Axes

from stepscope.figures import rq3, samplings
from stepscope.statistics import summaries
from stepscope.table_columns import WHOLE
from stepscope.table_registry import TABLES
from support.drawings import (
    BOOTSTRAP,
    PROMPTS,
    SAMPLINGS,
    UNIT,
    crossed,
    drawn,
    scene,
    schedule,
    texts,
    without_rows,
)

FAMILIES = {"object": 24, "colour": 8, "texture": 4, "size": 2, "relation": 2}


def concept_tables(rng, prompts=8, families=FAMILIES):
    concepts, onsets = [], []
    for sampling in SAMPLINGS:
        for index, (family, count) in enumerate(families.items()):
            keys = crossed(
                prompt_id=[f"p{i:02}" for i in range(prompts)],
                seed=[0, 1],
                prediction=["e_u", "e_c", "guided"],
                step=range(1, 21),
            )
            keys = keys.merge(schedule(sampling), on="step").assign(
                **UNIT, sampling=sampling, family=family
            )
            centre = (
                -3.5
                + index
                + keys["prediction"].map({"e_u": 2.0, "e_c": 0.5, "guided": -0.5})
                + keys["prompt_id"].str[1:].astype(int) * 0.1
            )
            rise = 1 / (1 + np.exp(-1.5 * (keys["log_snr"] - centre)))
            p = 1 / count + (0.95 - 1 / count) * rise
            for number in range(count):
                probability = p if number == 0 else (1 - p) / (count - 1)
                concepts.append(
                    keys.assign(
                        concept=f"{family}{number}",
                        probability=probability,
                        margin=0.0,
                        reader="clip",
                    )
                )
            top = (
                keys[rise > 0.4].groupby(["prompt_id", "seed", "prediction"]).first().reset_index()
            )
            clocks = {"e_u": "visible", "e_c": "visible_e_c", "guided": "visible_guided"}
            counted = f"{family}0|{family}1" if family == "object" else f"{family}0"
            onsets.append(
                top.assign(reader="clip", counted=counted, clock=top["prediction"].map(clocks))
            )
    onsets = pd.concat(onsets)
    return pd.concat(concepts), onsets, onsets


def emergence(tables, concepts):
    """The figure of made tables, for families with so many concepts."""
    rows, counted, clocks = tables
    courses = summaries.concept_courses([rows], counted, rq3.READER, **BOOTSTRAP)
    names = {family: range(count) for family, count in concepts.items()}
    return rq3.emergence(courses, names, clocks, BOOTSTRAP["confidence"])


def sampling_pictures(rng, prompts=6):
    image = np.stack([[scene(rng, s) for _ in range(prompts)] for s in (1, 0.8, 0.9)])
    return xr.Dataset(
        {
            "image": (("sampling", "prompt", "y", "x", "rgb"), image),
            "log_snr": (
                ("sampling", "step"),
                np.stack([schedule(name)["log_snr"] for name in SAMPLINGS]),
            ),
        },
        coords={
            "sampling": list(SAMPLINGS),
            "prompt": [PROMPTS[i % 4] for i in range(prompts)],
            "step": range(1, 21),
            "seed": ("prompt", np.zeros(prompts, int)),
            "prompt_id": ("prompt", [f"p{i:02}" for i in range(prompts)]),
        },
        attrs=UNIT,
    )


def test_emergence_names_families_predictions_and_chance(rng):
    families = {"object": 3, "size": 2}
    figure = emergence(concept_tables(rng, prompts=3, families=families), families)
    text = drawn(figure)
    for part in ("object", "size", "e_u", "guided", "chance", "n = 3 prompts, ", "n = 3", "onset"):
        assert part in text
    levels = {
        round(float(line.get_ydata()[0]), 3)
        for axes in figure.findobj(Axes)
        for line in axes.lines
        if line.get_label().startswith("chance")
    }
    assert levels == {0.333, 0.5}


def test_emergence_draws_what_there_is(rng):
    families = {"object": 3, "size": 2}
    tables = concept_tables(rng, prompts=2, families=families)
    kept = "prediction != 'e_u' and (family != 'size' or sampling == 'early')"
    text = texts(emergence([table.query(kept) for table in tables], families))
    for part in ("object", "size", "latter", "guided", "n = 2 prompts"):
        assert part in text


def test_samplings_name_a_prompt_that_the_font_cannot_show(rng):
    pictures = sampling_pictures(rng, prompts=2).assign_coords(prompt=["$1 cat", "猫"])
    text = texts(samplings.draw([pictures], without_rows("rq3_samplings"), **BOOTSTRAP))
    assert "“$1 cat”\nseed 0" in text
    assert "p01 (its prompt" in text


def test_samplings_show_prompts_seeds_and_schedules(rng):
    changes = crossed(
        prompt_id=["a", "b", "c"], seed=[0], sampling=["early", "latter"], ends=["", "matched"],
        part=["low", "high"],
    )  # fmt: skip
    changes = changes.assign(**UNIT, measure="distance", reader="", value=1.0)
    changes["change"] = rng.normal(size=len(changes))
    text = drawn(samplings.draw([sampling_pictures(rng, prompts=2)], changes, **BOOTSTRAP))
    parts = ("uniform", "early", "latter", "seed 0", "log-SNR", "20", "early, ends matched", "low")
    for part in (*parts, "many steps", "n = 3 prompts"):
        assert part in text


def test_columns_that_the_figures_read_are_the_tables():
    assert set(rq3.CONCEPTS) <= set(TABLES["rq3_concepts"].columns)
    assert set(rq3.COUNTED) <= set(TABLES["rq3_emergence"].columns)
    assert set(rq3.ONSETS) <= set(WHOLE["rq3_clocks"])


def test_lines_end_at_gaps_and_what_is_counted_is_summed(rng):
    tables = concept_tables(rng, prompts=2, families={"object": 3})
    few = [table[table["sampling"] == "uniform"] for table in tables]
    few[0] = few[0][~few[0]["step"].between(8, 13)]
    figure = emergence(few, {"object": 3})
    line = next(line for line in figure.axes[0].lines if line.get_label() == "guided")
    assert np.isnan(line.get_xdata()).sum() == 1
    assert np.isnan(line.get_ydata()[7])
    rows = few[0][(few[0]["prediction"] == "guided") & (few[0]["step"] == 1)]
    both = rows[rows["concept"].isin(["object0", "object1"])]
    expected = both.groupby(["prompt_id", "seed"])["probability"].sum().mean()
    assert line.get_ydata()[0] == pytest.approx(expected)
