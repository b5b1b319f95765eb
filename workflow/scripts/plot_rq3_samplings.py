"""Draw the final pictures of a few prompts under every sampling."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

import pandas as pd

from stepscope.figures import plotting, samplings
from stepscope.figures.samples import load_by_sampling
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import tables
from stepscope.table_registry import TABLES

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    settings, given = snakemake.params.settings, snakemake.input
    empty = pd.DataFrame(columns=TABLES["rq3_samplings"].columns)
    figure = samplings.draw(
        load_by_sampling(settings["records"], given.previews),
        tables.read(given.changes[0]) if given.changes else empty,
        **settings["bootstrap"],
    )
    plotting.save(figure, pdf, png)
