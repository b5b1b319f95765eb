"""Put a study's verdicts into the README of a clone, with the table that they are from."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.statistics import claims_page

with joblog(snakemake.log[0]), written(snakemake.params.published, snakemake.input) as paths:
    claims_page.publish(
        *paths,
        claims=snakemake.input[0],
        page=snakemake.params.published[-1],
        **snakemake.params.about,
        **claims_page.circumstances(snakemake.params.benchmarks),
    )
