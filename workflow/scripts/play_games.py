"""Play the deletion and insertion games on a method's maps of a batch, or on the baselines."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores.games import write_games

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (auc, curves),
):
    settings = ("steps", "samples", "deletion", "insertion", "others", "scores", "draws")
    write_games(
        auc,
        curves,
        traces=snakemake.input.traces,
        maps=list(snakemake.input.maps),
        error_left=snakemake.input.error_left or None,
        model=snakemake.params.model,
        clip=snakemake.params.clip,
        games={name: snakemake.params[name] for name in (*settings, "moves", "batch")},
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
        seed=snakemake.params.seed,
    )
