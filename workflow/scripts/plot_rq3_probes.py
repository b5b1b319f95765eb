"""Draw what linear probes read of activations, by layer and step."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import plotting, probes
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    table, summary = (tables.read(path) for path in snakemake.input)
    figure = probes.draw(table, summary, snakemake.params.settings["reader"])
    plotting.save(figure, pdf, png)
