"""From a trace store to maps and game tables, with every method, on a wide picture."""

import dataclasses
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from stepscope.controls.job import write_controls
from stepscope.diffusion.denoiser import Denoiser
from stepscope.methods.explain import explain
from stepscope.methods.method import parameters_of
from stepscope.models import pipelines
from stepscope.scores import activation_probes, controls, games
from stepscope.scores import areas as areas_of
from stepscope.scores.continuations import write_continuations
from stepscope.scores.earliest import firsts_of, paired, write_earliest
from stepscope.store import tables
from stepscope.store.maps import flat, open_dataset, read_errors, read_maps
from stepscope.store.traces import open_trace, read_step, replay_settings
from stepscope.table_registry import TABLES
from stepscope.tracing.generate import generate
from support import tiny, tiny_judges

STUDY = {
    "sampling": {"kind": "uniform", "steps": 3},
    "scheduler": {"name": "dpmsolver++", "order": 1},
    "guidance": 4.0,
    "negative_prompt": "",
    "height": 64,
    "width": 80,  # latents 16 x 20
    "storage": {"forward_batch": 2, "derived": "float16", "attention": "mean"},
}
PROMPTS = [
    {"prompt_id": "cat", "prompt": "a red cat", "seeds": [0, 1], "roles": {"subject": "cat"}},
    {"prompt_id": "two", "prompt": "a dog above a zebra", "seeds": [0], "roles": {}},
]
METHODS = {
    "df_rise": {
        "function": "stepscope.methods.df_rise:df_rise",
        "steps": [2],
        "samples": 2,
        "masks": 20,
        "variants": ["paper", "official", "cosine"],
    },
    "df_cam": {"function": "stepscope.methods.df_cam:df_cam", "steps": [1, 2], "samples": 2},
    "df_cam_word": {"function": "stepscope.methods.df_cam:df_cam_word", "steps": [2], "samples": 2},
    "cross_attention": {"function": "stepscope.methods.cross_attention:cross_attention"},
    "relevance": {"function": "stepscope.methods.relevance:relevance", "steps": [2], "samples": 2},
    "information": {
        "function": "stepscope.methods.word_information:word_information",
        "steps": [2],
    },
}
GAMES = {"steps": [2], "samples": 1, "deletion": "zero", "insertion": "blur", "moves": None}
GAMES |= {"batch": 32, "others": None, "scores": ["clip_distance", "clip_cosine"], "draws": 2}
KEYS = {"model": "tiny", "dataset": "made", "sampling": "uniform"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A trace store, and the maps of every method beside it."""
    folder = tmp_path_factory.mktemp("explain")
    tiny.tiny_sd1(folder / "pipeline")
    tiny_judges.tiny_clip(folder / "clip")
    model = {"folder": str(folder / "pipeline"), "fingerprint": "x"}
    generate(
        str(folder / "traces.zarr"),
        partial=str(folder / "partial"),
        model=model,
        study=STUDY,
        prompts=PROMPTS,
        code="",
    )
    for method, entry in METHODS.items():
        explain(
            str(folder / f"{method}.zarr"),
            traces=str(folder / "traces.zarr"),
            model=model,
            method=method,
            entry=entry,
            mask_path=None,
            code="",
        )
    return folder


@pytest.mark.parametrize("method", METHODS)
def test_maps_have_the_traces_axes_and_say_what_they_are(folder, method):
    path, entry = str(folder / f"{method}.zarr"), METHODS[method]
    maps, attrs = read_maps(path), open_dataset(path).attrs
    assert attrs["method"] == method
    assert attrs["target"]
    assert attrs["held_fixed"]
    assert attrs["forward_limit"] is None
    assert "masks" in attrs["parameters"] or method != "df_rise"
    for values in maps.values():
        assert values.shape[:2] == (3, 3)
        assert values.shape[-2:] == (16, 20)
        assert list(values["prompt_id"].values) == ["cat", "cat", "two"]
        within = [axis for axis in values.dims if axis not in ("sample", "step")]
        computed = np.isfinite(values).any(within)
        expected = np.zeros((3, 3), dtype=bool)
        samples = [0, 2] if entry.get("samples") == 2 else [0, 1, 2]
        for step in entry.get("steps", [1, 2, 3]):
            expected[samples, step - 1] = True
        np.testing.assert_array_equal(computed, expected)
    for name, values in flat(maps).items():
        assert values.dims == ("sample", "step", "y", "x"), name
    assert set(read_errors(path)) == ({"df_rise"} if method == "df_rise" else set())


def played(folder, *methods):
    return games.play_batch(
        str(folder / "traces.zarr"),
        [str(folder / f"{method}.zarr") for method in methods],
        model={"folder": str(folder / "pipeline")},
        clip={"folder": str(folder / "clip"), "fingerprint": "x"},
        games=GAMES,
        keys=KEYS,
        seed=0,
    )


FAMILIES = {
    "object": {"templates": ["a {}"], "concepts": ["cat", "dog", "ball"], "only_named": False},
    "colour": {"templates": ["{}"], "concepts": ["red", "blue"], "only_named": True},
}


def reads_brightness(pictures, families):
    """A reader of one family, by how bright a picture is."""
    value = pictures.mean((1, 2, 3)) / 255
    return {"colour": np.stack([value, 1 - value], 1)} if "colour" in families else {}


def continued(folder, name, **changes):
    settings = {"families": None, "every": 2, "samples": None}
    settings |= {"decided": {"samples": 2, "draws": 2, "prompts": ["empty", "without"]}} | changes
    paths = [str(folder / f"{name}_{table}.tsv") for table in ("commitment", "decided")]
    write_continuations(
        *paths,
        traces=str(folder / "traces.zarr"),
        model={"folder": str(folder / "pipeline")},
        clip={"folder": str(folder / "clip"), "fingerprint": "x"},
        readers={"bright": {"function": "test_jobs:reads_brightness", "samples": 3}},
        side=64,
        families=FAMILIES,
        settings=settings,
        seed=0,
        keys=KEYS,
    )
    return [tables.read(path) for path in paths]


def test_continuations_have_rows_of_every_reader_direction_and_start(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "test_jobs", sys.modules[__name__])
    switched, drawn = continued(folder, "all")
    assert list(switched) == list(TABLES["rq3_commitment"].columns)
    assert list(drawn) == list(TABLES["rq3_decided"].columns)
    # three samples name an object, two a colour, which both readers read; starts are steps 1 and 3
    counts = switched.groupby(["family", "reader"]).size()
    assert counts.to_dict() == {
        ("object", "clip"): 3 * 4,
        ("colour", "clip"): 2 * 4,
        ("colour", "bright"): 2 * 4,
    }
    assert set(switched["step"]) == set(drawn["step"]) == {1, 3}
    back = switched[switched["trajectory"] == "swapped"].set_index(["prompt_id", "seed"])
    assert (back["to"].loc[("cat", 0)].isin(["cat", "red"])).all()
    # the second sample is the other prompt's, which names no colour
    assert drawn.groupby(["prompt_id", "family", "reader", "given"]).size().to_dict() == {
        (prompt, family, reader, given): 2
        for prompt, family, reader in (
            *[("cat", "object", "clip"), ("two", "object", "clip")],
            *[("cat", "colour", "clip"), ("cat", "colour", "bright")],
        )
        for given in ("empty", "without")
    }
    assert (drawn["draws"] == 2).all()
    one, few = continued(
        folder,
        "few",
        families=["colour"],
        samples=1,
        decided={"samples": 1, "draws": 2, "prompts": ["empty"]},
    )
    first = switched[(switched["prompt_id"] == "cat") & (switched["seed"] == 0)]
    of_colour = first[first["family"] == "colour"].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, of_colour, rtol=1e-4, atol=1e-4)
    assert len(few) == 2 * 2


def test_nearby_noises_are_rows_of_every_noise_and_pair(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "test_jobs", sys.modules[__name__])
    path = str(folder / "near.tsv")
    write_earliest(
        path,
        traces=str(folder / "traces.zarr"),
        model={"folder": str(folder / "pipeline")},
        clip={"folder": str(folder / "clip"), "fingerprint": "x"},
        readers={"bright": {"function": "test_jobs:reads_brightness", "samples": 3}},
        side=64,
        families=FAMILIES,
        settings={"samples": 5, "pairs": 2, "distance": 0.5},
        keys=KEYS,
    )
    found = tables.read(path)
    assert list(found) == list(TABLES["rq3_earliest"].columns)
    # of three samples two have the same noise, and a picture of no prompt need not have a colour
    counts = found.groupby(["prompt_id", "seed", "pair", "family", "reader"]).size()
    assert counts.to_dict() == {
        ("cat", seed, pair, "object", "clip"): 3 for seed in (0, 1) for pair in (1, 2)
    }
    assert (found[["clean", "state"]] > 0).all(axis=None)
    at_start = found.loc[found["step"] == 1, "state"]
    assert at_start.between(0.45, 0.6).all()  # sqrt(2 - 2 sqrt(1 - d^2)) is 0.518
    flipped = (found["from"] != found["to"]).astype(int)
    assert (found["flipped"] == flipped).all()


def test_the_same_noise_makes_the_same_steps_bit_by_bit(folder, monkeypatch):
    tree = open_trace(str(folder / "traces.zarr"))
    pipeline = pipelines.load({"folder": str(folder / "pipeline")})
    denoiser = Denoiser(pipeline, **replay_settings(tree) | {"guidance": 1.0})
    call, rows = denoiser.outputs, []

    def counted(latents, *given):
        rows.append(len(latents))
        return call(latents, *given)

    monkeypatch.setattr(denoiser, "outputs", counted)
    found = paired(denoiser, firsts_of(tree, None), 2, 0.0)
    assert sum(rows) == 2 * 3 * denoiser.step_count
    assert not found.clean.any()
    assert not found.state.any()
    assert all(torch.equal(found.finals[0], other) for other in found.finals[1:])


def probed(folder, least):
    """Courses of a study in which a red picture is one of the first seed."""
    settings = {"layers": ["mid"], "steps": [1, 3], "samples": None, "least": least, "shuffles": 20}
    return activation_probes.probe(
        [str(folder / "traces.zarr")],
        [],
        [str(folder / "concepts.tsv")],
        model={"folder": str(folder / "pipeline")},
        reader=None,
        families=FAMILIES,
        settings=settings,
        seed=0,
    )


def test_activations_of_every_layer_half_and_step_are_probed(folder, capsys):
    rows = [
        {"prompt_id": prompt, "seed": seed, "step": step, "prediction": prediction}
        | {"reader": "clip", "family": "colour", "concept": concept}
        | {"probability": float((concept == "red") == (seed == 0))}
        for prompt, seed in (("cat", 0), ("cat", 1), ("two", 0))
        for step in (1, 2, 3)
        for prediction in ("e_u", "e_c", "guided")
        for concept in ("red", "blue")
    ]
    tables.write(str(folder / "concepts.tsv"), pd.DataFrame(rows))
    courses, times = probed(folder, least=1)
    assert times["step"].tolist() == [1, 3]
    layers = ["mid_block.resnets.0", "mid_block.resnets.1"]
    assert [(course.layer, course.half) for course in courses] == [
        ("clean prediction", ""),
        ("latent", ""),
        *((layer, half) for layer in layers for half in ("uncond", "cond")),
    ]
    assert courses[0].hits.all()  # it sees what the final picture shows
    assert {course.hits.shape for course in courses} == {(2, 3)}
    assert "Budget: 6 denoiser calls." in capsys.readouterr().out
    assert probed(folder, least=2)[0] == []
    assert "of its concepts 1 are shown by 2 prompts or more" in capsys.readouterr().out


def test_games_score_every_map_and_the_baselines(folder):
    both = zip(played(folder), played(folder, *METHODS), strict=True)
    areas, curves = (pd.concat(parts, ignore_index=True) for parts in both)
    assert list(areas) == list(TABLES["rq1_auc"].columns)
    methods = {
        "random",
        "centre",
        "edge",
        *METHODS,
        *(f"df_rise_{v}" for v in METHODS["df_rise"]["variants"]),
    }
    assert set(areas["method"]) == methods
    assert len(areas) == len(methods) * 2 * 2
    assert len(curves) == len(areas) * 17
    distance = areas[areas["score"] == "clip_distance"]
    assert distance["auc_distance"].notna().all()
    assert distance["auc_similarity"].isna().all()
    named = dict(zip(areas["method"], areas["similarity"], strict=True))
    assert (named["df_rise"], named["df_rise_cosine"], named["df_cam"]) == (
        "structure",
        "cosine",
        "",
    )
    measured = ("move", "value", "normalised")
    keys = [name for name in TABLES["rq1_curves"].columns if name not in measured]
    again = curves.groupby(keys)["value"].agg(lambda line: areas_of.auc(line.to_numpy()))
    expected = areas.set_index(keys)[["auc_distance", "auc_similarity"]].max(axis=1)
    np.testing.assert_allclose(again, expected.reindex(again.index), rtol=1e-6)
    shares = curves.groupby(keys)["normalised"].agg(lambda line: areas_of.auc(line.to_numpy()))
    normalised = areas.set_index(keys)["auc_normalised"].reindex(shares.index)
    np.testing.assert_allclose(shares, normalised, rtol=1e-5, atol=1e-6)


def test_a_number_of_moves_takes_the_area_of_few(folder, monkeypatch):
    monkeypatch.setitem(GAMES, "moves", 4)
    areas, curves = played(folder)
    values = curves["value"].to_numpy().reshape(len(areas), 5)
    stored = areas[["auc_distance", "auc_similarity"]].max(axis=1)
    np.testing.assert_allclose(areas_of.auc_of_few(values), stored, rtol=1e-6)


def test_a_constant_map_is_reported_and_not_scored(folder, monkeypatch, capsys):
    monkeypatch.setattr(
        games, "flat", lambda maps: {k: v.where(v.isnull(), 1) for k, v in flat(maps).items()}
    )
    areas, _ = played(folder, "information")
    assert (
        areas[areas["method"] == "information"][
            ["auc_distance", "auc_similarity", "auc_normalised"]
        ]
        .isna()
        .to_numpy()
        .all()
    )
    assert "information: cat, seed 0, step 2: constant map." in capsys.readouterr().out


def test_a_method_without_maps_at_the_played_steps_has_no_rows(folder, monkeypatch):
    monkeypatch.setitem(GAMES, "steps", [3])
    areas, curves = played(folder, "df_rise")
    assert (len(areas), len(curves)) == (0, 0)
    assert list(areas) == list(TABLES["rq1_auc"].columns)


CONTROLS = {"steps": [1, 2], "samples": 2, "seed": 0}


def controlled(folder, method, *kinds, **restricted):
    """Rows of rq1_controls of a method, whose store they are read from."""
    path = str(folder / f"{method}_{'_'.join(kinds)}.zarr")
    write_controls(
        path,
        code="",
        traces=str(folder / "traces.zarr"),
        model={"folder": str(folder / "pipeline")},
        method=method,
        entry=METHODS[method],
        controls=CONTROLS | {"kinds": kinds} | restricted,
    )
    own = read_maps(str(folder / f"{method}.zarr"))
    return controls.controls_table(own, read_maps(path), KEYS), open_dataset(path).attrs


def test_controls_of_words_are_compared_with_the_maps_of_the_store(folder):
    table, attrs = controlled(folder, "cross_attention", "cascade", "weights", "prompt", steps=[3])
    assert attrs["others"] == {"0": ["two", 0], "2": ["cat", 1]}
    assert set(table["control"]) == {"cascade", "weights", "prompt"}
    first = table[(table["prompt_id"] == "cat") & (table["step"] == 3)]
    assert first[first["control"] == "weights"]["word"].tolist() == ["a", "red", "cat"]
    assert (table["ceiling"] == 1).all()
    # the other prompt's last words have none at their places to be compared with
    assert table["other_sample"].isna().groupby(table["word_index"]).all().tolist() == [
        *[False] * 3,
        *[True] * 2,
    ]
    assert table["other_sample"].dropna().between(-1, 1).all()
    # what stands behind the last attention has no part in it; all weights have, and the prompt
    means = table.groupby(["control", "depth"])["correlation"].mean()
    assert means["cascade", 1] == pytest.approx(1, abs=1e-3)  # stored in half precision
    assert means["weights"].item() < 0.9
    assert means["prompt"].item() < 0.9


def test_the_ceiling_of_a_seeded_method_is_itself_with_another_seed(folder):
    table, attrs = controlled(folder, "df_rise", "latent", samples=1)
    assert attrs["parameters"]["seed"] == 1  # the controls have it too
    assert set(table["method"]) == {
        "df_rise",
        *(f"df_rise_{v}" for v in ("paper", "official", "cosine")),
    }
    assert set(table["step"]) == {2}  # of those that were asked for, what the method explains
    assert table["ceiling"].between(-1, 0.9999).all()
    with pytest.raises(ValueError, match="controls/information: steps: .* explains none of 3"):
        write_controls(
            "",
            code="",
            traces=str(folder / "traces.zarr"),
            model={"folder": "nowhere"},
            method="information",
            entry=METHODS["information"],
            controls=CONTROLS | {"kinds": ["weights"], "steps": [3]},
        )


def test_a_stored_step_is_explained_like_one_in_memory(folder):
    tree = open_trace(str(folder / "traces.zarr"))
    pipeline = pipelines.load({"folder": str(folder / "pipeline")})
    denoiser = Denoiser(pipeline, **replay_settings(tree))
    step = dataclasses.replace(read_step(tree, 0, 2), mask=torch.ones(16, 20))
    function, parameters = parameters_of(METHODS["df_rise"] | {"score": "region"})
    everywhere = function(denoiser, step, **parameters)[""][0]
    mean = function(denoiser, step, **(parameters | {"score": "mean"}))[""][0]
    np.testing.assert_allclose(everywhere, mean, atol=1e-7)
    stored = read_maps(str(folder / "df_rise.zarr"))["df_rise"].sel(sample=0, step=2)
    again = function(denoiser, step, **(parameters | {"score": "pixel"}))[""][0]
    np.testing.assert_array_equal(stored.values, again)
