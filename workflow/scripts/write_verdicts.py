"""Write a study's claims with their verdicts as Markdown."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from pathlib import Path

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.statistics import claims_page
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (page,):
    found = claims_page.circumstances(snakemake.params.benchmarks)
    text = claims_page.rendered(tables.read(snakemake.input[0]), snakemake.params.about | found)
    Path(page).write_text(text, encoding="utf-8")
