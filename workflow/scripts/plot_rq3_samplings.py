"""Draw the final pictures of a few prompts under every sampling."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by common.smk

from stepscope import figures_rq3, pictures, plotting
from stepscope.joblog import joblog

with joblog(snakemake.log[0]):
    figure = figures_rq3.samplings(pictures.by_sampling(snakemake.params.records, snakemake.input))
    plotting.save(figure, snakemake.output.pdf, snakemake.output.png)
