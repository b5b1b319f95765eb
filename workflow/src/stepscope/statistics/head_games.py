"""Areas under the curves of the heads' game."""

import pandas as pd

from stepscope.scores.areas import auc_of_few
from stepscope.table_columns import KEYS
from stepscope.table_registry import WORD


def areas_of(curves: pd.DataFrame) -> pd.DataFrame:
    """Area under each curve of rq2_head_games: its keys, `auc_lost` and `auc_changed`.

    Over the share of heads that are weakened, by monotone cubics between the moves: near 1
    where the first heads have all of the effect, 1/2 where all heads have as much of it.
    """
    keys = [*KEYS, *WORD]
    rows = []
    for key, of_curve in curves.groupby(keys, sort=False, dropna=False):
        points = of_curve.sort_values("weakened")
        areas = {
            f"auc_{name}": auc_of_few(points[name].to_numpy(), points["weakened"].to_numpy())
            for name in ("lost", "changed")
        }
        rows.append(dict(zip(keys, key, strict=True)) | areas)
    return pd.DataFrame(rows, columns=[*keys, "auc_lost", "auc_changed"])
