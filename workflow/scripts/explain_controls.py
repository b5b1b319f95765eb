"""Explain the stored steps of a batch with one method under its negative controls."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.controls.job import write_controls
from stepscope.joblog import joblog
from stepscope.outputs import written

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (maps,),
):
    write_controls(
        maps,
        traces=snakemake.input.traces,
        mask_path=snakemake.input.masks or None,
        error_left=snakemake.input.error_left or snakemake.input.explained or None,
        model=snakemake.params.model,
        clip=snakemake.params.clip,
        method=snakemake.wildcards.method,
        entry=snakemake.params.entry,
        controls={name: snakemake.params[name] for name in ("kinds", "steps", "samples", "seed")},
        code=snakemake.params.code,
    )
