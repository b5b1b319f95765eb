"""Draw how well maps find the regions of words, by step and resolution."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import plotting, rq2_grounding
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    given, settings = snakemake.input, snakemake.params.settings
    grounding = tables.blocks(given.grounding, rq2_grounding.GROUNDING)
    heads = tables.blocks(given.heads, rq2_grounding.HEADS)
    figure = rq2_grounding.by_step(grounding, heads, **settings["bootstrap"])
    plotting.save(figure, pdf, png)
