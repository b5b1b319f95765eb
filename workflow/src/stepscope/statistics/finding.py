"""A finding: what the tables say about a claim."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

# What would have been found without objects (the Gaussian null), by a random map in the place of
# the method's, and by the centre map.
REFERENCES = ("without_objects", "at_chance", "with_centre")
References = dict[str, float | str]  # each as a number, or why there is none


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
    references: References = field(default_factory=dict)
    family: str = ""  # of findings whose p-values Holm adjusts together
    margin: float | None = None  # the claim is then that the mean is nearer to 0 than this

    @classmethod
    def of_samples(
        cls,
        claim: str,
        statistic: str,
        expected: int,
        values: pd.Series,
        reason: str,
        references: References | None = None,
        family: str = "",
    ) -> "Finding":
        """The finding of values by (prompt_id, seed, ...), averaged over what a prompt has."""
        known = values.dropna()
        noises = known.index.get_level_values("seed").nunique()
        means, other = over_prompts(values).to_numpy(), references or {}
        return cls(claim, statistic, expected, means, None, reason, noises, other, family)

    def found_otherwise(self) -> References:
        """The `REFERENCES` that are numbers, NaN for others, and `lacking`: why these are not."""
        numbers: References = {}
        why = []
        for name in REFERENCES:
            reference = self.references.get(name, "not measured")
            lacks = isinstance(reference, str) or np.isnan(reference)
            numbers[name] = np.nan if lacks else reference
            if lacks:
                said = reference if isinstance(reference, str) else "no sample has it"
                why.append(f"{name}: {said}")
        return numbers | {"lacking": "; ".join(why)}


def over_prompts(values: pd.Series) -> pd.Series:
    """Mean of each prompt's values, by (prompt_id, ...); prompts without any are left out."""
    return values.groupby(level="prompt_id").mean().dropna()


def noises_of(frame: pd.DataFrame, prompts: Iterable[Hashable]) -> int:
    """Number of distinct seeds among the rows of these prompts."""
    return frame.loc[frame["prompt_id"].isin(list(prompts)), "seed"].nunique()
