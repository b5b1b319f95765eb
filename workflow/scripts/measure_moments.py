"""Measure mean and spectra of a sampling's final latents."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores.gaussian_null import write_finals

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (moments,),
):
    write_finals(moments, list(snakemake.input))
