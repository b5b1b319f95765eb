"""Print what the targets still cost."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.estimate.table import estimate
from stepscope.joblog import joblog

with joblog(snakemake.log[0]):
    table = estimate(**snakemake.params)
    print(table, flush=True)

print(table, flush=True)
