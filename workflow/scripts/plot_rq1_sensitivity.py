"""Draw the verdicts on RQ1 under each choice."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import plotting, sensitivity
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    figure = sensitivity.draw(
        *map(tables.read, snakemake.input), snakemake.params.settings["confidence"]
    )
    plotting.save(figure, pdf, png)
