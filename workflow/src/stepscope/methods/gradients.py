"""Gradients of activations, without those of weights."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Switch off the gradients of all weights: only those of activations are wanted."""
    weights = [weight for module in modules for weight in module.parameters()]
    states = [weight.requires_grad for weight in weights]
    for weight in weights:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight, state in zip(weights, states, strict=True):
            weight.requires_grad_(state)
