"""What the workflow tells about itself: the lint, the report and the estimate."""

import html
import json
import re
import zipfile
from types import SimpleNamespace

import jinja2
import pytest
from docutils.core import publish_parts

from support.workflow import ROOT

CAPTIONS = sorted((ROOT / "workflow" / "report").glob("*.rst"))
NAMES = ["early_", "_a__ x*y*z |b| <i>&amp;</i> `c`_ \\d $e$ 100 %"]
ANALYSES = {"rq1", "rq2", "rq3", "all"}


def test_lint(fresh):
    assert "Congratulations" in fresh.snakemake("--lint")


def test_report(finished):
    report = finished.folder / "report.zip"
    finished.snakemake("--report", str(report), "--", "all")
    with zipfile.ZipFile(report) as archive:
        names = {name.rpartition("/")[2] for name in archive.namelist()}
        page = archive.read(next(n for n in archive.namelist() if n.endswith("report.html")))
    assert names >= {"claims.tsv", "rq1_auc.png", "rq3_samplings.pdf"}
    assert b"system-message" not in page  # of a caption that docutils does not understand


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
    shown = html.unescape(re.sub(r"<[^>]*>", "", body))
    assert shown.count(name) == text.count(name)
    nothing = {"claims", "rq1_auc", "rq1_controls", "rq1_convergence", "rq1_recovery"}
    nothing |= {"rq2_agreement", "rq2_grounding", "rq2_heads", "rq3_clocks", "rq3_commitment"}
    nothing.add("rq2_head_games")
    assert name in text or path.stem in nothing  # these name nothing


def test_estimate_names_every_target(fresh):
    printed = fresh.snakemake("estimate")
    for target in sorted(ANALYSES):
        assert f"\n{target} " in printed
    assert "measured" in printed
    kept = json.loads((fresh.folder / "results" / "tiny" / ".estimate.json").read_text())
    assert kept["generate batch=0 dataset=pairs model=tiny sampling=uniform"] > 0
