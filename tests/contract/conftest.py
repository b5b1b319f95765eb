"""Pipelines and traced calls that several contracts look at."""

from types import SimpleNamespace

import pytest

from support import tiny
from support.traced import CASES, PIPELINES, RUNS, call, hooks, loaded, traced


@pytest.fixture(params=PIPELINES)
def pipeline(request):
    return loaded(request.param)


@pytest.fixture(scope="module", params=RUNS, ids="-".join)
def run(request):
    """One traced call and what it looked like from outside."""
    name, case = request.param
    pipeline, options = loaded(name), CASES[case]
    own, before = type(pipeline), hooks(pipeline)
    plain = call(pipeline, **options)
    pictures, found = traced(pipeline, **options)
    restored = type(pipeline) is own and hooks(pipeline) == before
    return SimpleNamespace(
        pipeline=pipeline, plain=plain, pictures=pictures, found=found, restored=restored
    )


@pytest.fixture
def batch(pipeline):
    """Trace of a batch of two prompts."""
    return traced(pipeline, **CASES["batch"])[1]


@pytest.fixture(scope="module")
def sd1():
    return tiny.tiny_sd1()
