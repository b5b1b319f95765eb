"""Log-SNR of the time steps that a model was trained on, as its scheduler's configuration says.

A Snakefile imports this module, so it uses the standard library alone.
"""

import itertools
import math
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stepscope.models import processes
from stepscope.timesteps import USUAL, timesteps

LARGEST = 0.999  # beta of the cosine schedule, as the library caps it


def trained_count(config: Mapping[str, Any]) -> int:
    """Number of time steps that a model was trained on, by its scheduler's configuration."""
    return config.get("num_train_timesteps") or USUAL


def log_snr_levels(process: processes.Process, config: Mapping[str, Any]) -> list[float]:
    """Log-SNR in nats of each trained time step, from 0, the cleanest.

    A flow's time step t of T has t / T of noise beside 1 - t / T of signal. Noise without signal
    is -inf, signal without noise inf; NaN throughout where a schedule of betas is not known.
    """
    trained = trained_count(config)
    if process == "flow":
        return [math.inf, *(2 * math.log((trained - t) / t) for t in range(1, trained))]
    betas = _betas(config, trained)
    if not betas:
        return [math.nan] * trained
    kept = list(itertools.accumulate((1 - beta for beta in betas), operator.mul))
    if config.get("rescale_betas_zero_snr"):  # arXiv 2305.08891, algorithm 1
        roots = [math.sqrt(alpha) for alpha in kept]
        first, last = roots[0], roots[-1]
        kept = [((root - last) * first / (first - last)) ** 2 for root in roots]
    return [math.log(alpha / (1 - alpha)) if alpha > 0 else -math.inf for alpha in kept]


def _betas(config: Mapping[str, Any], trained: int) -> list[float]:
    """Variances of the added noise; none where their schedule is not known."""
    if config.get("trained_betas") is not None:
        return list(config["trained_betas"])
    start, end, kind = (config.get(key) for key in ("beta_start", "beta_end", "beta_schedule"))
    shares = [t / (trained - 1) for t in range(trained)]
    if kind == "squaredcos_cap_v2":
        bars = [
            math.cos((t / trained + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(trained + 1)
        ]
        return [min(1 - after / before, LARGEST) for before, after in itertools.pairwise(bars)]
    if start is None or end is None:
        return []
    match kind:
        case "linear":
            return [start + (end - start) * share for share in shares]
        case "scaled_linear":
            low, high = math.sqrt(start), math.sqrt(end)
            return [(low + (high - low) * share) ** 2 for share in shares]
        case "sigmoid":
            return [start + (end - start) / (1 + math.exp(6 - 12 * share)) for share in shares]
    return []


def check_samplings(folder: Path, samplings: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse samplings that the noise schedule of the model in a folder does not have.

    What is wrong is a ValueError.
    """
    if known := processes.read(folder):
        levels = log_snr_levels(*known)
        for name, sampling in samplings.items():
            try:
                timesteps(sampling, levels)
            except ValueError as error:
                raise ValueError(f"samplings/{name}/{error}") from None
