"""Draw what each step recovers, by region and frequency band."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import plotting, rq1
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    settings = snakemake.params.settings
    figure = rq1.recovery(
        tables.read(snakemake.input[0]),
        settings["samplings"],
        settings["bootstrap"]["confidence"],
    )
    plotting.save(figure, pdf, png)
