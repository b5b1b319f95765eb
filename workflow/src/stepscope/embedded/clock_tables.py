"""Tables of the world's clock: accuracy per family and log-SNR, and where each is decided."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import optimize

from stepscope.embedded import scenes

NATS = 2.0  # a posterior is past its middle where energy x SNR / 4 is so much
CONFIDENCE = 0.95
BAYES = "bayes"  # the reader that the others are held against


def chance(family: str) -> float:
    """Accuracy of a guess within a family."""
    return 1 / len(scenes.FAMILIES[family])


def table(rows: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
    """Accuracy of every reader per family and log-SNR: the table `world_clock`.

    `rows` as `world_clock.bayes` makes them, of any reader. Intervals draw scenes again, `draws`
    times; ess is the median over noised scenes.
    """
    records = []
    for (reader, family, level), part in rows.groupby(["reader", "family", "log_snr"], sort=False):
        of_scenes = part.groupby("scene")["right"].mean().to_numpy()
        low, high = _interval(of_scenes[_again(len(of_scenes), draws, seed)].mean(1))
        records.append(
            {
                "reader": reader,
                "family": family,
                "log_snr": level,
                "accuracy": of_scenes.mean(),
                "ci_low": low,
                "ci_high": high,
                "posterior": part["posterior"].mean(),
                "ess": part["ess"].median(),
                "chance": chance(str(family)),
                "scenes": len(of_scenes),
                "noises": part["noise"].nunique(),
            }
        )
    return pd.DataFrame(records)


def families(
    rows: pd.DataFrame, distances: Mapping[str, np.ndarray], draws: int, seed: int
) -> pd.DataFrame:
    """Energy of each family and the log-SNR at which each reader decides it, energies falling.

    The table `world_clock_families`. `distances` (scenes,) by family, of `world_clock.distances`:
    energy is their median. The middle is that between chance and 1; lag is a reader's middle minus
    that of the posterior. Intervals draw scenes again, the same for both.
    """
    records = []
    energies = {family: float(np.median(found)) for family, found in distances.items()}
    for family in sorted(energies, key=lambda name: -energies[name]):
        half = (1 + chance(family)) / 2
        middles: dict[str, np.ndarray] = {}  # of all scenes, then of scenes drawn again
        of_family = rows[rows["family"] == family]
        for reader in sorted(of_family["reader"].unique(), key=lambda name: name != BAYES):
            curves = of_family[of_family["reader"] == reader].pivot_table(
                index="scene", columns="log_snr", values="right"
            )
            every = np.arange(len(curves))
            drawn = np.vstack([every, _again(len(curves), draws, seed)])
            means = curves.to_numpy()[drawn].mean(1)
            levels = curves.columns.to_numpy()
            middles[reader] = np.array([middle(levels, curve, half) for curve in means])
            lags = middles[reader] - middles[BAYES]
            low, high = _interval(middles[reader][1:])
            lag_low, lag_high = _interval(lags[1:])
            records.append(
                {
                    "reader": reader,
                    "family": family,
                    "energy": energies[family],
                    "two_nats_log_snr": np.log(4 * NATS / energies[family]),
                    "middle_log_snr": middles[reader][0],
                    "ci_low": low,
                    "ci_high": high,
                    "lag": lags[0],
                    "lag_low": lag_low,
                    "lag_high": lag_high,
                    "scenes": len(curves),
                }
            )
    return pd.DataFrame(records)


def middle(levels: np.ndarray, accuracy: np.ndarray, half: float) -> float:
    """Log-SNR at which the best rising curve through the accuracies (levels,) passes `half`.

    NaN if it never does.
    """
    rising = optimize.isotonic_regression(accuracy).x
    if not rising[0] < half <= rising[-1]:
        return np.nan
    above = int(np.argmax(rising >= half))
    share = (half - rising[above - 1]) / (rising[above] - rising[above - 1])
    return float(levels[above - 1] + share * (levels[above] - levels[above - 1]))


def _again(count: int, draws: int, seed: int) -> np.ndarray:
    """Scenes drawn again with replacement, int (draws, count)."""
    return np.random.default_rng(seed).integers(0, count, (draws, count))


def _interval(drawn: np.ndarray) -> tuple[float, float]:
    """Percentile interval of what was drawn again (draws,); without a number there is none."""
    if np.isnan(drawn).all():
        return np.nan, np.nan
    low, high = np.nanquantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
