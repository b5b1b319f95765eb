"""Draw when a noised latent holds each family's concept, and when a study's samples show it."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import plotting, world_clock
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import tables
from stepscope.store.error_left import read_curve

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    studied = snakemake.params.settings["studied"]
    onsets, kept = tables.read(snakemake.input.onsets), studied | {"reader": "clip"}
    figure = world_clock.draw(
        tables.read(snakemake.input.clock),
        tables.read(snakemake.input.families),
        onsets[(onsets[list(kept)] == list(kept.values())).all(axis=1)],
        read_curve(*snakemake.input.error_left),
        " · ".join(studied.values()),
    )
    plotting.save(figure, pdf, png)
