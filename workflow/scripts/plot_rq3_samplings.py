"""Draw the final pictures of a few prompts under every sampling."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import plotting, rq3
from stepscope.figures.samples import load_by_sampling
from stepscope.joblog import joblog
from stepscope.outputs import written

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    figure = rq3.samplings(load_by_sampling(snakemake.params.settings["records"], snakemake.input))
    plotting.save(figure, pdf, png)
