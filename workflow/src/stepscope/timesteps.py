"""What a study says of samplings and steps: time steps, and how many there are.

A Snakefile imports this module, so it uses the standard library alone.
"""

import bisect
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

USUAL = 1000  # trained time steps of a model whose scheduler is not at hand yet, one of the hub
NEAR = 0.01  # nats by which an end may miss the schedule: people write what an error rounded
EXPONENTIAL = ("early", "latter")  # kinds whose time steps are a power of the number trained on
Steps = Sequence[int] | Mapping[str, Sequence[float]] | None


def step_count(sampling: Mapping[str, Any]) -> int:
    """Number of steps of a sampling's entry."""
    return sampling.get("steps") or len(sampling["timesteps"])


def named_count(steps: Steps, sampling: Mapping[str, Any]) -> int:
    """Number of a sampling's steps that `steps` names: numbers, shares {"left": ...}, None all."""
    if steps is None:
        return step_count(sampling)
    return len(shares(steps) or steps)


def shares(steps: Steps) -> list[float]:
    """Shares of the error left, by which `steps` names steps; none where it has numbers."""
    return list(steps["left"]) if isinstance(steps, Mapping) else []


def timesteps(
    sampling: Mapping[str, Any], log_snr: Sequence[float], last: int | None = None
) -> list[int] | None:
    """Time steps of a sampling from noisy to clean; None where the scheduler spaces them itself.

    `log_snr` are the levels (nats) of the time steps that the model was trained on, from 0, the
    cleanest. Kinds: uniform, early and latter (the paper's exponential sampling, denser at the
    noisy and at the clean end), log_snr (equally spaced in log-SNR), custom. `sampling` has kind,
    steps, gamma, start, end, timesteps as the kind needs them. An exponential one with the end
    `uniform` is stretched or shrunk to end at `last`, where uniform steps end, if that is known. A
    ValueError begins with the key.
    """
    chosen = without_levels(sampling, len(log_snr))
    if sampling["kind"] == "log_snr":
        return _equally_spaced(sampling, log_snr)
    return _ending(sampling, chosen, last) if ends_as_uniform(sampling) else chosen


def ends_as_uniform(sampling: Mapping[str, Any]) -> bool:
    """Whether a sampling is to end where as many uniform steps do."""
    return sampling["kind"] in EXPONENTIAL and sampling.get("end") == "uniform"


def _ending(
    sampling: Mapping[str, Any], chosen: list[int] | None, last: int | None
) -> list[int] | None:
    """Time steps whose distances from the first are scaled so that the last is `last`."""
    if chosen is None or last is None or len(chosen) == 1:
        return chosen
    first, scale = chosen[0], (chosen[0] - last) / (chosen[0] - chosen[-1])
    ended = [round(first - (first - t) * scale) for t in chosen]
    if not _descends(ended):
        raise ValueError(
            f"gamma: {sampling['gamma']} makes {sampling['kind']} sampling with "
            f"{sampling['steps']} steps that end at time step {last} repeat one; take a larger."
        )
    return ended


def without_levels(sampling: Mapping[str, Any], trained: int) -> list[int] | None:
    """Time steps as of `timesteps` by the number of trained ones alone; None where it takes more.

    What is wrong whatever the levels are is a ValueError.
    """
    kind, most = sampling["kind"], trained - 1
    if sampling.get("steps", 1) > most:
        raise ValueError(
            f"steps: {sampling['steps']} of {trained} trained time steps; {most} are possible."
        )
    match kind:
        case "uniform":
            return None
        case "log_snr":
            _check_ends(sampling)
            return None
        case "custom":
            chosen = list(sampling["timesteps"])
            if not _descends(chosen):
                raise ValueError("timesteps: a custom sampling must descend without repeating.")
            if chosen[0] > most:
                raise ValueError(f"timesteps: {chosen[0]} is above {most}, the model's noisiest.")
            return chosen
        case "early" | "latter":
            steps, gamma = sampling["steps"], sampling["gamma"]
            chosen = _exponential(kind, steps, gamma, trained)
            if not _descends(chosen):
                raise ValueError(
                    f"gamma: {gamma} makes {kind} sampling with {steps} steps repeat a time step; "
                    + _remedy(kind, steps, trained)
                )
            return chosen
    raise ValueError(f"kind: {kind!r} is no sampling (uniform, early, latter, log_snr or custom).")


def _descends(chosen: Sequence[int]) -> bool:
    """Whether each time step is cleaner than the one before."""
    return all(a > b for a, b in itertools.pairwise(chosen))


def _exponential(kind: str, steps: int, gamma: int | float, trained: int) -> list[int]:
    """Time steps e_k = floor(T^((k + gamma) / (N + gamma))), k = 1..N, or T - e_k reversed."""
    # T^(N + gamma over N + gamma) is T itself, which floating point may miss from below
    powers = [math.floor(trained ** ((k + gamma) / (steps + gamma))) for k in range(1, steps)]
    if kind == "latter":
        return [trained - 1, *sorted(powers, reverse=True)]
    return [trained - 1, *(trained - power for power in powers)]


def _remedy(kind: str, steps: int, trained: int) -> str:
    for gamma in range(trained):
        if _descends(_exponential(kind, steps, gamma, trained)):
            return f"the smallest that works is {gamma}."
    return "no gamma works with so many steps."


def _check_ends(sampling: Mapping[str, Any]) -> None:
    """Refuse a log_snr sampling that ends noisier than it starts; a ValueError names the key."""
    start, end = sampling.get("start", -math.inf), sampling.get("end", math.inf)
    if not start < end:
        raise ValueError(
            f"end: log-SNR {end:g} is not above the start, {start:g}; it grows as noise goes."
        )


def _equally_spaced(sampling: Mapping[str, Any], log_snr: Sequence[float]) -> list[int]:
    """Time steps nearest to levels that are equally spaced from `start` to `end`."""
    # from noisy to clean, without pure noise and clean pictures, which an axis cannot have
    levels = [(level, t) for t, level in enumerate(log_snr) if math.isfinite(level)][::-1]
    if not levels:
        raise ValueError("kind: the noise levels of the model's time steps are not known.")
    first, last = levels[0][0], levels[-1][0]
    start, end = sampling.get("start", first), sampling.get("end", last)
    for key, level in (("start", start), ("end", end)):
        if not first - NEAR <= level <= last + NEAR:
            raise ValueError(
                f"{key}: log-SNR {level:g} is not of the model's noise schedule, which goes from "
                f"{first:.2f} to {last:.2f}."
            )
    steps = sampling["steps"]
    chosen = _nearest(levels, start, end, steps)
    if _descends(chosen):
        return chosen
    twice = next(b for a, b in itertools.pairwise(chosen) if a <= b)
    fewer = (n for n in range(steps - 1, 0, -1) if _descends(_nearest(levels, start, end, n)))
    raise ValueError(
        f"steps: {steps} between log-SNR {start:.2f} and {end:.2f} take the model's time "
        f"step {twice} (log-SNR {log_snr[twice]:.2f}) twice; {next(fewer)} are possible."
    )


def _nearest(
    levels: Sequence[tuple[float, int]], start: float, end: float, steps: int
) -> list[int]:
    """Time steps of the (level, time step) pairs nearest to equally spaced levels."""
    gaps = max(steps - 1, 1)
    found = []
    for k in range(steps):
        level = start + (end - start) * k / gaps
        place = min(bisect.bisect(levels, (level,)), len(levels) - 1)
        around = levels[max(place - 1, 0) : place + 1]
        found.append(min(around, key=lambda pair: abs(pair[0] - level))[1])
    return found
