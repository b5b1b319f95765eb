"""The workflow on a study of a user's own, and on the paper's."""

import json
import shutil

import yaml

from support.workflow import ROOT, planned


def test_study_file_of_a_user_runs_only_its_own(fresh):
    config = yaml.safe_load((fresh.folder / "config" / "config.yaml").read_text())
    config |= {"study": "mine", "datasets": {"own": {"prompts": "own.tsv"}}}
    config["samplings"] = {"uniform": {"kind": "uniform", "steps": 3}}
    config["controls"] = {"methods": ["relevance", "df_rise"], "steps": [2], "kinds": ["cascade"]}
    (fresh.folder / "mine.yaml").write_text(yaml.safe_dump(config))
    (fresh.folder / "own.tsv").write_text("prompt_id\tprompt\tseed\none\ta cat\t0\n")
    mine = str(fresh.folder / "mine.yaml")
    printed = fresh.snakemake("--dry-run", "--configfile", mine, "--", "all")
    jobs = planned(printed)
    assert jobs["generate"] == jobs["score_controls"] == jobs["plot_rq1_controls"] == 1
    assert jobs["explain_controls"] == 2
    assert "dataset=own" in printed
    assert "results/mine/" in printed
    assert "pairs" not in printed
    assert "results/tiny" not in printed
    assert "measure_convergence" not in printed  # it is asked for by its own target


def test_the_full_study_is_planned_with_its_films(fresh):
    config = str(ROOT / "config" / "full.yaml")
    jobs = planned(fresh.snakemake("--dry-run", "--configfile", config, "--", "all", "film"))
    assert jobs["compose"] == 1  # for all samplings and batches
    assert jobs["generate"] == jobs["ground"] == (2 + 1) * 4
    assert jobs["draw_film"] == 2 * 12  # a dataset and method each, on its first sampling


def test_the_papers_study_is_planned(fresh):
    shutil.copy(ROOT / "config" / "paper_prompts.tsv", fresh.folder / "config")
    text = (ROOT / "config" / "paper.yaml").read_text()
    (fresh.folder / "paper.yaml").write_text(text)
    plan = ("--dry-run", "--configfile", str(fresh.folder / "paper.yaml"), "--", "all")
    jobs = planned(fresh.snakemake(*plan))
    assert jobs["fetch_model"] == 3  # Stable Diffusion, the CLIP, the CLIPSeg
    assert jobs["generate"] == jobs["decode"] == jobs["ground"] == 4
    assert jobs["explain"] == 1 + 2 + 2 * 3
    assert jobs["play_games"] == 2  # DF-RISE with its variants, and the baselines
    assert not any("controls" in rule for rule in jobs)  # which the study does not ask for
    # the two datasets that the authors used, once their files are there
    for name in ("coco", "triples"):
        assert text.count(f"\n  # {name}: ") == 1
        text = text.replace(f"\n  # {name}: ", f"\n  {name}: ")
    (fresh.folder / "paper.yaml").write_text(text)
    (fresh.folder / "data").mkdir()
    sentence = {"raw": "A cat.", "sentid": 7}
    image = {"cocoid": 1, "filename": "1.jpg", "filepath": "val2014", "split": "test"}
    karpathy = {"images": [image | {"sentences": [sentence]}]}
    (fresh.folder / "data" / "dataset_coco.json").write_text(json.dumps(karpathy))
    ends = {"subject": {"name": "cat"}, "object": {"name": "mat"}}
    triple = {"relationship_id": 3, "predicate": "on", **ends}
    triples = [{"image_id": 2, "relationships": [triple]}]
    (fresh.folder / "data" / "relationships.json").write_text(json.dumps(triples))
    assert planned(fresh.snakemake(*plan))["generate"] == 3 * 4
