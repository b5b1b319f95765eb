"""Measure what denoisers that decide nothing show in a batch's samples, and since when."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores.nulls import write_nulls

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (table,),
):
    settings = ("model", "clip", "readers", "side", "families", "settings", "samples")
    write_nulls(
        table,
        traces=snakemake.input.traces,
        moments=snakemake.input.moments,
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
        **{name: snakemake.params[name] for name in settings},
    )
