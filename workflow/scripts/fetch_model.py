"""Fetch a model from the hub at its pinned revision and record its files."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk
# Jobs are offline; this one is only where the user said so. The hub's library reads it once.
os.environ["HF_HUB_OFFLINE"] = os.environ["STEPSCOPE_HUB_OFFLINE"]

from stepscope.joblog import joblog
from stepscope.models.hub import fetch
from stepscope.outputs import written

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (record,):
    fetch(record, model=snakemake.params.model)
