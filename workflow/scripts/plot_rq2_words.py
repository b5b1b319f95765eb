"""Draw the words that each step works on, with maps where the top word changes."""

import os
import sys

sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by common.smk

from stepscope import figures_rq2, pictures, plotting, tables
from stepscope.joblog import joblog

with joblog(snakemake.log[0]):
    given, params = snakemake.input, snakemake.params
    samples = pictures.load(
        params.records, given.previews, given.masks, given.maps, params.map_method, per_word=True
    )
    table = tables.read(given.relevance, figures_rq2.RELEVANCE)
    figure = figures_rq2.words(samples, table, params.method, params.map_method)
    plotting.save(figure, snakemake.output.pdf, snakemake.output.png)
