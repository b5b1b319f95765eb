"""Draw the clean predictions of a prompt, what they show, and its clocks."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

import pandas as pd

from stepscope.figures import filmstrip, plotting, rq3
from stepscope.figures.samples import load_previews
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    given = snakemake.input
    figure = filmstrip.filmstrip(
        load_previews(snakemake.params.settings["records"], given.previews),
        pd.concat(tables.read(path, rq3.CONCEPTS) for path in given.concepts),
        pd.concat(tables.read(path, rq3.COUNTED) for path in given.emergence),
        tables.read(given.clocks, filmstrip.CLOCKS),
    )
    plotting.save(figure, pdf, png)
