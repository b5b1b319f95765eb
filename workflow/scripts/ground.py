"""Find the regions of the words in a batch's pictures."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.pictures.ground import ground

with joblog(snakemake.log[0]):
    ground(
        snakemake.output[0],
        traces=snakemake.input.traces,
        previews=snakemake.input.previews,
        ground=snakemake.params.ground,
        truth=snakemake.params.truth,
    )
