"""Random weights, whole or block by block: whether maps are about what a network has learnt.

Model parameter randomisation (Adebayo et al. 2018, "Sanity checks for saliency maps").
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from stepscope.models.families.base import Family


@contextmanager
def first_weights(family: Family, seed: int) -> Iterator[Callable[[Iterable[str]], None]]:
    """A function that draws parameters of the network anew, by their names; all are restored.

    A parameter's new values are those that the library gives to an untrained network of the same
    configuration, drawn with `seed`: they do not depend on which others are drawn. At the end of
    the block, however it is left, the network has its own values again, bit by bit.
    """
    network: Any = family.network
    named = dict(network.named_parameters())
    own: dict[str, torch.Tensor] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = dict(type(network).from_config(network.config).named_parameters())

    @torch.no_grad()
    def draw(names: Iterable[str]) -> None:
        for name in names:
            own.setdefault(name, named[name].clone())
            named[name].copy_(fresh[name])

    try:
        yield draw
    finally:
        with torch.no_grad():
            for name, value in own.items():
                named[name].copy_(value)
