"""Attention by head: kept in the trace or replayed, and the game that is played with heads."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stepscope.estimate import trace_size
from stepscope.methods import explain as job
from stepscope.methods.attention_heads import reading_layers
from stepscope.methods.method import HEAD
from stepscope.methods.weakened_heads import head_names
from stepscope.models import pipelines
from stepscope.models.families.registry import family_of
from stepscope.scores import head_games
from stepscope.store import tables
from stepscope.store.attention import heads_of
from stepscope.store.traces import open_trace
from stepscope.table_registry import TABLES
from stepscope.tracing.generate import generate
from support import tiny

STUDY = {
    "sampling": {"kind": "uniform", "steps": 3},
    "scheduler": {"name": "dpmsolver++", "order": 1},
    "guidance": 4.0,
    "negative_prompt": "",
    "height": 64,
    "width": 80,  # latents 16 x 20
    "storage": {"forward_batch": 2, "derived": "float16", "attention": "heads"},
}
PROMPTS = [
    {"prompt_id": "cat", "prompt": "a red cat", "seeds": [0, 1], "roles": {"subject": "cat"}},
    {"prompt_id": "two", "prompt": "a dog above a zebra", "seeds": [0], "roles": {}},
]
ATTENTION = {"function": "stepscope.methods.attention:attention", "steps": [2, 3]}
SELECTED = {"function": "stepscope.methods.selected_heads:selected_heads", "learnt_from": "heads"}
KEYS = {"model": "tiny", "dataset": "made", "sampling": "uniform"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model, its trace that keeps attention by head, and a made-up table of what heads find."""
    folder = tmp_path_factory.mktemp("heads")
    names = head_names(family_of(tiny.tiny_sd1(folder / "pipeline")))
    model = {"folder": str(folder / "pipeline"), "fingerprint": "x"}
    path = str(folder / "traces.zarr")
    partial = str(folder / "partial")
    generate(path, partial=partial, model=model, study=STUDY, prompts=PROMPTS, code="")
    rows = [
        {"prompt_id": prompt_id, "seed": 0, "step": 2, "word": "cat", "word_index": 2}
        | {"role": "subject", "method": "heads", "average_precision": place / len(names)}
        | dict(zip(("layer", "head"), name.rsplit(HEAD, 1), strict=True))
        for prompt_id in ("cat", "two")
        for place, name in enumerate(names)
    ]
    grounding = str(folder / "rq2_heads.tsv")
    tables.write(grounding, pd.DataFrame(rows).reindex(columns=TABLES["rq2_heads"].columns))
    return model, path, grounding


def explained(made, entry, monkeypatch, stored):
    """Maps of a method, read from the trace, without a model, or replayed."""
    model, path, grounding = made
    with monkeypatch.context() as patched:
        if stored:
            patched.setattr(job, "replaying", lambda *_: pytest.fail("a model is loaded"))
        else:
            patched.setattr(job, "keeps_heads", lambda tree: False)
        heads = grounding if "learnt_from" in entry else None
        return job.explain_batch(path, model=model, method="m", entry=entry, heads=heads)[0]


@pytest.mark.parametrize(
    "entry",
    [
        ATTENTION | {"heads": "all"},
        ATTENTION | {"layers": ["down", "up_blocks.0"]},
        ATTENTION | {"heads": "all", "words": ["a"], "layers": ["mid"], "forward_batch": "auto"},
        SELECTED | {"share": 0.3},
    ],
)
def test_what_a_trace_keeps_by_head_is_what_replay_gives(made, monkeypatch, entry):
    stored, replayed = (explained(made, entry, monkeypatch, kept) for kept in (True, False))
    assert stored.keys() == replayed.keys()
    for name, maps in replayed.items():
        if "layer" in maps.dims:
            assert list(stored[name]["layer"].values) == list(maps["layer"].values)
        # half precision keeps eleven bits
        np.testing.assert_allclose(stored[name], maps, atol=1e-6, rtol=2**-10)
        assert np.isfinite(maps).any()


def test_heads_in_the_trace_are_those_of_its_mean_and_weigh_what_is_estimated(made):
    model, path, _ = made
    tree = open_trace(path)
    by_head = heads_of(tree, 0, 2)
    layers = reading_layers(family_of(pipelines.load(model)))
    assert {name: len(maps) for name, maps in by_head.items()} == {
        name: layer.heads for name, layer in layers.items()
    }
    for grid, names in tree.attrs["audit"]["layers"].items():
        mean = np.mean([by_head[name].astype("f4").mean(0) for name in names], 0)
        np.testing.assert_allclose(mean, tree[f"attn_{grid}/value"][0, 1], atol=1e-3)
        value = tree[f"heads_{grid}/value"]
        assert value.dims == ("sample", "step", "head", "word_token", "y", "x")
        assert value.encoding["chunks"] == (1, 1, *value.shape[2:])
        # what a shorter prompt lacks
        np.testing.assert_array_equal(
            np.isnan(value[0, 0, 0, :, 0, 0]), np.arange(tree.sizes["word_token"]) >= 6
        )
    grids = tuple(tuple(map(int, grid.split("x"))) for grid in tree.attrs["audit"]["layers"])
    geometry = trace_size.Geometry((4, 16, 20), 4, grids, 0, 1)
    geometry = trace_size.counted(geometry, tree.attrs["audit"])
    rows = tree.sizes["word_token"]
    sizes = {"steps": 3, "rows": rows, "order": 1, "dtype": "float32", "derived": "float16"}
    more = (trace_size.trace_bytes(geometry, by_head=by_head, **sizes) for by_head in (True, False))
    stored = [tree[f"heads_{h}x{w}/value"] for h, w in grids]
    assert 3 * (next(more) - next(more)) == sum(value.nbytes for value in stored)


def test_the_game_is_played_on_the_steps_that_are_asked_for(made, monkeypatch, tmp_path):
    model, path, grounding = made
    entry = ATTENTION | {"heads": "all", "samples": 2}
    maps = explained(made, entry, monkeypatch, stored=True)
    monkeypatch.setattr(head_games, "read_methods", lambda paths: stored)
    stored = {"heads": maps["m"], "heads_cat": maps["m"].isel(word=0)}
    table = str(tmp_path / "games.tsv")
    game = {"steps": [1, 2], "samples": 2, "roles": None, "moves": 3, "draws": 2}
    head_games.write_head_games(
        table, traces=path, grounding=grounding, maps=[], model=model, game=game, keys=KEYS, seed=0
    )
    frame = tables.read(table)
    assert tuple(frame.columns) == TABLES["rq2_head_games"].columns
    assert set(frame["prompt_id"]) == {"cat", "two"}
    played = frame.groupby(["prompt_id", "step", "role"])["method"].unique().map(set)
    always = {"random", "alone", "relevance"}
    assert (
        played["cat", 2, "prompt"]
        == played["cat", 2, "subject"]
        == always
        | {
            "heads",
            "heads_mass",
        }
    )
    assert played["cat", 1, "subject"] == always  # of which there are neither scores nor maps
    assert ("two", 2, "subject") not in played.index  # a prompt without roles
    ends = frame.groupby("weakened")[["lost", "changed"]].agg(["min", "max"])
    np.testing.assert_allclose(ends.loc[0], 0, atol=1e-12)
    np.testing.assert_allclose(ends.loc[1], 1, atol=1e-7)
    assert frame["weakened"].nunique() == 4


def test_a_head_that_is_gone_from_the_disk_is_missed(made):
    chunk = sorted(Path(made[1], "heads_16x20", "value").glob("c.0.0.*"))[0]
    kept = chunk.read_bytes()
    chunk.unlink()
    with pytest.raises(ValueError, match="this file is missing"):
        heads_of(open_trace(made[1]), 0, 1)
    chunk.write_bytes(kept)
