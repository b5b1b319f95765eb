"""Measure how much of the maps of a batch lies on objects and on detail."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores import saliency

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (table,),
):
    saliency.write_saliency(
        table,
        traces=snakemake.input.traces,
        previews=snakemake.input.previews,
        masks=snakemake.input.masks,
        maps=snakemake.input.maps,
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
        seed=snakemake.params.seed,
    )
