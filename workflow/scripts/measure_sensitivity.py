"""Judge RQ1's claims under each choice that the study's tables hold."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.statistics import sensitivity
from stepscope.statistics.sensitivity import COLUMNS
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (table,):
    frame = sensitivity.sensitivity_table(
        {name: tables.blocks(of, COLUMNS.get(name)) for name, of in snakemake.input.items()},
        samplings={name: entry["kind"] for name, entry in snakemake.params.samplings.items()},
        **snakemake.params.statistics,
    )
    tables.write(table, frame)
