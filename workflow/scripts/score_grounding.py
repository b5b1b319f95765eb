"""Score the word maps of a batch against the regions of the words."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by common.smk

from stepscope import grounding
from stepscope.joblog import joblog

with joblog(snakemake.log[0]):
    grounding.write(
        snakemake.output[0],
        traces=snakemake.input.traces,
        masks=snakemake.input.masks,
        maps=snakemake.input.maps,
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
        seed=snakemake.params.seed,
    )
