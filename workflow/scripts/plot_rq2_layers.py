"""Draw what maps show in each group of layers, over the steps."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.figures import plotting, rq2_layers
from stepscope.figures.samples import load_samples
from stepscope.joblog import joblog
from stepscope.outputs import written

with joblog(snakemake.log[0]), written(snakemake.output, snakemake.input) as (pdf, png):
    given, settings = snakemake.input, snakemake.params.settings
    stores = (given.previews, given.masks, given.maps)
    samples = load_samples(settings["records"], *stores, settings["method"], per_layer=True)
    plotting.save(rq2_layers.by_layer_group(samples, settings["method"]), pdf, png)
