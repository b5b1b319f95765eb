"""What the workflow tells about itself: the lint, the report and the estimate."""

import json

ANALYSES = {"rq1", "rq2", "rq3", "all"}


def test_lint(fresh):
    assert "Congratulations" in fresh.snakemake("--lint")


def test_report(finished):
    report = finished.folder / "report.zip"
    finished.snakemake("--report", str(report), "--", "all")
    assert report.stat().st_size > 10_000


def test_estimate_names_every_target(fresh):
    printed = fresh.snakemake("estimate")
    for target in sorted(ANALYSES):
        assert f"\n{target} " in printed
    assert "measured" in printed
    kept = json.loads((fresh.folder / "results" / "tiny" / ".estimate.json").read_text())
    assert kept["generate batch=0 dataset=pairs model=tiny sampling=uniform"] > 0
