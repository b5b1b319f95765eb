"""Figures are drawn from tables and pictures alone, whatever the study's size, and are the same in every run."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from stepscope import figures_games, figures_rq1, figures_rq2, figures_rq3, plotting

BOOTSTRAP = {"draws": 50, "confidence": 0.95, "seed": 0}
UNIT = {"model": "embedded", "dataset": "scenes"}
SAMPLINGS = {"uniform": 3.4, "early": 2.5, "latter": 2.0}
PROMPTS = [
    "a big cat on a blue background",
    "on a striped red background, a small apple",
    "a dog above a car",
    "a pizza next to a robot on a green dotted background",
]


def times(steps=20, last=3.4, power=1.0):
    """Step numbers and log-SNR of a schedule that ends at `last`."""
    share = np.linspace(0, 1, steps) ** power
    return pd.DataFrame(
        {
            "step": np.arange(1, steps + 1),
            "timestep": 999.0 - 950 * share,
            "log_snr": -5.1 + (last + 5.1) * share,
        }
    )


def crossed(**axes):
    """A table of all combinations."""
    return pd.MultiIndex.from_product(axes.values(), names=axes.keys()).to_frame(index=False)


def schedule(sampling):
    return times(
        last=SAMPLINGS[sampling], power={"uniform": 1, "early": 1.6, "latter": 0.6}[sampling]
    )


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


def recovery_table(rng, prompts=12):
    tables = []
    for sampling in SAMPLINGS:
        keys = crossed(
            prompt_id=[f"p{i:02}" for i in range(prompts)],
            seed=[0, 1],
            step=range(1, 21),
            region=["object", "background", "border"],
            band=["low", "mid", "high"],
        )
        frame = keys.merge(schedule(sampling), on="step").assign(**UNIT, sampling=sampling)
        centre = frame["band"].map({"low": -2.5, "mid": 0, "high": 1.8}) + frame["region"].map(
            {"object": 0.6, "background": -0.6, "border": 0.9}
        )
        frame["recovered"] = 0.12 * np.exp(-((frame["log_snr"] - centre) ** 2) / 3) + rng.normal(
            0, 0.02, len(frame)
        )
        frame.loc[frame["step"] == 1, "recovered"] = np.nan
        tables.append(frame)
    return pd.concat(tables)


def game_tables(rng, methods=("df_rise", "df_cam", "random"), prompts=8, side=16):
    moves = np.arange(side + 1)
    keys = crossed(
        method=methods,
        game=["deletion", "insertion"],
        prompt_id=[f"p{i:02}" for i in range(prompts)],
        seed=[0, 1],
        step=[2, 8, 15],
    )
    log_snr = times().set_index("step")["log_snr"]
    skill = {method: index / len(methods) for index, method in enumerate(reversed(methods))}
    curves = []
    for row in keys.itertuples():
        gain = 0.25 + 2.2 * skill[row.method] * row.step / 15
        power = np.exp(rng.normal(0, 0.2)) / (1 + gain)
        value = (moves / side) ** power * (0.5 + row.step / 30)
        value = (
            value
            if row.game == "deletion"
            else (0.5 + row.step / 30) * (1 - (moves / side) ** power)
        )
        curves.append(value + rng.normal(0, 0.01, len(moves)))
    base = keys.assign(
        **UNIT,
        sampling="uniform",
        timestep=500.0,
        log_snr=keys["step"].map(log_snr),
        similarity="",
        score="clip",
    )
    base["similarity"] = (
        base["method"]
        .where(~base["method"].str.startswith("df_rise"), "structure")
        .where(base["method"].str.startswith("df_rise"), None)
    )
    base["substrate"] = base["game"].map({"deletion": "zero", "insertion": "blur"})
    curves = np.array(curves)
    areas = base.assign(auc_distance=curves.mean(axis=1), auc_similarity=np.nan)
    rows = base.loc[base.index.repeat(len(moves))].assign(
        move=np.tile(moves, len(base)), value=curves.ravel()
    )
    return rows, areas


def scene(rng, sharp, size=64):
    """A coloured picture with a disc, blurred into noise as `sharp` falls to 0."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    disc = np.clip((0.3 - np.hypot(y - 0.55, x - 0.45)) * (4 + 60 * sharp), 0, 1)[..., None]
    colour = np.array([60, 110, 220]) * (1 - disc) + np.array([230, 150, 60]) * disc
    return np.clip(
        colour * sharp + 128 * (1 - sharp) + rng.normal(0, 25 * (1 - sharp), (size, size, 3)),
        0,
        255,
    ).astype(np.uint8)


def sample(rng, number, words=None, steps=(2, 8, 15), side=16):
    """One sample's pictures, maps and mask, as `pictures.first` returns them."""
    when = times()
    sharpness = 1 / (1 + np.exp(-when["log_snr"].to_numpy()))
    preview = np.stack([[scene(rng, s * k) for k in (0.6, 0.95, 1)] for s in sharpness])
    y, x = np.mgrid[:side, :side] / side
    blob = np.exp(-((y - 0.55) ** 2 + (x - 0.45) ** 2) / 0.03)
    shape = (20, side, side) if words is None else (20, words, side, side)
    maps = blob * rng.uniform(0.2, 1, shape) - 0.25 + rng.normal(0, 0.1, shape)
    maps[~np.isin(when["step"], steps)] = np.nan
    dims = ("step", "map_y", "map_x") if words is None else ("step", "word", "map_y", "map_x")
    mask = scene(rng, 1)[..., 0] > 150
    return xr.Dataset(
        {
            "preview": (("step", "prediction", "y", "x", "rgb"), preview),
            "image": (("y", "x", "rgb"), scene(rng, 1)),
            "map": (dims, maps),
            "mask": (("mask_y", "mask_x"), mask.astype(np.float32)),
        },
        coords={
            "step": when["step"],
            "prediction": ["e_u", "e_c", "guided"],
            "log_snr": ("step", when["log_snr"]),
        },
        attrs={
            **UNIT,
            "sampling": "uniform",
            "prompt_id": f"p{number:02}",
            "seed": 0,
            "prompt": PROMPTS[number % 4],
        },
    )


def relevance_table(rng, prompts=3):
    tables = []
    for number in range(prompts):
        words = PROMPTS[number % 4].replace(",", "").split()
        keys = crossed(seed=[0, 1, 2], step=range(1, 21), word_index=range(len(words))).merge(
            times(), on="step"
        )
        role = keys["word_index"].map(
            dict(
                enumerate(
                    {
                        "cat": "subject",
                        "apple": "subject",
                        "dog": "subject",
                        "background": "background",
                        "above": "relation",
                        "car": "object",
                        "blue": "attribute",
                        "red": "attribute",
                        "big": "attribute",
                        "small": "attribute",
                    }.get(w)
                    for w in words
                )
            )
        )
        peak = rng.uniform(-5, 3, len(words))
        height = np.where(role.notna(), 3, 0.7)
        relevance = (
            height
            * (0.3 + np.exp(-((keys["log_snr"] - peak[keys["word_index"]]) ** 2) / 4))
            * np.exp(rng.normal(0, 0.08, len(keys)))
        )
        tables.append(
            keys.assign(
                **UNIT,
                sampling="uniform",
                prompt_id=f"p{number:02}",
                method="relevance",
                role=role,
                word=keys["word_index"].map(dict(enumerate(words))),
                relevance=relevance,
                relevance_minmax=0.0,
            )
        )
    return pd.concat(tables)


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
        },
        attrs=UNIT,
    )
