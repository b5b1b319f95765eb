"""The workflow as a module of another, from a folder and from a repository."""

from support.workflow import ROOT


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
