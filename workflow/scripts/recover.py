"""Measure what share of the picture each step of a batch recovers, by region and band."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores import recovery

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (table,),
):
    recovery.write_recovery(
        table,
        traces=snakemake.input.traces,
        masks=snakemake.input.masks,
        moments=snakemake.input.moments,
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
    )
