"""From a trace store to maps and game tables, with every method, on a wide picture."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from stepscope.diffusion.denoiser import Denoiser
from stepscope.methods.explain import explain
from stepscope.methods.method import parameters_of
from stepscope.models import pipelines
from stepscope.scores import games
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
    "storage": {"forward_batch": 2, "derived": "float16"},
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
GAMES |= {"batch": 32}
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
    again = curves.groupby(keys)["value"].agg(lambda line: games.auc(line.to_numpy()))
    expected = areas.set_index(keys)[["auc_distance", "auc_similarity"]].max(axis=1)
    np.testing.assert_allclose(again, expected.reindex(again.index), rtol=1e-6)
    shares = curves.groupby(keys)["normalised"].agg(lambda line: games.auc(line.to_numpy()))
    normalised = areas.set_index(keys)["auc_normalised"].reindex(shares.index)
    np.testing.assert_allclose(shares, normalised, rtol=1e-5, atol=1e-6)


def test_a_number_of_moves_takes_the_area_of_few(folder, monkeypatch):
    monkeypatch.setitem(GAMES, "moves", 4)
    areas, curves = played(folder)
    values = curves["value"].to_numpy().reshape(len(areas), 5)
    stored = areas[["auc_distance", "auc_similarity"]].max(axis=1)
    np.testing.assert_allclose(games.auc_of_few(values), stored, rtol=1e-6)


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
