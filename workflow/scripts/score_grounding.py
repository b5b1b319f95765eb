"""Score the word maps of a batch against the regions of the words."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores import grounding

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as tables,
):
    grounding.write_grounding(
        *tables,
        traces=snakemake.input.traces,
        masks=snakemake.input.masks,
        maps=snakemake.input.maps,
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
        seed=snakemake.params.seed,
    )
