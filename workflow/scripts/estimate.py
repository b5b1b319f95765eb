"""Print what the targets still cost."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.estimate.table import estimate
from stepscope.joblog import joblog

with joblog(snakemake.log[0]):
    table = estimate(**snakemake.params)
    print(table, flush=True)

print(table, flush=True)
