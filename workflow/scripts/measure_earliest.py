"""Measure how far apart a batch's noises and those near them are, and which come to differ."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores.earliest import write_earliest

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (table,),
):
    settings = ("model", "clip", "readers", "side", "families", "settings")
    write_earliest(
        table,
        traces=snakemake.input.traces,
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
        **{name: snakemake.params[name] for name in settings},
    )
