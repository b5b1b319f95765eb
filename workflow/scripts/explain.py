"""Explain the stored steps of a batch with one method and store its maps."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.methods.explain import explain
from stepscope.outputs import written

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (maps,),
):
    explain(
        maps,
        traces=snakemake.input.traces,
        mask_path=snakemake.input.masks or None,
        error_left=snakemake.input.error_left or None,
        heads=snakemake.input.heads or None,
        moments=snakemake.input.moments or None,
        clip=snakemake.params.clip,
        model=snakemake.params.model,
        method=snakemake.wildcards.method,
        entry=snakemake.params.entry,
        code=snakemake.params.code,
    )
