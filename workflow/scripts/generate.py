"""Generate the pictures of a batch with tracing and store their traces."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.store import parts
from stepscope.tracing.generate import generate

settings = dict(snakemake.params)
partial = f"{settings.pop('results')}/.partial/{'+'.join(snakemake.wildcards)}"

with joblog(snakemake.log[0]):
    dataset = snakemake.config["datasets"][snakemake.wildcards.dataset]
    with written(snakemake.output, snakemake.input, settings) as (traces,):
        generate(traces, partial=partial, dataset=dataset, **settings)
    parts.discard(partial)
