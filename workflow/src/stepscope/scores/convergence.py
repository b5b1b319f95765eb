"""RQ1: how many denoiser calls DF-RISE's map takes to be near one of very many, by estimator."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
import pandas as pd
import torch

from stepscope.joblog import bar
from stepscope.methods.df_rise import Plan, block_scores, blocks_of
from stepscope.methods.effects import main_effects
from stepscope.methods.explain import object_masks
from stepscope.methods.mask_runs import merged
from stepscope.methods.masks import ORDER, Design
from stepscope.methods.perturbation import scored
from stepscope.methods.replaying import replaying
from stepscope.store import tables
from stepscope.store.error_left import named_steps
from stepscope.store.traces import (
    chosen_steps,
    open_trace,
    prompt_ids_of,
    read_pairs,
    seeds_of,
    times_of,
)
from stepscope.table_registry import TABLES

if TYPE_CHECKING:
    from stepscope.diffusion.denoiser import Denoiser
    from stepscope.diffusion.step import Step


class Estimator(NamedTuple):
    """How masks are drawn, and whether a linear model of other pixels is taken out."""

    design: Design
    adjusted: bool


class Scored(NamedTuple):
    """Masks (masks, h, w) bool, and their scores (masks, h, w) or (masks, 1, 1)."""

    kept: np.ndarray
    values: np.ndarray

    def by(self, score: str, step: "Step") -> "Scored":
        """The same masks with another score, made from similarities of pixels."""
        return Scored(self.kept, scored(torch.from_numpy(self.values), score, step))


ESTIMATORS = {
    "independent": Estimator("independent", adjusted=False),
    "adjusted": Estimator("independent", adjusted=True),
    "paired": Estimator("paired", adjusted=True),
    "orthogonal": Estimator("orthogonal", adjusted=True),
}
REFERENCE = "orthogonal"
SCORES = ("pixel", "mean", "region")
FEWEST = 16  # masks of a map
MAPS = 4  # of as many masks, at most, whose correlations and errors are averaged


def counts(most: int) -> list[int]:
    """Even numbers of masks from the fewest to `most`, each about 1.4 times the one before."""
    found = 2 * np.rint(FEWEST / 2 * 2 ** np.arange(0, np.log2(most / FEWEST) + 1e-9, 0.5))
    return found.astype(int).tolist()


def passing(calls: list[int], values: np.ndarray, level: float) -> float:
    """Number of calls at which rising `values` (calls,) pass a level, between two by logarithms.

    The last time counts; NaN if they have passed it from the first on, or never.
    """
    below = np.flatnonzero(~(values >= level))
    if not len(below) or below[-1] == len(values) - 1:
        return np.nan
    last = below[-1]
    low, high = values[last], values[last + 1]
    share = (level - low) / (high - low)
    return float(np.exp(np.interp(share, (0, 1), np.log(calls[last : last + 2]))))


def curves(
    kept: np.ndarray, values: np.ndarray, reference: np.ndarray, estimator: Estimator
) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Numbers of masks, and by them correlation with the reference (h, w) and mean standard error.

    `kept` (masks, h, w) and `values` (masks, h, w) or (masks, 1, 1) are of the estimator's design.
    """
    calls, correlations, errors = counts(len(kept) // 2), [], []
    for count in calls:
        apart = -(-count // ORDER) * ORDER  # a run begins with a whole set of masks
        starts = range(0, len(kept) - count + 1, apart)[:MAPS]
        maps = [
            main_effects(
                kept[start : start + count], values[start : start + count], **estimator._asdict()
            )
            for start in starts
        ]
        correlations.append(
            np.mean([np.corrcoef(effect.ravel(), reference.ravel())[0, 1] for effect, _ in maps])
        )
        errors.append(np.mean([error.mean() for _, error in maps]))
    return calls, np.array(correlations), np.array(errors)


def rows_of_step(
    of_reference: Scored, trials: dict[Design, Scored], correlation: float, error: float
) -> Iterator[dict[str, Any]]:
    """A row an estimator: calls to a correlation with the map of a reference, and to an error.

    `trials` are other masks of each design with their scores.
    """
    reference, _ = main_effects(*of_reference, **ESTIMATORS[REFERENCE]._asdict())
    for name, estimator in ESTIMATORS.items():
        calls, near, errors = curves(*trials[estimator.design], reference, estimator)
        yield {
            "estimator": name,
            "calls_to_correlation": passing(calls, near, correlation),
            "calls_to_error": passing(calls, -errors, -error),
        }


def similarities(
    denoiser: "Denoiser", step: "Step", design: Design, masks: range, block: int, seed: int
) -> Scored:
    """Masks of a step (masks, h, w) by their numbers, and DF-RISE's similarities by default."""
    plan = Plan.of("structure", "noise", "pixel", (), design, keep=0.5, seed=seed)
    with torch.inference_mode():
        found = merged(block_scores(denoiser, step, plan, blocks_of(masks, block, plan.keep)))
    return Scored(found.kept, found.scores[0])


def write_convergence(
    path: str,
    *,
    traces: str,
    masks: str,
    error_left: str | None,
    model: dict[str, Any],
    settings: dict[str, Any],
    keys: dict[str, str],
    seed: int,
) -> None:
    """Write a batch's part of rq1_convergence; `settings` are the config's of `convergence`.

    A sample without objects has no score of their region.
    """
    tree = open_trace(traces)
    denoiser, times, objects = replaying(model, tree), times_of(tree), object_masks(masks, tree)
    numbers = named_steps(settings["steps"], error_left)
    pairs = chosen_steps(tree, numbers, settings["samples"])
    many, few = range(settings["masks"]), settings["trials"]
    every = {design: range(few) for design in get_args(Design)}
    every[ESTIMATORS[REFERENCE].design] = range(len(many), len(many) + few)
    count = len(many) + few * len(every) + 1 + len(every)
    print(f"Budget: {len(pairs)} steps, {len(pairs) * count:,} guided denoiser calls.")
    rows = []
    steps = read_pairs(tree, pairs, objects)
    for (sample, number), step in bar(zip(pairs, steps, strict=True), "convergence", len(pairs)):
        found = [
            similarities(denoiser, step, design, masks, settings["block"], seed)
            for design, masks in [(ESTIMATORS[REFERENCE].design, many), *every.items()]
        ]
        about = keys | {"prompt_id": prompt_ids_of(tree)[sample], "seed": seeds_of(tree)[sample]}
        about |= {name: values[number - 1] for name, values in times.items()}
        for score in SCORES:
            if score == "region" and (step.mask is None or not step.mask.any()):
                continue
            reference, *trials = (one.by(score, step) for one in found)
            of_designs = dict(zip(every, trials, strict=True))
            levels = settings["correlation"], settings["error"]
            of_score = rows_of_step(reference, of_designs, *levels)
            rows += [{**about, "score": score, **row} for row in of_score]
    frame = pd.DataFrame(rows, columns=TABLES["rq1_convergence"].columns)
    tables.write(path, tables.ordered(frame, "rq1_convergence"))
