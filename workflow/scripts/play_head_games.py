"""Play the attention heads' game on a batch's stored steps."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores.head_games import write_head_games

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (table,),
):
    settings = ("steps", "samples", "roles", "draws", "moves")
    write_head_games(
        table,
        traces=snakemake.input.traces,
        grounding=snakemake.input.grounding,
        maps=list(snakemake.input.maps),
        error_left=snakemake.input.error_left or None,
        model=snakemake.params.model,
        game={name: snakemake.params[name] for name in settings},
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
        seed=snakemake.params.seed,
    )
