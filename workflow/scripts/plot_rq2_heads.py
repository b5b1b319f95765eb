"""Draw which attention heads find the words of which role."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import plotting, rq2_heads
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    table = tables.read_large(snakemake.input[0], rq2_heads.COLUMNS, rq2_heads.is_drawn)
    plotting.save(rq2_heads.head_map(table), pdf, png)
