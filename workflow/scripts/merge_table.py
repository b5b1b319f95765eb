"""Merge the parts of a table."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.store import tables

with joblog(snakemake.log[0]):
    tables.merge(snakemake.output[0], snakemake.input)
