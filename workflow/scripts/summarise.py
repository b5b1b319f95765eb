"""Summarise a table: means over prompts and paired differences, with intervals."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.statistics import summaries
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (table,):
    blocks = tables.blocks(snakemake.input)
    frame = summaries.summary(snakemake.wildcards.table, blocks, **snakemake.params.statistics)
    tables.write(table, frame)
