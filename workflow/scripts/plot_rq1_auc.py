"""Draw the deletion and insertion games: areas and curves."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by common.smk

from stepscope import figures_games, plotting, tables
from stepscope.joblog import joblog

with joblog(snakemake.log[0]):
    figure = figures_games.auc(
        tables.read(snakemake.input.curves, figures_games.CURVES),
        tables.read(snakemake.input.areas, figures_games.AREAS),
        **snakemake.params.bootstrap,
    )
    plotting.save(figure, snakemake.output.pdf, snakemake.output.png)
