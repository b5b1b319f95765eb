"""Draw a method's maps over the pictures of a few samples, step by step."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import film
from stepscope.figures.samples import load_samples
from stepscope.joblog import joblog
from stepscope.outputs import written

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (path,):
    given, method = snakemake.input, snakemake.wildcards.method
    samples = load_samples(
        snakemake.params.records, given.previews, given.masks, given.maps, method
    )
    film.save(path, film.film(samples, method))
