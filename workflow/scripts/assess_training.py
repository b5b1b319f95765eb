"""Judge pictures of the trained models on held-out prompts."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.embedded.training.quality import assess
from stepscope.joblog import joblog
from stepscope.outputs import written

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (folder,),
):
    assess(
        folder,
        snakemake.input.pipeline,
        snakemake.input.clip,
        snakemake.input.segmenter,
        **snakemake.params.settings,
        clock_of=snakemake.params.clock,
    )
