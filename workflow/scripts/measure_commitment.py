"""Measure until when a batch's concepts are overridable, and since when they are decided."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores.continuations import write_continuations

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (commitment, decided),
):
    settings = ("model", "clip", "readers", "side", "families", "settings", "seed")
    write_continuations(
        commitment,
        decided,
        traces=snakemake.input.traces,
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
        **{name: snakemake.params[name] for name in settings},
    )
