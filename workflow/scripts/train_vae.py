"""Train the autoencoder of the embedded study."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.embedded.training.vae import train
from stepscope.joblog import joblog

with joblog(snakemake.log[0]):
    train(
        snakemake.output[0],
        snakemake.params.state,
        **snakemake.params.settings,
    )
