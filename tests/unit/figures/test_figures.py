"""Figures are drawn from tables and pictures alone, and are the same in every run."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.text import Text

from stepscope.figures import games, plotting, rq1, rq2, rq3
from stepscope.figures.samples import load_by_sampling, load_samples
from stepscope.store.zarr_files import write_dataset
from stepscope.table_registry import TABLES

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
    """Make a table of all combinations."""
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
        score="clip_distance",
    )
    base["similarity"] = np.where(base["method"].str.startswith("df_rise"), "structure", "")
    base["substrate"] = base["game"].map({"deletion": "zero", "insertion": "blur"})
    curves = np.array(curves)
    areas = base.assign(auc_distance=curves.mean(axis=1), auc_similarity=np.nan)
    rows = base.loc[base.index.repeat(len(moves))].assign(
        move=np.tile(moves, len(base)), value=curves.ravel()
    )
    return rows, areas


def scene(rng, sharp, size=64):
    """Draw a coloured picture with a disc, blurred into noise as `sharp` falls to 0."""
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
        height = np.where(role != "", 3, 0.7)
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


def texts(figure):
    """All text of a figure."""
    return "\n".join(text.get_text() for text in figure.findobj(Text) if text.get_visible())


def drawn(figure):
    """Lay a figure out without writing it, and return its text."""
    figure.draw_without_rendering()
    return texts(figure)


def test_the_same_figure_is_the_same_bytes(rng, tmp_path):
    table = recovery_table(rng, prompts=3).query("sampling == 'uniform'")
    for run in "ab":
        figure = rq1.recovery(table, **BOOTSTRAP)
        plotting.save(figure, f"{tmp_path}/{run}.pdf", f"{tmp_path}/{run}.png")
    for form in ("pdf", "png"):
        assert (tmp_path / f"a.{form}").read_bytes() == (tmp_path / f"b.{form}").read_bytes()


def test_interval_averages_seeds_first_and_covers_the_mean():
    frame = pd.DataFrame(
        {
            "prompt_id": ["a", "a", "a", "b", "c"],
            "seed": [0, 1, 2, 0, 0],
            "step": 1,
            "value": [0.0, 0.0, 3.0, 5.0, np.nan],
        }
    )
    (row,) = plotting.intervals(frame, ["step"], "value", **BOOTSTRAP).itertuples()
    assert (row.n, row.estimate) == (2, 3.0)  # the mean of 1 and 5
    assert 1 <= row.ci_low <= 3 <= row.ci_high <= 5


def test_recovery_names_regions_bands_samplings_and_n(rng):
    text = drawn(rq1.recovery(recovery_table(rng, prompts=4), **BOOTSTRAP))
    for part in ("object", "border", "high frequencies", "latter", "log-SNR", "step", "n = 4"):
        assert part in text


def test_recovery_without_any_object_says_so(rng):
    table = recovery_table(rng, prompts=2).query("sampling == 'early'").assign(recovered=np.nan)
    assert "n = 0 prompts" in drawn(rq1.recovery(table, **BOOTSTRAP))


def test_several_models_are_drawn_apart(rng):
    table = recovery_table(rng, prompts=3)
    both = pd.concat([table, table.assign(model="other")])
    text = drawn(rq1.recovery(both, **BOOTSTRAP))
    assert "embedded · scenes" in text
    assert "other · scenes" in text


def test_auc_says_which_way_is_better(rng):
    text = drawn(games.auc(*game_tables(rng, prompts=3), **BOOTSTRAP))
    for part in ("deletion (substrate: zero): higher", "insertion (substrate: blur): lower"):
        assert part in text
    for part in (
        "DF-RISE",
        "random map",
        "step 15",
        "n = 3",
        "AUC of the squared CLIP feature distance",
    ):
        assert part in text


def test_similarities_of_a_method_are_told_apart(rng):
    curves, areas = game_tables(rng, methods=("df_rise", "random"), prompts=2)
    other = [
        each[each["method"] == "df_rise"].assign(similarity="cosine") for each in (curves, areas)
    ]
    both = map(pd.concat, zip((curves, areas), other, strict=True))
    text = texts(games.auc(*both, **BOOTSTRAP))
    assert "DF-RISE · structure" in text
    assert "DF-RISE · cosine" in text


@pytest.mark.parametrize(
    ("game", "kind", "better"),
    [
        ("deletion", "distance", "higher"),
        ("insertion", "distance", "lower"),
        ("deletion", "similarity", "lower"),
        ("insertion", "similarity", "higher"),
    ],
)
def test_direction_of_a_game(game, kind, better):
    assert games.direction(game, kind) == better


def test_maps_over_time_show_only_steps_with_a_map(rng):
    samples = [sample(rng, 0), sample(rng, 1, steps=(2, 8))]
    text = drawn(rq1.maps_over_time(samples, "df_rise"))
    for part in ("step 2", "step 15", "log-SNR -4.7", "final picture", PROMPTS[1], "DF-RISE map"):
        assert part in text
    assert "step 9" not in text


def test_reigns_begin_where_the_top_word_changes():
    mean = pd.DataFrame(
        {0: [3, 3, 1, 1, 1], 1: [1, 1, 2, 2, 0], 2: [0, 0, 0, 0, 4]}, index=range(1, 6)
    )
    assert rq2.reigns(mean)[["step", "word_index", "length"]].to_numpy().tolist() == [
        [1, 0, 2],
        [3, 1, 2],
        [5, 2, 1],
    ]


def test_words_marks_repeats_roles_and_seeds(rng):
    samples = [sample(rng, 0, words=12, steps=range(1, 21))]
    figure = rq2.words(samples, relevance_table(rng, 1), "relevance", "df_cam_word")
    text = drawn(figure)
    for part in ("a (2)", "cat [subject]", "n = 3 seeds", "DF-CAM, word map", "log-SNR"):
        assert part in text


def test_a_step_without_relevance_has_no_top_word(rng):
    table = relevance_table(rng, prompts=1)
    table.loc[table["step"] <= 2, "relevance"] = 0
    figure = rq2.words(
        [sample(rng, 0, words=12, steps=range(1, 21))], table, "relevance", "df_cam_word"
    )
    text = drawn(figure)
    assert "step 3" in text
    assert "step 1\n" not in text


def test_emergence_names_families_predictions_and_chance(rng):
    given = concept_tables(rng, prompts=3, families={"object": 3, "size": 2})
    figure = rq3.emergence(*given, **BOOTSTRAP)
    text = drawn(figure)
    for part in ("object", "size", "e_u", "guided", "chance", "n = 3 prompts", "onset"):
        assert part in text
    levels = {
        round(float(line.get_ydata()[0]), 3)
        for axes in figure.findobj(Axes)
        for line in axes.lines
        if line.get_label().startswith("chance")
    }
    assert levels == {0.333, 0.5}


def test_samplings_show_prompts_seeds_and_schedules(rng):
    text = drawn(rq3.samplings([sampling_pictures(rng, prompts=2)]))
    for part in ("uniform", "early", "latter", "seed 0", "log-SNR", "20"):
        assert part in text


def stored(folder, rng, sampling, samples=3):
    """Write stores of previews, masks and maps, with their keys as the workflow writes them."""
    coords = {
        "sample": np.arange(samples),
        "step": np.arange(1, 5),
        "prompt_id": ("sample", np.array([f"p{i}" for i in range(samples)], dtype=object)),
        "seed": ("sample", np.arange(samples)),
        "timestep": ("step", np.linspace(999, 100, 4)),
        "log_snr": ("step", np.linspace(-5, SAMPLINGS[sampling], 4)),
    }
    roles = np.array([["", "subject", "object"]] * samples, dtype=object)
    texts = np.array([["a", "cat", "dog"]] * samples, dtype=object)
    words = {"word_text": (("sample", "word"), texts), "word_role": (("sample", "word"), roles)}
    masks = np.zeros((samples, 3, 8, 8), np.float32)
    masks[:, 0], masks[:, 1, :4], masks[:, 2] = 1, 1, np.nan
    maps = rng.normal(size=(samples, 4, 3, 4, 4)).astype(np.float32)
    maps[2:] = np.nan
    size = (samples, 4, 3, 8, 8, 3)
    given = {
        "previews": {
            "preview": (
                ("sample", "step", "prediction", "y", "x", "rgb"),
                rng.integers(0, 255, size).astype("u1"),
            ),
            "image": (
                ("sample", "image_y", "image_x", "rgb"),
                rng.integers(0, 255, (samples, 8, 8, 3)).astype("u1"),
            ),
        },
        "masks": {"mask": (("sample", "word", "y", "x"), masks)},
        "maps": {"df_cam_word": (("sample", "step", "word", "y", "x"), maps)},
    }
    paths = {}
    for kind, variables in given.items():
        predictions = {"prediction": np.array(["e_u", "e_c", "guided"], dtype=object)}
        extra = predictions if kind == "previews" else words
        paths[kind] = f"{folder}/{sampling}_{kind}.zarr"
        write_dataset(paths[kind], xr.Dataset(variables, {**coords, **extra}))
    return paths


def record(sampling, number):
    """Say what a rule says of a sample that it draws."""
    return {
        **UNIT,
        "sampling": sampling,
        "prompt_id": f"p{number}",
        "prompt": PROMPTS[number],
        "seed": number,
    }


def test_samples_are_read_by_prompt_and_seed_and_left_out_without_a_map(rng, tmp_path):
    paths = stored(tmp_path, rng, "uniform")
    records = [record("uniform", number) for number in (1, 2)]
    given = [[path] * 2 for path in paths.values()]
    (found,) = load_samples(records, *given, "df_cam_word", per_word=True)
    assert found.attrs["prompt_id"] == "p1"
    assert found["map"].sizes == {"step": 4, "word": 3, "map_y": 4, "map_x": 4}
    assert found["mask"].mean() == 0.5  # the subject's half; a word without a role does not count
    assert np.array_equal(found["image"], xr.open_zarr(paths["previews"])["image"][1])
    (flat,) = load_samples(records, *given, "df_cam_word")
    assert flat["map"].sizes == {"step": 4, "map_y": 4, "map_x": 4}


def test_pictures_by_sampling_keep_their_places(rng, tmp_path):
    paths = {name: stored(tmp_path, rng, name)["previews"] for name in ("uniform", "early")}
    records = [record(name, number) for number in (0, 1) for name in paths]
    (found,) = load_by_sampling(records, [paths[each["sampling"]] for each in records])
    assert dict(found.sizes) == {"prompt": 2, "sampling": 2, "y": 8, "x": 8, "rgb": 3, "step": 4}
    there = found["image"].isel(prompt=1).sel(sampling="early")
    assert np.array_equal(there, xr.open_zarr(paths["early"])["image"][1])
    assert "uniform" in texts(rq3.samplings([found]))


def test_columns_that_figures_read_are_the_tables():
    for columns, table in [
        (rq1.RECOVERY, "rq1_recovery"),
        (games.CURVES, "rq1_curves"),
        (games.AREAS, "rq1_auc"),
        (rq2.RELEVANCE, "rq2_relevance"),
        (rq3.CONCEPTS, "rq3_concepts"),
        (rq3.ONSETS, "rq3_emergence"),
    ]:
        assert set(columns) <= set(TABLES[table].columns)
