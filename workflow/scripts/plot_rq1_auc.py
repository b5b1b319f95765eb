"""Draw the deletion and insertion games: areas and curves."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import games, plotting
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    areas = tables.read(snakemake.input.areas, games.AREAS)
    curves = tables.read_large(snakemake.input.curves, games.CURVES, games.of_primary(areas))
    figure = games.auc(curves, areas, **snakemake.params.settings["bootstrap"])
    plotting.save(figure, pdf, png)
