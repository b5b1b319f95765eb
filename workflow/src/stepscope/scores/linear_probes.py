"""Linear probes: whether a ridge classifier reads a concept in prompts that it has not seen.

Of few prompts a probe finds something in noise too, and less than chance where what it learns from
lacks what it is asked. So each is held against probes that learn labels dealt to other prompts.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import KernelCenterer, StandardScaler

from stepscope.scores.probe_courses import Target

FOLDS = 6
PENALTY = 1.0  # of the weights, as a share of the features' whole variance


def target(
    reader: str,
    family: str,
    concepts: Sequence[str],
    shown: np.ndarray,
    prompts: np.ndarray,
    seeds: np.ndarray,
    named: np.ndarray,
    *,
    least: int,
    draws: int,
    seed: int,
) -> Target | None:
    """What probes of a family learn, with `draws` shuffled labels; None without two concepts.

    `shown` (sample,) are numbers of `concepts`, -1 where a picture was not read. Concepts that
    fewer than `least` prompts show are left out, with their samples, and named in the log.
    """
    count = [len(set(prompts[shown == number])) for number in range(len(concepts))]
    kept = [number for number in range(len(concepts)) if count[number] >= least]
    left_out = tuple(
        concepts[number] for number in range(len(concepts)) if 0 < count[number] < least
    )
    where = f"linear_probes: {family}, read by {reader}"
    if len(kept) < 2:
        reason = f"of its concepts {len(kept)} are shown by {least} prompts or more"
        print(f"{where}, is left out: {reason}.", flush=True)
        return None
    if left_out:
        names = ", ".join(left_out)
        print(f"{where}, lacks what fewer than {least} prompts show: {names}.", flush=True)
    rows = np.flatnonzero(np.isin(shown, kept))
    own = np.searchsorted(kept, shown[rows])
    control = shuffled(own, prompts[rows], draws, np.random.default_rng(seed))
    return Target(
        reader,
        family,
        tuple(concepts[number] for number in kept),
        left_out,
        rows,
        np.concatenate([own[None], control]),
        prompts[rows],
        seeds[rows],
        named[rows],
    )


def shuffled(
    labels: np.ndarray, prompts: np.ndarray, draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Labels (draw, n) dealt to other prompts at random; those of one prompt stay together."""
    blocks = [np.flatnonzero(prompts == prompt) for prompt in np.unique(prompts)]
    places = np.concatenate(blocks)
    found = np.empty((draws, len(labels)), dtype=labels.dtype)
    for row in found:
        order = rng.permutation(len(blocks))
        row[places] = labels[np.concatenate([blocks[number] for number in order])]
    return found


def folds_of(prompts: np.ndarray, seed: int) -> np.ndarray:
    """Fold (sample,) int of each sample; all samples of a prompt are in one."""
    count = min(FOLDS, len(np.unique(prompts)))
    splits = GroupKFold(count, shuffle=True, random_state=seed).split(prompts, groups=prompts)
    folds = np.empty(len(prompts), dtype=int)
    for number, (_, held_out) in enumerate(splits):
        folds[held_out] = number
    return folds


def held_out(
    features: np.ndarray, folds: np.ndarray, targets: Sequence[Target]
) -> list[np.ndarray]:
    """Concepts (1 + draw, n) int that probes of the other folds read, of each target.

    features (sample, feature), folds (sample,). Features are standardised by the other folds. Ridge
    regression, in its dual form, of each concept's indicator over its share, so that none is read
    for being frequent.
    """
    found = [np.empty_like(of.labels) for of in targets]
    for fold in np.unique(folds):
        is_held = folds == fold
        scaled = StandardScaler().fit(features[~is_held]).transform(features).astype(np.float64)
        kernel = scaled @ scaled.T / scaled.shape[1]
        for rows, together in _by_rows(targets):
            known, asked = rows[~is_held[rows]], rows[is_held[rows]]
            if len(known) and len(asked):
                weights = _weights(kernel, known, asked)
                for number in together:
                    labels = targets[number].labels[:, ~is_held[rows]]
                    found[number][:, is_held[rows]] = _read(weights, labels)
    return found


def _weights(kernel: np.ndarray, known: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """How much each known sample's value counts in what ridge regression predicts, (asked, known).

    The same for all values that are regressed.
    """
    own = kernel[np.ix_(known, known)]
    centre = KernelCenterer().fit(own)
    ridge = KernelRidge(alpha=PENALTY, kernel="precomputed")
    ridge.fit(centre.transform(own), np.eye(len(known)))
    return ridge.predict(centre.transform(kernel[np.ix_(asked, known)]))


def _read(weights: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Concept on top (draw, asked) int for labels (draw, known), of those that are among them."""
    indicator = labels[..., None] == np.arange(labels.max() + 1)
    share = indicator.mean(1)
    scores = np.einsum("ak,dkc->dac", weights, indicator.astype(np.float64), optimize=True)
    over = np.divide(
        scores, share[:, None], out=np.full_like(scores, -np.inf), where=share[:, None] > 0
    )
    return over.argmax(-1)


def _by_rows(targets: Sequence[Target]) -> Iterator[tuple[np.ndarray, list[int]]]:
    """Samples, and the numbers of the targets that are about just these."""
    groups: dict[bytes, list[int]] = {}
    for number, of in enumerate(targets):
        groups.setdefault(of.rows.tobytes(), []).append(number)
    for numbers in groups.values():
        yield targets[numbers[0]].rows, numbers
