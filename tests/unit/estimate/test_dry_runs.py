"""Reading what a dry run prints."""

from stepscope.estimate.dry_runs import Planned, read

PRINTED = """
[Fri Nov 27 13:15:59 2026]
rule generate:
    output: a.zarr
    log: a.log
    jobid: 9
    reason: Missing output files: a.zarr
    wildcards: model=m, dataset=d
    resources: tmpdir=/tmp, gpu=1, runtime=240, mem_mb=6000, mem=6 GB, mem_mib=5723
localrule all:
    input: a.zarr, b.tsv
    jobid: 0
    reason: Input files updated by another job: a.zarr
"""


def test_a_job_has_its_wildcards_files_and_numbers():
    generate, target = read(PRINTED)
    numbers = {"gpu": 1, "runtime": 240, "mem_mb": 6000, "mem_mib": 5723}
    wildcards = {"model": "m", "dataset": "d"}
    assert generate == Planned("generate", wildcards, (), ("a.zarr",), numbers)
    assert target == Planned("all", {}, ("a.zarr", "b.tsv"))
    assert read("Nothing to be done.\n") == []
