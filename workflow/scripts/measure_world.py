"""Measure when a noised latent of a composed scene holds each concept."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.embedded.training import clock
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as paths:
    found = clock.of_autoencoder(snakemake.params.folder, **snakemake.params.settings)
    names = ("world_clock", "world_clock_families")
    for path, name, table in zip(paths, names, found, strict=True):
        tables.write(path, tables.ordered(table, name))
