"""Fetch a segmenter from the hub at its pinned revision and record its files."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by common.smk

from stepscope.fetching import fetch_segmenter
from stepscope.joblog import joblog

with joblog(snakemake.log[0]):
    fetch_segmenter(snakemake.output[0], segmenter=snakemake.params.segmenter)
