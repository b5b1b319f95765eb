"""Read the concepts in a batch's clean predictions, and since when they stay."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores import concepts

with (
    joblog(snakemake.log[0]),
    written(snakemake.output, snakemake.input, dict(snakemake.params)) as (table, onsets),
):
    concepts.write_concepts(
        table,
        onsets,
        traces=snakemake.input.traces,
        previews=snakemake.input.previews,
        model=snakemake.params.model,
        concept_families=snakemake.params.families,
        others=snakemake.params.readers,
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
    )
