"""Draw until when another prompt still changes a concept of the picture."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import commitment, plotting
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    table = tables.read(snakemake.input[0], columns=commitment.COLUMNS)
    figure = commitment.curves(table, **snakemake.params.settings["bootstrap"])
    plotting.save(figure, pdf, png)
