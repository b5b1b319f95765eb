"""Draw the attention heads' game: with which heads a word's effect is lost first."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import plotting, rq2_head_games
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    table = tables.read(snakemake.input[0], rq2_head_games.COLUMNS)
    figure = rq2_head_games.head_games(table, **snakemake.params.settings["bootstrap"])
    plotting.save(figure, pdf, png)
