"""Draw the maps of a few samples at increasing steps."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by common.smk

from stepscope import figures_rq1, pictures, plotting
from stepscope.joblog import joblog

with joblog(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    samples = pictures.load(params.records, given.previews, given.masks, given.maps, params.method)
    figure = figures_rq1.maps_over_time(samples, params.method)
    plotting.save(figure, snakemake.output.pdf, snakemake.output.png)
