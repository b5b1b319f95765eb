"""Which of the games a verdict rests on: those that share nothing with the methods compared."""

import pandas as pd

# What methods hide pixels by: the masks of DF-RISE and of LIME leave zeros.
HIDING = {"zero"}
# Similarities of DF-RISE that a score is the like of.
ALIKE = {
    "latent_error": {"mse"},
    "ssim": {"structure", "contrast", "luminance"},
    "clip_distance": {"features"},
    "clip_cosine": {"features"},
}


def primary(areas: pd.DataFrame) -> pd.DataFrame:
    """Rows of rq1_auc of one score and, of each game, one substrate; the others are sensitivity.

    Of a study's substrates and scores the first counts, in the order of its config, that no method
    in the table uses itself, and the very first where each is used.
    """
    similarities = set(areas["similarity"])
    scores = [name for name in areas["score"].unique() if not ALIKE.get(name, set()) & similarities]
    areas = areas[areas["score"].isin((scores or areas["score"].tolist())[:1])]
    first = {
        game: next((name for name in names if name not in HIDING), names[0])
        for game, names in areas.groupby("game")["substrate"].unique().items()
    }
    return areas[areas["substrate"] == areas["game"].map(first)]
