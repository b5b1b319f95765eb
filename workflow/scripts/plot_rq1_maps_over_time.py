"""Draw the maps of a few samples at increasing steps."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import plotting, rq1
from stepscope.figures.samples import load_samples
from stepscope.joblog import joblog
from stepscope.outputs import written

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    given, settings = snakemake.input, snakemake.params.settings
    samples = load_samples(
        settings["records"], given.previews, given.masks, given.maps, settings["method"]
    )
    figure = rq1.maps_over_time(samples, settings["method"])
    plotting.save(figure, pdf, png)
