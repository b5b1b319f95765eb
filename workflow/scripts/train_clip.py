"""Train the small CLIP that reads concepts."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by common.smk

from stepscope.joblog import joblog
from stepscope.train_clip import train

with joblog(snakemake.log[0]):
    train(
        snakemake.output[0],
        snakemake.params.state,
        snakemake.input.pipeline,
        **snakemake.params.settings,
    )
