"""Probe what the activations of a sampling's steps hold of the final concepts."""

import gc
import os
import sys

gc.disable()  # until the job begins: what is imported stays
sys.path.insert(0, os.environ["STEPSCOPE"])  # the package's folder, set by package.smk

from stepscope.joblog import joblog
from stepscope.outputs import written
from stepscope.scores import activation_probes
from stepscope.statistics import probe_onsets
from stepscope.store import tables

given, about = snakemake.input, snakemake.params
keys = {name: snakemake.wildcards[name] for name in ("model", "dataset", "sampling")}
with joblog(snakemake.log[0]), written(snakemake.output, given, dict(about)) as (probes, summary):
    courses, times = activation_probes.probe(
        *(list(paths) for paths in (given.traces, given.previews, given.concepts)),
        **{name: about[name] for name in ("model", "reader", "families", "settings")},
        seed=about.statistics["seed"],
    )
    tables.write(probes, probe_onsets.table(courses, times, keys))
    tables.write(summary, probe_onsets.summary(courses, times, keys, **about.statistics))
