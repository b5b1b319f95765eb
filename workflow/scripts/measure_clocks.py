"""Put the clocks of every concept on one axis, and summarise them."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

import pandas as pd

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.statistics import clock_summary, null_clocks
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as paths:
    axes = pd.concat(tables.blocks(snakemake.input.axes, clock_summary.AXES))
    found = clock_summary.measure(
        tables.read(snakemake.input.emergence),
        axes,
        tables.read(snakemake.input.words),
        snakemake.params.families,
        {clock: tables.read(snakemake.input[clock]) for clock in snakemake.params.between},
        tables.read(snakemake.input.world) if snakemake.input.world else None,
        snakemake.params.models,
        earliest=tables.read(snakemake.input.earliest),
        **snakemake.params.statistics,
    )
    nulls = tables.read(snakemake.input.nulls) if snakemake.input.nulls else None
    found = null_clocks.with_nulls(*found, nulls, axes, **snakemake.params.statistics)
    for path, frame in zip(paths, found, strict=True):
        tables.write(path, frame)
