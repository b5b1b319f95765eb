"""Compare the words of a batch, and the methods that say what they matter, with each other."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores import word_comparison

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as paths,
):
    word_comparison.write_comparisons(
        dict(zip(snakemake.output.keys(), paths, strict=True)),
        traces=snakemake.input.traces,
        masks=snakemake.input.masks,
        maps=snakemake.input.maps,
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
    )
