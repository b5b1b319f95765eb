"""Denoiser calls of RQ3's continuations, and the pictures that they end in."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Ends(NamedTuple):
    """Guided calls, of which one without guidance is half, and final pictures that are read."""

    calls: float
    pictures: int


def commitment(settings: Mapping[str, Any], families: int, samples: int, steps: int) -> Ends:
    """Of rq3_commitment and rq3_decided: two directions of a swap share their first step."""
    lengths = {steps, *range(1, steps + 1, settings["every"])}
    swaps = families * min(samples, settings["samples"] or samples)
    decided = settings["decided"]
    drawn = min(samples, decided["samples"] or samples) * decided["draws"]
    guided = families if "without" in decided["prompts"] else 0
    weights = guided + 0.5 * ("empty" in decided["prompts"])
    calls = swaps * (2 * sum(lengths) - steps) + drawn * weights * sum(lengths)
    return Ends(calls, swaps * 2 * len(lengths) + drawn * (guided + 1) * len(lengths))


def earliest(settings: Mapping[str, Any], samples: int, steps: int) -> Ends:
    """Of rq3_earliest: each noise and those near it, without guidance."""
    pictures = min(samples, settings["samples"] or samples) * (1 + settings["pairs"])
    return Ends(0.5 * pictures * steps, pictures)
