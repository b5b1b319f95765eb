"""Measure how far the substrates of the games are from a batch's latents."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores.substrate_distances import write_distances

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (table,),
):
    write_distances(
        table,
        traces=snakemake.input.traces,
        error_left=snakemake.input.error_left or None,
        model=snakemake.params.model,
        games={name: snakemake.params[name] for name in ("steps", "samples")},
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
        seed=snakemake.params.seed,
    )
