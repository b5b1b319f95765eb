"""The steps of a sample, of a trace in memory or of an opened trace store."""

import xarray as xr

from stepscope.diffusion.step import Step
from stepscope.store.traces import read_steps
from stepscope.tracing.trace import Trace, steps_of


def steps(trace: Trace | xr.DataTree, sample: int) -> list[Step]:
    """Steps of one sample, from the noisiest; what methods explain."""
    return steps_of(trace, sample) if isinstance(trace, Trace) else read_steps(trace, sample)
