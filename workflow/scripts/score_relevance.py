"""Sum the word maps of a batch to a score per word and step, and those to one per role."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores import word_relevance

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (relevance, roles),
):
    word_relevance.write_relevance(
        relevance,
        roles,
        traces=snakemake.input.traces,
        maps=snakemake.input.maps,
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
    )
