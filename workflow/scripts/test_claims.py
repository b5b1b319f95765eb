"""Judge the paper's claims by the study's tables."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.statistics import claims
from stepscope.statistics.claims import COLUMNS
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (table,):
    samplings = {name: entry["kind"] for name, entry in snakemake.params.samplings.items()}
    measured = {
        name: [tables.read_large(of)]
        if isinstance(of, str)
        else tables.blocks(of, COLUMNS.get(name))
        for name, of in snakemake.input.items()
    }
    frame = claims.claims_table(
        measured,
        samplings=samplings,
        **snakemake.params.statistics,
    )
    tables.write(table, frame)
