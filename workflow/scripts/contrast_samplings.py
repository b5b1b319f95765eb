"""Measure what early and latter sampling change against the uniform one."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores import contrast

given, about = snakemake.input, snakemake.params
with joblog(snakemake.log[0]), written(snakemake.output, given, dict(about)) as (table,):
    contrast.write_contrast(
        table,
        traces=dict(zip(about.samplings, given.traces, strict=True)),
        previews=dict(zip(about.samplings, given.previews, strict=True)),
        samplings=about.samplings,
        model=about.model,
        ground=about.ground,
        clip=about.clip,
        reader=about.reader,
        concept_families=about.families,
        settings=about.settings,
        keys={name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")},
    )
