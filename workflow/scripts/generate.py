"""Generate the pictures of a batch with tracing and store their traces."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.tracing.generate import generate

with joblog(snakemake.log[0]):
    generate(
        snakemake.output[0],
        results=snakemake.params.results,
        model=snakemake.params.model,
        study=snakemake.params.study,
        prompts=snakemake.params.prompts,
        code=snakemake.params.code,
        dataset=snakemake.config["datasets"][snakemake.wildcards.dataset],
    )
