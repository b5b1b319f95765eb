"""Fetch a model from the hub at its pinned revision and record its files."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by common.smk

from stepscope.fetching import fetch
from stepscope.joblog import joblog

with joblog(snakemake.log[0]):
    fetch(snakemake.output[0], model=snakemake.params.model)
