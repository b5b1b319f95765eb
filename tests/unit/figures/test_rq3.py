"""Figures of RQ3 name families, predictions, samplings."""

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from stepscope.figures import rq3
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
                    keys.assign(concept=f"{family}{number}", probability=probability, margin=0.0)
                )
            top = (
                keys[rise > 0.4].groupby(["prompt_id", "seed", "prediction"]).first().reset_index()
            )
            top = top.rename(
                columns={
                    "step": "onset_step",
                    "timestep": "onset_timestep",
                    "log_snr": "onset_log_snr",
                }
            )
            onsets.append(top.assign(concept=f"{family}0"))
    return pd.concat(concepts), pd.concat(onsets)


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
    tables = concept_tables(rng, prompts=3, families={"object": 3, "size": 2})
    figure = rq3.emergence(*tables, **BOOTSTRAP)
    text = drawn(figure)
    for part in ("object", "size", "e_u", "guided", "chance", "n = 3 prompts, ", "onset"):
        assert part in text
    levels = {
        round(float(line.get_ydata()[0]), 3)
        for axes in figure.findobj(Axes)
        for line in axes.lines
        if line.get_label().startswith("chance")
    }
    assert levels == {0.333, 0.5}


def test_emergence_draws_what_there_is(rng):
    tables = concept_tables(rng, prompts=2, families={"object": 3, "size": 2})
    kept = "prediction != 'e_u' and (family != 'size' or sampling == 'early')"
    text = texts(rq3.emergence(*(table.query(kept) for table in tables), **BOOTSTRAP))
    for part in ("object", "size", "latter", "guided", "n = 2 prompts"):
        assert part in text


def test_samplings_name_a_prompt_that_the_font_cannot_show(rng):
    pictures = sampling_pictures(rng, prompts=2).assign_coords(prompt=["$1 cat", "猫"])
    text = texts(rq3.samplings([pictures]))
    assert "“$1 cat”\nseed 0" in text
    assert "p01 (its prompt" in text


def test_samplings_show_prompts_seeds_and_schedules(rng):
    text = drawn(rq3.samplings([sampling_pictures(rng, prompts=2)]))
    for part in ("uniform", "early", "latter", "seed 0", "log-SNR", "20"):
        assert part in text


def test_columns_that_the_figures_read_are_the_tables():
    assert set(rq3.CONCEPTS) <= set(TABLES["rq3_concepts"].columns)
    assert set(rq3.ONSETS) <= set(TABLES["rq3_emergence"].columns)
