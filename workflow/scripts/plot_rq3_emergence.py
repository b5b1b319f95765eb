"""Draw when concepts emerge in the clean predictions."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import plotting, rq3
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.statistics import summaries
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    families, bootstrap = (snakemake.params.settings[name] for name in ("families", "bootstrap"))
    courses = summaries.concept_courses(
        tables.blocks(snakemake.input.concepts, rq3.CONCEPTS),
        tables.read(snakemake.input.counted, rq3.COUNTED),
        rq3.READER,
        **bootstrap,
    )
    figure = rq3.emergence(
        courses,
        {name: entry["concepts"] for name, entry in families.items()},
        tables.read(snakemake.input.clocks, rq3.ONSETS),
        bootstrap["confidence"],
    )
    plotting.save(figure, pdf, png)
