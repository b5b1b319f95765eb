"""Draw when concepts emerge in the clean predictions."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import plotting, rq3
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    figure = rq3.emergence(
        tables.read(snakemake.input.concepts, rq3.CONCEPTS),
        tables.read(snakemake.input.counted, rq3.COUNTED),
        tables.read(snakemake.input.clocks, rq3.ONSETS),
        **snakemake.params.settings["bootstrap"],
    )
    plotting.save(figure, pdf, png)
