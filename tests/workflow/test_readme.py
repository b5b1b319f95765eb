"""The README's worked examples, followed literally on the shared tiny study."""

import json
import subprocess
import sys

import pandas as pd
import torch

from support.workflow import ROOT, block


def save(study, kind: str, name: str) -> None:
    """Save an example's file, as the README says."""
    (study.folder / name).write_text(block(kind, name), encoding="utf-8")


def add(study, key: str) -> None:
    """Add an example's entry under a key of the config, as the README says."""
    study.edit("config/config.yaml", f"\n{key}:\n", f"\n{key}:\n{block('yaml', key)}")


def test_a_step_is_explained_in_a_notebook(monkeypatch):
    monkeypatch.chdir(ROOT)
    found = {}
    exec(block("python", "notebook"), found)
    assert len(found["pictures"]) == 1
    assert found["map_"].shape == found["error"].shape == (16, 16)
    step = found["step"]
    assert step.number == 8
    with torch.inference_mode():
        replayed = found["denoiser"].outputs(step.latent[None], step)[0]
    assert torch.equal(replayed, step.outputs)


def test_a_new_dataset_goes_through_all(study):
    config = study.folder / "config" / "config.yaml"  # one sampling, three methods: every stage
    others = ("early:", "latter:", "df_cam:", "cross_attention:", "information:")
    lines = config.read_text().splitlines(keepends=True)
    config.write_text("".join(line for line in lines if not line.strip().startswith(others)))
    save(study, "tsv", "config/animals.tsv")
    add(study, "datasets")
    assert study.planned("all")["generate"] == 1  # none for the old dataset
    printed = study.snakemake("all")
    assert "100 % of the work done" in printed
    assert printed.count("start from the same") == 1  # of the old dataset, and not by every job
    tables = list((study.folder / "results" / "tiny" / "tables").glob("*.tsv"))
    assert tables
    for path in tables:
        table = pd.read_csv(path, sep="\t")
        # of the old dataset: no sampling is left to compare, and few prompts leave nothing to probe
        if path.name.startswith(("rq3_samplings", "rq3_probes")):
            continue
        # of methods that were left out, or that the study does not have
        if path.name.startswith(("rq2_information", "rq2_interactions", "rq3_clocks_null")):
            assert table.empty
            continue
        assert {"pairs", "animals"} <= set(table["dataset"]), path.name


def test_a_method_of_ones_own_gets_what_ours_get(study):
    save(study, "python", "my_methods.py")
    add(study, "explain")
    jobs = study.planned("rq1", "rq2")
    assert jobs["explain"] == 1
    assert "generate" not in jobs
    study.snakemake("rq1", "rq2")
    for name in ("rq1_saliency", "rq1_auc", "rq1_curves", "rq2_grounding"):
        table = pd.read_csv(study.folder / "results" / "tiny" / "tables" / f"{name}.tsv", sep="\t")
        assert "gradient" in set(table["method"]), name


def test_a_model_of_ones_own_is_traced_from_its_folder(study):
    (study.folder / "resources").symlink_to(ROOT / "resources")
    save(study, "python", "save_model.py")
    subprocess.run([sys.executable, "save_model.py"], cwd=study.folder, check=True)
    add(study, "models")
    jobs = study.planned("all")
    assert jobs["generate"] == 3  # one a sampling, none for the old model
    assert "fetch_model" not in jobs
    store = "results/tiny/traces/my_model/pairs/uniform/0.zarr"
    study.snakemake(store)
    attrs = json.loads((study.folder / store / "zarr.json").read_text())["attributes"]
    assert attrs["model"]["variant"] == "fp16"
    assert attrs["dtype"] == "float32"
