"""What the workflow tells about itself: the lint, the report and the estimate."""

import html
import json
import re
import zipfile
from types import SimpleNamespace

import jinja2
import pytest
import yaml
from docutils.core import publish_parts

from stepscope.provenance import observed
from stepscope.study import digests
from support.workflow import ROOT

CAPTIONS = sorted((ROOT / "workflow" / "report").glob("*.rst"))
NAMES = ["early_", "_a__ x*y*z |b| <i>&amp;</script> `c`_ \\d $e$ 100 %"]
ANALYSES = {"rq1", "rq2", "rq3", "all"}


def test_lint(fresh):
    assert "Congratulations" in fresh.snakemake("--lint")


def test_a_crate_describes_a_finished_study_and_begins_its_report(study):
    study.snakemake("provenance")
    results = study.folder / "results" / "tiny"
    graph = json.loads((results / "ro-crate-metadata.json").read_text())["@graph"]
    entities = {entity["@id"]: entity for entity in graph}
    parts = [entities[part["@id"]] for part in entities["./"]["hasPart"]]
    files = {part["@id"]: part["sha256"] for part in parts if "sha256" in part}
    assert files == {name: observed.sha256(results / name) for name in files}
    made = {path.relative_to(results).as_posix() for path in results.glob("[tf]*/*.*")}
    assert made <= files.keys()
    assert "tables/claims.tsv" in made
    run, folder = entities["#run"], study.folder / "models" / "pipeline"
    assert entities["#model-tiny"]["identifier"] == digests.fingerprint(folder)
    traced = (results / "traces/tiny/pairs/uniform/0.zarr/zarr.json").read_text()
    assert run["startTime"] < json.loads(traced)["attributes"]["created"] < run["endTime"]
    config = yaml.safe_load((results / "provenance" / "config.yaml").read_text())
    assert config["study"] == "tiny"

    report, template = study.folder / "report.zip", ROOT / "workflow" / "report" / "metadata.yaml"
    arguments = ("--report", report, "--report-metadata", template, "--", "all")
    study.snakemake(*map(str, arguments))
    with zipfile.ZipFile(report) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
        page = archive.read(next(n for n in archive.namelist() if n.endswith("report.html")))
    assert names >= {"claims.tsv", "rq1_auc.png", "rq3_samplings.pdf"}
    assert b"system-message" not in page  # of a text that docutils does not understand
    assert b"<td>Stepscope study tiny</td>" in page


@pytest.mark.parametrize("path", CAPTIONS, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", NAMES)
def test_what_a_study_names_is_no_markup_in_captions(path, name):
    """Names and values of a study stand in a caption as they are, and never break it."""
    record = {"prompt_id": name, "sampling": name, "seed": 0}
    statistics = {"confidence": 0.95, "draws": 100}
    settings = {
        "records": [record, record],
        "entry": {"variants": [name, "paper"], "mask": f"{name} ", "masks": 3},
        **dict.fromkeys(("method", "map_method"), name),
        "families": {name: {"concepts": ["cat", "dog"]}},
        "samplings": {name: {"kind": "early", "steps": 4}},
        "games": {"steps": [1], "draws": 2},
        "game": {"moves": 8, "draws": 2},
        "studied": {"model": name, "dataset": name, "sampling": name},
        "controls": {"kinds": ["weights", "prompt"], "seed": 0, "steps": [1]},
        "convergence": {"correlation": 0.95, "error": 0.02, "masks": 8192, "trials": 2048},
        "commitment": {"every": 5},
        "probes": {"shuffles": 100, "least": 3},
        "bootstrap": statistics,
        "confidence": 0.95,
    }
    named = {key: [name, name] for key in ("samplings", "datasets", "models")}
    snakemake = SimpleNamespace(
        params=SimpleNamespace(settings=settings, statistics=statistics),
        config={"study": "s", "guidance": 7.5, **named},
    )
    # as Snakemake renders them
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string(path.read_text()).render(snakemake=snakemake)
    body = publish_parts(text, writer="html", settings_overrides={"report_level": 1})["body"]
    assert "system-message" not in body
    assert "</script" not in body  # where the page holds it as text of a script
    shown = html.unescape(re.sub(r"<[^>]*>", "", body))
    assert shown.count(name) == text.count(name)
    nothing = {"claims", "rq1_auc", "rq1_controls", "rq1_convergence", "rq1_recovery"}
    nothing |= {"rq1_sensitivity"}
    nothing |= {"rq2_agreement", "rq2_grounding", "rq2_heads", "rq3_clocks", "rq3_commitment"}
    nothing |= {"rq3_probes"}
    nothing.add("rq2_head_games")
    assert name in text or path.stem in nothing  # these name nothing


def test_estimate_names_every_target(fresh):
    printed = fresh.snakemake("estimate")
    for target in sorted(ANALYSES):
        assert f"\n{target} " in printed
    assert "measured" in printed
    kept = json.loads((fresh.folder / "results" / "tiny" / ".estimate.json").read_text())
    assert kept["generate batch=0 dataset=pairs model=tiny sampling=uniform"] > 0
