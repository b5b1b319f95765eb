"""Draw when a noised latent holds the concept of each family."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import plotting, world_clock
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    figure = world_clock.accuracies(
        tables.read(snakemake.input.clock),
        tables.read(snakemake.input.families),
    )
    plotting.save(figure, pdf, png)
