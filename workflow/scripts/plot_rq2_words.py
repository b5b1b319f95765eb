"""Draw the words that each step works on, with maps where the top word changes."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

import pandas as pd

from stepscope.figures import plotting, rq2
from stepscope.figures.samples import load_samples
from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import tables

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    given, settings = snakemake.input, snakemake.params.settings
    samples = load_samples(
        settings["records"],
        given.previews,
        given.masks,
        given.maps,
        settings["map_method"],
        per_word=True,
    )
    table = pd.concat([tables.read(path, rq2.RELEVANCE) for path in given.relevance])
    figure = rq2.words(samples, table, settings["method"], settings["map_method"])
    plotting.save(figure, pdf, png)
