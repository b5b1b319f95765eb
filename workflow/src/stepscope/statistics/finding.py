"""A finding: what the tables say about a claim."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Finding:
    """One number a prompt that a claim predicts the sign of, or the reason why there is none."""

    claim: str
    statistic: str
    expected: int = 1  # the sign that supports the claim
    values: np.ndarray | None = None  # (prompt,)
    p_value: float | None = None  # of a null of its own; otherwise pairs are exchanged
    reason: str = ""
