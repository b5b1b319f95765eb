"""Judge the pictures of the trained models."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by common.smk

from stepscope import quality
from stepscope.joblog import joblog

with joblog(snakemake.log[0]):
    quality.assess(
        snakemake.output[0],
        snakemake.input.pipeline,
        snakemake.input.clip,
        snakemake.input.segmenter,
        **snakemake.params.settings,
    )
