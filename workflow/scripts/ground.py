"""Find the regions of the words in a batch's pictures."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by common.smk

from stepscope import masks
from stepscope.joblog import joblog

with joblog(snakemake.log[0]):
    masks.ground(
        snakemake.output[0],
        traces=snakemake.input.traces,
        previews=snakemake.input.previews,
        ground=snakemake.params.ground,
        truth=snakemake.params.truth,
    )
