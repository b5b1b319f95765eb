"""Measure how many denoiser calls DF-RISE takes on a batch, by its estimators."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores.convergence import write_convergence

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (table,),
):
    write_convergence(
        table,
        traces=snakemake.input.traces,
        masks=snakemake.input.masks,
        error_left=snakemake.input.error_left or None,
        model=snakemake.params.model,
        settings=snakemake.params.settings,
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
        seed=snakemake.params.seed,
    )
