"""Draw what each step recovers, by region and frequency band."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by common.smk

from stepscope import figures_rq1, plotting, tables
from stepscope.joblog import joblog

with joblog(snakemake.log[0]):
    table = tables.read(snakemake.input[0], figures_rq1.RECOVERY)
    figure = figures_rq1.recovery(table, **snakemake.params.bootstrap)
    plotting.save(figure, snakemake.output.pdf, snakemake.output.png)
