"""Tables of the world's clock: accuracy per family and log-SNR, and where each is decided."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from scipy import optimize, stats

from stepscope.embedded import scenes

NATS = 2.0  # a posterior is past its middle where energy x SNR / 4 is so much
CONFIDENCE = 0.95
BAYES = "bayes"  # the reader that the others are held against


def table(rows: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
    """Accuracy of every reader per family and log-SNR: the table `world_clock`.

    `rows` as `world_clock.bayes` makes them, of any reader. Intervals draw scenes again, `draws` times; ess is
    the median over noised scenes.
    """
    records = []
    for (reader, family, level), part in rows.groupby(["reader", "family", "log_snr"], sort=False):
        of_scenes = part.groupby("scene")["right"].mean().to_numpy()
        low, high = _interval(of_scenes, np.mean, draws, seed)
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
                "chance": 1 / len(scenes.FAMILIES[str(family)]),
                "scenes": len(of_scenes),
                "noises": part["noise"].nunique(),
            }
        )
    return pd.DataFrame(records)


def families(
    rows: pd.DataFrame, distances: Mapping[str, np.ndarray], draws: int, seed: int
) -> pd.DataFrame:
    """Energy of each family and the log-SNR at which each reader decides it, energies falling.

    The table `world_clock_families`. `distances` (scenes,) by family, of `world_clock.distances`. The middle
    is that between chance and 1; lag is a reader's middle minus that of the posterior. Intervals
    draw scenes again, the same for both.
    """
    records = []
    energy = {family: float(np.median(found)) for family, found in distances.items()}
    for family in sorted(energy, key=lambda name: -energy[name]):
        half = (1 + 1 / len(scenes.FAMILIES[family])) / 2
        wide = {
            reader: part.pivot_table(index="scene", columns="log_snr", values="right")
            for reader, part in rows[rows["family"] == family].groupby("reader", sort=False)
        }
        truth = wide[BAYES]
        for reader, own in wide.items():
            both = np.stack([own.to_numpy(), truth[own.columns].to_numpy()])
            levels = own.columns.to_numpy()

            def decided(which: np.ndarray, both: np.ndarray = both, levels: np.ndarray = levels):
                return np.array([middle(levels, curve, half) for curve in both[:, which].mean(1)])

            def lag(which: np.ndarray, decided: Callable = decided) -> float:
                own, of_truth = decided(which)
                return own - of_truth

            every = np.arange(len(own))
            low, high = _interval(every, lambda which: decided(which)[0], draws, seed)
            record = {
                "reader": reader,
                "family": family,
                "energy": energy[family],
                "two_nats_log_snr": np.log(4 * NATS / energy[family]),
                "middle_log_snr": decided(every)[0],
                "ci_low": low,
                "ci_high": high,
            }
            if reader != BAYES:
                record["lag"] = lag(every)
                record["lag_low"], record["lag_high"] = _interval(every, lag, draws, seed)
            records.append(record | {"scenes": len(own)})
    columns = ["reader", "family", "energy", "two_nats_log_snr", "middle_log_snr"]
    columns += ["ci_low", "ci_high", "lag", "lag_low", "lag_high", "scenes"]
    return pd.DataFrame(records, columns=columns)


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


def _interval(
    values: np.ndarray, statistic: Callable[[np.ndarray], float], draws: int, seed: int
) -> tuple[float, float]:
    """Percentile interval of a statistic of the scenes' values; of one scene there is none."""
    if len(values) < 2:
        return np.nan, np.nan
    spread = stats.bootstrap(
        (values,),
        statistic,
        n_resamples=draws,
        vectorized=statistic is np.mean,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).bootstrap_distribution
    low, high = np.nanquantile(spread, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
