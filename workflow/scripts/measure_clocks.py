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
    given, params = snakemake.input, snakemake.params
    axes = pd.concat(tables.blocks(given.axes, clock_summary.AXES))
    found = clock_summary.measure(
        *(tables.read(given.emergence), axes, tables.blocks(given.words, clock_summary.WORDS)),
        *(params.families, {clock: tables.read(given[clock]) for clock in params.between}),
        *(tables.read(given.world) if given.world else None, params.models),
        earliest=tables.read(given.earliest),
        **params.statistics,
    )
    nulls = tables.read(given.nulls) if given.nulls else None
    found = null_clocks.with_nulls(*found, nulls, axes, **params.statistics)
    for path, frame in zip(paths, found, strict=True):
        tables.write(path, frame)
