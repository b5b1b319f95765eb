"""A finding: what the tables say about a claim."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Finding:
    """One number a prompt that a claim predicts the sign of, or the reason why there is none."""

    claim: str
    statistic: str
    expected: int = 1  # the sign that supports the claim
    values: np.ndarray | None = None  # (prompt,)
    p_value: float | None = None  # of a null of its own; otherwise pairs are exchanged
    reason: str = ""
    noises: int = 0  # distinct seeds behind the values

    @classmethod
    def of_samples(
        cls, claim: str, statistic: str, expected: int, values: pd.Series, reason: str
    ) -> "Finding":
        """The finding of values by (prompt_id, seed, ...), averaged over what a prompt has."""
        means = values.groupby("prompt_id").mean().dropna().to_numpy()
        noises = values.dropna().index.get_level_values("seed").nunique()
        return cls(claim, statistic, expected, means, reason=reason, noises=noises)


def noises_of(frame: pd.DataFrame, prompts: Iterable[Hashable]) -> int:
    """Number of distinct seeds among the rows of these prompts."""
    return frame.loc[frame["prompt_id"].isin(list(prompts)), "seed"].nunique()
