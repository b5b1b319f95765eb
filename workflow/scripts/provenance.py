"""Describe a finished study as an RO-Crate."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.provenance import crate

with joblog(snakemake.log[0]):
    crate.write(**snakemake.params)
