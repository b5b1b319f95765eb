"""Datasets and judges of every kind go through the workflow."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from PIL import Image

from support import tiny


def captioned(folder):
    """A folder of captioned pictures of the tiny study's animals; returns its metadata file."""
    folder.mkdir()
    for name in ("cat", "dog"):
        Image.new("RGB", (64, 64), "blue").save(folder / f"{name}.png")
    rows = [
        {"file_name": f"{name}.png", "text": f"a big {name}", "subject": name}
        for name in ("cat", "dog")
    ]
    metadata = folder / "metadata.jsonl"
    metadata.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return metadata


def test_real_pictures_are_traced_explained_and_scored_on_other_families(fresh):
    captioned(fresh.folder / "mine")
    for kind in ("tiny_xl", "tiny_sd3"):
        getattr(tiny, kind)(fresh.folder / kind)
    path = fresh.folder / "config" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    explain = {name: config["explain"][name] for name in ("df_rise", "relevance")}
    explain["relevance"]["steps"] = [1]  # and the games are played at step 2, by DF-RISE alone
    config |= {
        "models": {"xl": {"folder": "tiny_xl"}, "sd3": {"folder": "tiny_sd3"}},
        "datasets": {"mine": {"images": "mine", "limit": 1, "trace": "noise"}},
        "samplings": {"uniform": {"kind": "uniform", "steps": 2}},
        "scheduler": {"name": "euler"},
        "explain": explain,
        "linear_probes": config["linear_probes"] | {"steps": [1, 2]},
    }
    path.write_text(yaml.safe_dump(config))
    # summaries and figures do not know of families, and are drawn for the tiny study
    names = ("rq1_recovery", "rq1_auc", "rq2_relevance", "rq2_grounding", "rq3_concepts")
    fresh.snakemake(*(f"results/tiny/tables/{name}.tsv" for name in names))
    results = fresh.folder / "results" / "tiny"
    for name in names:
        table = pd.read_csv(results / "tables" / f"{name}.tsv", sep="\t")
        assert set(table["model"]) == {"xl", "sd3"}, name
    for picture in (fresh.folder / "mine").glob("*.png"):  # another one is traced anew
        Image.new("RGB", (64, 64), "red").save(picture)
    assert fresh.planned("all")["generate"] == 2


def test_captioned_pictures_are_one_entry_and_refused_in_one_sentence(fresh):
    metadata = captioned(fresh.folder / "mine")
    both = "mine: {images: mine}\n  drawn: {scenes: 3, seed: 1, trace: noise}"
    fresh.edit("config/config.yaml", "pairs: {prompts: config/prompts.tsv}", both)
    metadata.write_text(metadata.read_text()[:-20])
    printed = fresh.snakemake("--dry-run", "all", fails=True)
    assert "mine/metadata.jsonl, row 2: the line is no JSON, or is cut off" in printed
    assert "Traceback" not in printed
    assert not (fresh.folder / "results").exists()
    shutil.rmtree(metadata.parent)
    metadata = captioned(metadata.parent)
    planned = fresh.planned("all")
    assert planned["generate"] == planned["ground"] == 6
    assert planned["compose"] == 1  # for all samplings
    before = {path: path.stat().st_mtime_ns for path in (fresh.folder / "results").rglob("*")}
    assert fresh.folder / "results/tiny/.datasets/mine.json" in before
    assert fresh.planned("all")["generate"] == 6  # from what was kept
    metadata.write_text("[]\n")
    assert "the line is no mapping" in fresh.snakemake("--dry-run", "all", fails=True)
    after = {path: path.stat().st_mtime_ns for path in (fresh.folder / "results").rglob("*")}
    assert after == before


def test_a_text_segmenter_of_the_hub_is_fetched_once(fresh):
    entry = f"{{kind: text_segmenter, repo: a/b, revision: {'a' * 40}}}"
    fresh.edit("config/config.yaml", "{kind: segmenter, folder: models/segmenter}", entry)
    jobs = fresh.planned("all")
    assert jobs["fetch_model"] == 1
    assert jobs["ground"] == 3


def test_a_text_segmenter_and_boxes_ground_a_study(study):
    captioned(study.folder / "mine")
    study.edit("config/config.yaml", "models/segmenter}", "models/text_segmenter}")
    study.edit("config/config.yaml", "kind: segmenter", "kind: text_segmenter")
    masks = "results/tiny/masks/tiny/pairs/uniform/0.zarr"
    assert study.planned(masks) == {"ground": 1}
    study.snakemake(masks)
    found = xr.open_zarr(study.folder / masks, consolidated=True, chunks=None)
    roles, shares = found["word_role"].to_numpy(), found["mask"].to_numpy()
    assert np.isfinite(shares[roles == "subject"]).all()
    assert np.isnan(shares[roles == "relation"]).all()
    triple = {
        "image_id": 1,
        "relationships": [
            {
                "relationship_id": 2,
                "predicate": "ABOVE",
                "subject": {"name": "cat", "x": 0, "y": 0, "w": 64, "h": 32},
                "object": {"names": ["red ball"], "x": 0, "y": 32, "w": 32, "h": 32},
            }
        ],
    }
    (study.folder / "relationships.json").write_text(json.dumps([triple]))
    Image.new("RGB", (64, 64)).save(study.folder / "mine" / "1.jpg")
    study.edit(
        "config/config.yaml",
        "pairs: {prompts: config/prompts.tsv}",
        "triples: {visual_genome: relationships.json, images: mine}",
    )
    study.edit(
        "config/config.yaml",
        "{kind: text_segmenter, folder: models/text_segmenter}",
        "{kind: masks}",
    )
    masks = masks.replace("pairs", "triples")
    study.snakemake(masks)
    found = xr.open_zarr(study.folder / masks, consolidated=True, chunks=None)["mask"].to_numpy()[0]
    assert found[:, :32].mean((1, 2)).tolist() == pytest.approx([1, np.nan, 0, 0], nan_ok=True)
    assert found[2, 32:].mean() == found[3, 32:].mean() == 0.5
