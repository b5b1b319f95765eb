"""Compare the maps of a batch with those under the negative controls."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores.controls import write_controls

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (table,),
):
    write_controls(
        table,
        maps=list(snakemake.input.maps),
        controls=list(snakemake.input.controls),
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
    )
