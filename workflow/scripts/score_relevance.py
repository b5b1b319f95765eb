"""Sum the word maps of a batch to a score per word and step, and those to one per role."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by common.smk

from stepscope import relevance
from stepscope.joblog import joblog

with joblog(snakemake.log[0]):
    relevance.write(
        snakemake.output.relevance,
        snakemake.output.roles,
        traces=snakemake.input.traces,
        maps=snakemake.input.maps,
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
    )
