"""rq3_probes and its summary: from which step on a concept is read beyond chance, by probe or eye.

What a probe finds is held against probes of shuffled labels: at its step in the table, and for
onsets against the largest of all steps (Westfall and Young 1993), so that looking at many steps
finds nothing in noise. What a reader sees in clean predictions is dated by the same rule, from the
same samples, so that the two compare.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stepscope.scores import probe_courses
from stepscope.scores.emergence import SEVERAL
from stepscope.scores.probe_courses import Course, balanced_accuracy
from stepscope.store import tables

QUANTILE = 0.975  # of the shuffled labels' probes
ANY = "any layer"
ALL, LATENT, SEEN = probe_courses.ALL, probe_courses.LATENT, probe_courses.SEEN
UNCOND, COND = probe_courses.HALVES


def table(
    courses: Sequence[Course], times: Mapping[str, np.ndarray], keys: Mapping[str, str]
) -> pd.DataFrame:
    """rq3_probes: a row a step, reader, family, layer, half and set of prompts."""
    rows = []
    for course in courses:
        target = course.target
        for prompts, mask in target.asked():
            labels = target.labels[0, mask]
            control = course.control[prompts]
            about = _about(course, prompts, mask) | {
                "classes": len(target.concepts),
                "left_out": SEVERAL.join(target.left_out),
                "chance": 1 / len(target.concepts),
            }
            for step, hits in enumerate(course.hits[:, mask]):
                rows.append(
                    {name: of[step] for name, of in times.items()}
                    | about
                    | {
                        "accuracy": hits.mean(),
                        "balanced_accuracy": balanced_accuracy(hits[None], labels[None]).item(),
                        "control_mean": control[step].mean(),
                        "control_high": np.quantile(control[step], QUANTILE),
                    }
                )
    frame = pd.DataFrame(rows, columns=tables.columns("rq3_probes")).assign(**keys)
    return tables.ordered(frame, "rq3_probes")


def summary(
    courses: Sequence[Course],
    times: Mapping[str, np.ndarray],
    keys: Mapping[str, str],
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """rq3_probes_summary: onsets with intervals over prompts, and lags behind them of what is seen.

    An onset is the first step at which the balanced accuracy is above the control of all steps, at
    the next step too if there is one; NaN where there is none. "any layer" is the best of a half's
    layers, held against the best of theirs. A lag counts what never is as at the last step.
    """
    rows = []
    by_target: dict[tuple[str, str], list[Course]] = defaultdict(list)
    for course in courses:
        by_target[course.target.reader, course.target.family].append(course)
    for of_target in by_target.values():
        target = of_target[0].target
        for prompts, mask in target.asked():
            weights = drawn(target.prompts[mask], draws, seed)
            dated = {
                (half, layer): _first(beyond)
                for half, layer, beyond in _beyond(of_target, prompts, mask, weights)
            }
            for (half, layer), first in dated.items():
                about = _about(of_target[0], prompts, mask) | {"layer": layer, "half": half}
                when = np.append(times["log_snr"], np.inf)[first]
                rows.append(about | _row("log_snr", "above the control", when, confidence))
                if layer != SEEN:
                    lag = _lag(dated["", SEEN], first, times["log_snr"])
                    rows.append(about | _row("lag", "visible minus this", lag, confidence))
    frame = pd.DataFrame(rows, columns=tables.columns("rq3_probes_summary")).assign(**keys)
    return tables.ordered(frame, "rq3_probes_summary")


def drawn(prompts: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """How often each sample counts, (1 + draw, n), with its prompts drawn again; first all once."""
    names, which = np.unique(prompts, return_inverse=True)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return np.concatenate([np.ones((1, len(prompts))), counts[:, which]])


def weighed(hits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Balanced accuracy (draw, step) of hits (step, n), labels (n,) and weights (draw, n).

    Concepts that a draw lacks do not count.
    """
    total, count = np.zeros((len(weights), len(hits))), np.zeros((len(weights), 1))
    for concept in np.unique(labels):
        of_concept = weights * (labels == concept)
        number = of_concept.sum(1, keepdims=True)
        total += of_concept @ hits.T / np.where(number > 0, number, 1)
        count += number > 0
    return total / count


def _beyond(
    courses: Sequence[Course], prompts: str, mask: np.ndarray, weights: np.ndarray
) -> Iterator[tuple[str, str, np.ndarray]]:
    """Half, layer and whether balanced accuracy is above the control's, (1 + draw, step) bool.

    Of each course of a target, and of the best layer of each half.
    """
    best: dict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
    for course in courses:
        labels = course.target.labels[0, mask]
        value, control = weighed(course.hits[:, mask], labels, weights), course.control[prompts]
        yield course.half, course.layer, value > _threshold(control)
        if course.layer not in (SEEN, LATENT):
            best[course.half].append((value, control))
    for half, layers in best.items():
        values, controls = (np.max(part, axis=0) for part in zip(*layers, strict=True))
        yield half, ANY, values > _threshold(controls)


def _threshold(control: np.ndarray) -> float:
    """What the largest of all steps exceeds in few draws of shuffled labels, of (step, draw)."""
    return float(np.quantile(control.max(0), QUANTILE))


def _first(beyond: np.ndarray) -> np.ndarray:
    """First step (draw,) that is beyond and has none after it that is not; their number if none."""
    ends = np.ones((len(beyond), 1), dtype=bool)
    lasting = beyond & np.concatenate([beyond[:, 1:], ends], axis=1)
    return np.where(lasting.any(1), lasting.argmax(1), beyond.shape[1])


def _lag(seen: np.ndarray, first: np.ndarray, log_snr: np.ndarray) -> np.ndarray:
    """Nats (draw,) by which what is seen comes later; NaN where neither comes within the steps."""
    last = len(log_snr) - 1
    lag = log_snr[np.minimum(seen, last)] - log_snr[np.minimum(first, last)]
    return np.where(np.minimum(seen, first) > last, np.nan, lag)


def _row(quantity: str, compared: str, values: np.ndarray, confidence: float) -> dict[str, Any]:
    """An estimate, the first of the values, and its interval, those of the draws."""
    tail = (1 - confidence) / 2
    known = values[1:][~np.isnan(values[1:])]
    ends = [np.nan, np.nan]
    if len(known) and not np.isnan(values[0]):
        ends = np.quantile(known, [tail, 1 - tail], method="inverted_cdf").tolist()
    found = [value if np.isfinite(value) else np.nan for value in (values[0], *ends)]
    names = ("estimate", "ci_low", "ci_high")
    return {"quantity": quantity, "compared": compared} | dict(zip(names, found, strict=True))


def _about(course: Course, prompts: str, mask: np.ndarray) -> dict[str, Any]:
    """What a row is about, and how many prompts, samples and noises are behind it."""
    target = course.target
    return {
        "reader": target.reader,
        "family": target.family,
        "prompts": prompts,
        "layer": course.layer,
        "half": course.half,
        "n": len(np.unique(target.prompts[mask])),
        "samples": int(mask.sum()),
        "noises": len(np.unique(target.seeds[mask])),
    }
