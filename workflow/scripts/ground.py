"""Find the regions of the words in a batch's pictures."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.pictures.ground import ground

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (masks,),
):
    ground(
        masks,
        traces=snakemake.input.traces,
        previews=snakemake.input.previews,
        ground=snakemake.params.ground,
        truth=snakemake.params.truth,
    )
