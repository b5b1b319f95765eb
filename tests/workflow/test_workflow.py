"""The workflow's promises, tested through its own command line."""

import json
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from PIL import Image

from stepscope.study import digests
from support import tiny, workflow
from support.workflow import ROOT, planned

SOURCE = ROOT / "workflow" / "src"
ANALYSES = {"rq1", "rq2", "rq3", "all"}


@pytest.fixture
def own_code(study, monkeypatch):
    """A copy of the workflow, so that its code may be edited, with the finished study."""
    code = study.folder.parent / "code"
    code.mkdir()
    shutil.copytree(ROOT / "workflow", code / "workflow")
    shutil.copytree(ROOT / "profiles", code / "profiles")
    shutil.copy(ROOT / "Snakefile", code)
    study.root = code
    return study


def test_finished_study_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.snakemake("--dry-run", "all")


def test_one_edited_prompt_reruns_one_batch_of_each_sampling(study):
    study.edit("config/prompts.tsv", "a small dog\t0\tdog", "a small fish\t0\tfish")
    jobs = study.planned("all")
    assert jobs["generate"] == jobs["decode"] == jobs["ground"] == 3
    assert jobs["explain"] == 3 + 5  # one method on three samplings, five on one
    assert jobs["play_games"] == 2 + 1  # a method with maps at the played step, the baselines


def test_prompts_in_another_batch_leave_the_first_alone(study):
    table = study.folder / "config" / "prompts.tsv"
    head, *rows = table.read_text().splitlines()
    rows = [f"{row}\t0" for row in rows] + [rows[0].replace("big-cat", "new") + "\t1"]
    table.write_text("\n".join([f"{head}\tbatch", *rows]) + "\n")
    assert study.planned("all")["generate"] == 3


def test_one_edited_parameter_of_a_method_generates_nothing(study):
    study.edit("config/config.yaml", "masks: 20", "masks: 21")
    jobs = study.planned("all")
    assert jobs["explain"] == jobs["play_games"] == 1
    assert not jobs.keys() & {"generate", "decode", "ground"}


def test_a_method_that_asks_for_the_objects_region_gets_it(study):
    study.edit(
        "config/config.yaml",
        "steps: [1, 3], samples: 2}\n  df_cam_word",
        "steps: [1], samples: 2, target: region}\n  df_cam_word",
    )
    maps = "results/tiny/maps/tiny/pairs/uniform/0/df_cam.zarr"
    assert study.planned(maps) == {"explain": 1}
    study.snakemake(maps)


def test_one_removed_method_reruns_no_other(study):
    lines = (study.folder / "config" / "config.yaml").read_text().splitlines(keepends=True)
    kept = [line for line in lines if "information:" not in line]
    (study.folder / "config" / "config.yaml").write_text("".join(kept))
    assert not study.planned("all").keys() & {"generate", "explain"}


def test_comments_docstrings_and_time_stamps_plan_nothing(own_code):
    module = own_code.root / "workflow" / "src" / "stepscope" / "tracing" / "call.py"
    module.write_text("# a comment\n" + module.read_text().replace('"""\n', ' More words."""\n', 1))
    (own_code.root / "workflow" / "scripts" / "generate.py").touch()
    assert own_code.planned("all") == {}


def test_edited_code_reruns_what_uses_it(own_code):
    module = own_code.root / "workflow" / "src" / "stepscope" / "methods" / "df_rise.py"
    module.write_text(module.read_text() + "\n\nADDED = 1\n")
    jobs = own_code.planned("all")
    assert jobs["explain"] == 1
    assert not jobs.keys() & {"generate", "decode", "probe"}


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "config/config.yaml",
            "guidance: 4.0",
            "guidence: 4.0",
            "config/config.yaml: guidence: the key is not known, did you mean guidance.",
        ),
        (
            "config/config.yaml",
            "masks: 20",
            "mask: 20",
            "config.yaml: explain/df_rise/mask: df_rise has no such key, did you mean masks.",
        ),
        (
            "config/config.yaml",
            "gamma: 60}\n  latter",
            "gamma: sixty}\n  latter",
            "config/config.yaml: samplings/early/gamma: 'sixty' is not of type 'number'.",
        ),
        (
            "config/prompts.tsv",
            "small-dog\t",
            "big-cat\t",
            "config/prompts.tsv, row 3, column prompt_id: 'big-cat' occurs twice.",
        ),
        (
            "config/prompts.tsv",
            "0\tdog\t",
            "0\thorse\t",
            "config/prompts.tsv, row 3, column subject: 'horse' does not occur in the prompt",
        ),
    ],
)
def test_bad_input_stops_in_one_sentence(fresh, name, old, new, message):
    fresh.edit(name, old, new)
    printed = fresh.snakemake("--dry-run", "all", fails=True)
    assert message in printed
    assert "Traceback" not in printed
    assert not (fresh.folder / "results").exists()


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


def test_real_pictures_go_through_all_on_other_families(fresh):
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
    }
    path.write_text(yaml.safe_dump(config))
    fresh.snakemake("all")
    results = fresh.folder / "results" / "tiny"
    for name in ("rq1_auc", "rq2_relevance", "rq2_grounding", "rq3_concepts"):
        table = pd.read_csv(results / "tables" / f"{name}.tsv", sep="\t")
        assert set(table["model"]) == {"xl", "sd3"}, name
    for picture in (fresh.folder / "mine").glob("*.png"):  # another one is traced anew
        Image.new("RGB", (64, 64), "red").save(picture)
    assert fresh.planned("all")["generate"] == 2


def test_captioned_pictures_are_one_entry_and_refused_in_one_sentence(fresh):
    metadata = captioned(fresh.folder / "mine")
    fresh.edit("config/config.yaml", "pairs: {prompts: config/prompts.tsv}", "mine: {images: mine}")
    metadata.write_text(metadata.read_text()[:-20])
    printed = fresh.snakemake("--dry-run", "all", fails=True)
    assert "mine/metadata.jsonl, row 2: the line is no JSON, or is cut off" in printed
    assert "Traceback" not in printed
    assert not (fresh.folder / "results").exists()
    shutil.rmtree(metadata.parent)
    metadata = captioned(metadata.parent)
    assert fresh.planned("all")["generate"] == 3
    before = {path: path.stat().st_mtime_ns for path in (fresh.folder / "results").rglob("*")}
    assert fresh.folder / "results/tiny/.datasets/mine.json" in before
    assert fresh.planned("all")["generate"] == 3  # from what was kept
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


def test_prompt_that_is_too_long_stops_before_a_model_loads(fresh):
    fresh.edit("config/prompts.tsv", "a big cat on", "a cat " * 30 + "a big cat on")
    (fresh.folder / "broken").mkdir()
    shutil.copytree(
        fresh.folder / "models" / "pipeline" / "tokenizer", fresh.folder / "broken" / "tokenizer"
    )
    shutil.copy(fresh.folder / "models" / "pipeline" / "model_index.json", fresh.folder / "broken")
    fresh.edit("config/config.yaml", "folder: models/pipeline", "folder: broken")
    printed = fresh.snakemake("results/tiny/traces/tiny/pairs/uniform/0.zarr", fails=True)
    assert "prompt_id big-cat" in printed
    assert "the text encoder takes 24" in printed


def test_study_file_of_a_user_runs_only_its_own(fresh):
    config = yaml.safe_load((fresh.folder / "config" / "config.yaml").read_text())
    config |= {"study": "mine", "datasets": {"own": {"prompts": "own.tsv"}}}
    config["samplings"] = {"uniform": {"kind": "uniform", "steps": 3}}
    (fresh.folder / "mine.yaml").write_text(yaml.safe_dump(config))
    (fresh.folder / "own.tsv").write_text("prompt_id\tprompt\tseed\none\ta cat\t0\n")
    mine = str(fresh.folder / "mine.yaml")
    printed = fresh.snakemake("--dry-run", "--configfile", mine, "--", "all")
    assert planned(printed)["generate"] == 1
    assert "dataset=own" in printed
    assert "results/mine/" in printed
    assert "pairs" not in printed
    assert "results/tiny" not in printed


def test_workflow_as_a_module_of_another(study):
    text = f'''
configfile: "config/config.yaml"

module stepscope:
    snakefile: "{ROOT}/workflow/Snakefile"
    config: config

use rule * from stepscope as stepscope_*
'''
    (study.folder / "Snakefile").write_text(text)
    study.snakefile = study.folder / "Snakefile"
    summary = study.folder / "results/tiny/tables/rq1_auc_summary.tsv"
    before = summary.read_bytes()
    summary.unlink()
    assert study.planned("stepscope_all") == {"stepscope_summarise": 1, "stepscope_all": 1}
    study.snakemake("stepscope_all")
    assert summary.read_bytes() == before


def of_package(path):
    found = SOURCE / path
    return found.read_text() if found.is_file() else None


def test_every_rule_has_the_digest_of_all_that_its_script_imports():
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    functions = {
        "method_code": ["methods.explain"],
        "generation_code": ["tracing.generate", "tracing.call"],
    }
    for script in (ROOT / "workflow" / "scripts").glob("*.py"):
        if script.name == "estimate.py":
            continue  # it has no output that could be out of date
        name = re.escape(script.stem.removeprefix("plot_"))
        pattern = rf"(?:scripts/{script.stem}\.py|figure=\"{name}\")"
        (block,) = (
            part for part in re.split(r"\n(?:use )?rule ", rules) if re.search(pattern, part)
        )
        found = re.search(r"code=(?:code\(([^()]*(?:\([^)]*\))?)\)|(\w+))", block)
        assert found, f"{script.name}: its rule has no parameter code"
        names = functions.get(found[2]) or re.findall(r'"([\w.]+)"', found[1].split("tables=")[0])
        used = digests.closure(
            ["script"],
            lambda path, script=script: (
                script.read_text() if path == "script.py" else of_package(path)
            ),
        )
        known = digests.closure([f"stepscope.{name}" for name in names], of_package)
        missing = used.keys() - known.keys() - {"script.py", "stepscope/joblog.py"}
        assert not missing, f"{script.name}: {missing} are not in the digest of its rule"
        if "stepscope/table_registry.py" in used:
            assert "tables=" in block or "about=" in block or script.stem == "merge_table", script


def test_parsing_imports_no_science(fresh):
    """A Snakefile is parsed again in every cluster job."""
    fresh.edit("config/config.yaml", "study: tiny", "study: tiny # parsed")
    probe = fresh.folder / "probe.smk"
    probe.write_text(
        f'include: "{ROOT}/workflow/Snakefile"\n'
        "heavy = {'torch', 'pandas', 'xarray', 'zarr', 'diffusers'} & sys.modules.keys()\n"
        "print('heavy:', sorted(heavy))\n"
    )
    fresh.snakefile = probe
    assert "heavy: []" in fresh.snakemake("--list-rules")


@pytest.mark.parametrize("name", ["generate", "analyse"])
def test_environments_agree_with_the_lock(name):
    lines = (ROOT / "envs" / "requirements.lock").read_text().splitlines()
    locked = {line.split(" ;")[0] for line in lines if not line.startswith("#")}
    *conda, last = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())["dependencies"]
    assert "python =3.11" in conda
    assert set(last["pip"]) <= locked


def test_lint(fresh):
    assert "Congratulations" in fresh.snakemake("--lint")


def test_a_model_of_the_hub_is_fetched_once_and_then_read_offline(fresh, tmp_path, monkeypatch):
    """Really through the hub's library: its cache is where HF_HOME says, in its own layout."""
    revision = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "hub" / "models--acme--tiny" / "snapshots" / revision
    shutil.copytree(fresh.folder / "models" / "pipeline", snapshot)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    fresh.edit(
        "config/config.yaml",
        "tiny: {folder: models/pipeline}",
        f"tiny: {{repo: acme/tiny, revision: {revision}}}",
    )
    assert fresh.planned("rq1")["fetch_model"] == 1
    store = "results/tiny/traces/tiny/pairs/uniform/0.zarr"
    fresh.snakemake(store)
    record = json.loads(
        (fresh.folder / "results" / "tiny" / "fetched" / "models" / "tiny.json").read_text()
    )
    assert record["revision"] == revision
    assert "unet/diffusion_pytorch_model.safetensors" in record["sha256"]
    attrs = json.loads((fresh.folder / store / "zarr.json").read_text())["attributes"]
    assert attrs["model"]["revision"] == revision
    assert "Nothing to be done" in fresh.snakemake("--dry-run", store)


def test_jobs_are_offline_and_fetching_as_the_user_says(fresh, monkeypatch):
    monkeypatch.setattr(workflow, "environment", lambda: {**os.environ, "HF_HUB_OFFLINE": ""})
    probe = fresh.folder / "probe.smk"
    probe.write_text(
        f'include: "{ROOT}/workflow/Snakefile"\n'
        "names = ('HF_HUB_OFFLINE', 'STEPSCOPE_HUB_OFFLINE')\n"
        "print('offline:', *(os.environ[name] for name in names), sep='|')\n"
    )
    fresh.snakefile = probe
    assert "offline:|1|\n" in fresh.snakemake("--list-rules")


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


def test_report(finished):
    report = finished.folder / "report.zip"
    finished.snakemake("--report", str(report), "--", "all")
    assert report.stat().st_size > 10_000


def test_estimate_names_every_target(fresh):
    printed = fresh.snakemake("estimate")
    for target in sorted(ANALYSES):
        assert f"\n{target} " in printed
    assert "measured" in printed
