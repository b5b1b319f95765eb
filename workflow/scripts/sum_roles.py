"""Sum the relevance of a batch's words by role."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by common.smk

from stepscope import relevance
from stepscope.joblog import joblog

with joblog(snakemake.log[0]):
    relevance.write_roles(snakemake.output[0], relevance=snakemake.input[0])
