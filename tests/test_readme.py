"""The README's worked examples, followed literally on the shared tiny study."""

import pandas as pd

from conftest import block


def follow(study, kind: str, name: str, key: str) -> None:
    """Save an example's file and add its entry under a key of the config, as the README says."""
    (study.folder / name).write_text(block(kind, name), encoding="utf-8")
    study.edit("config/config.yaml", f"\n{key}:\n", f"\n{key}:\n{block('yaml', key)}")


def test_a_new_dataset_goes_through_all(study):
    follow(study, "tsv", "config/animals.tsv", "datasets")
    assert study.planned("all")["generate"] == 3  # one a sampling, none for the old dataset
    study.snakemake("all")
    tables = list((study.folder / "results" / "tiny" / "tables").glob("*.tsv"))
    assert tables
    for path in tables:
        table = pd.read_csv(path, sep="\t")
        assert {"pairs", "animals"} <= set(table["dataset"]), path.name


def test_a_method_of_ones_own_gets_what_ours_get(study):
    follow(study, "python", "my_methods.py", "explain")
    jobs = study.planned("rq1", "rq2")
    assert jobs["explain"] == 1
    assert "generate" not in jobs
    study.snakemake("rq1", "rq2")
    for name in ("rq1_saliency", "rq1_auc", "rq1_curves", "rq2_grounding"):
        table = pd.read_csv(study.folder / "results" / "tiny" / "tables" / f"{name}.tsv", sep="\t")
        assert "gradient" in set(table["method"]), name
