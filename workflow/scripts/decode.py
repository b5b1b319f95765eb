"""Decode the clean predictions of every stored step and the final latents to pictures."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.pictures.decode import decode

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (previews,),
):
    decode(
        previews,
        traces=snakemake.input[0],
        model=snakemake.params.model,
        side=snakemake.params.side,
    )
