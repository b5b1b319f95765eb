"""Compose the scenes of a dataset, with the exact mask of every word."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.embedded.composed import compose
from stepscope.joblog import joblog
from stepscope.outputs import written

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (scenes,),
):
    compose(scenes, **snakemake.params.entry)
