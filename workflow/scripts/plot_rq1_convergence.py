"""Draw how many denoiser calls DF-RISE's map takes, by its estimators."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import convergence, plotting
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    settings = snakemake.params.settings
    table = tables.read(snakemake.input[0], convergence.COLUMNS)
    figure = convergence.calls(table, settings["convergence"], **settings["bootstrap"])
    plotting.save(figure, pdf, png)
