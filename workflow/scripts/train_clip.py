"""Train the small CLIP that reads concepts."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.embedded.training.clip import train
from stepscope.joblog import joblog
from stepscope.outputs import key_of, written

with joblog(snakemake.log[0]):
    made_from = dict(snakemake.params)
    state = f"{snakemake.params.state}/{key_of(snakemake.input, made_from)}"
    with written(snakemake.output, snakemake.input, made_from) as (folder,):
        train(
            folder,
            state,
            snakemake.input.pipeline,
            **snakemake.params.settings,
        )
