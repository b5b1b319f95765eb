"""Draw when concepts emerge in the clean predictions."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by common.smk

from stepscope import figures_rq3, plotting, tables
from stepscope.joblog import joblog

with joblog(snakemake.log[0]):
    figure = figures_rq3.emergence(
        tables.read(snakemake.input.concepts, figures_rq3.CONCEPTS),
        tables.read(snakemake.input.onsets, figures_rq3.ONSETS),
        **snakemake.params.bootstrap,
    )
    plotting.save(figure, snakemake.output.pdf, snakemake.output.png)
