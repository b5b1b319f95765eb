"""Verdicts rest on games that share nothing with the methods, where a study has such."""

import pandas as pd
import pytest

from stepscope.statistics.primary_games import primary

FOUR = ["clip_distance", "clip_cosine", "latent_error", "ssim"]


def areas(deletion, insertion, scores, similarity="structure"):
    """Rows of rq1_auc in the order of a config: DF-RISE and the random map."""
    return pd.DataFrame(
        [
            {"method": method, "similarity": of, "game": game, "substrate": kind, "score": score}
            for method, of in (("random", ""), ("df_rise", similarity))
            for game, kinds in (("deletion", deletion), ("insertion", insertion))
            for kind in kinds
            for score in scores
        ]
    )


@pytest.mark.parametrize(
    ("deletion", "insertion", "scores", "similarity", "expected"),
    [
        (["signal", "zero"], ["signal", "blur"], FOUR, "structure", ("signal", "signal", FOUR[0])),
        # zeros are what masks leave
        (["zero", "renoise"], ["blur"], FOUR[1:], "structure", ("renoise", "blur", FOUR[1])),
        (
            ["signal"],
            ["signal"],
            ["ssim", "latent_error"],
            "structure",
            ("signal", "signal", FOUR[2]),
        ),
        (["signal"], ["signal"], ["latent_error", "ssim"], "mse", ("signal", "signal", "ssim")),
        # where everything is used, the first
        (["zero"], ["zero"], ["ssim"], "structure", ("zero", "zero", "ssim")),
    ],
)
def test_what_no_method_uses_counts(deletion, insertion, scores, similarity, expected):
    found = primary(areas(deletion, insertion, scores, similarity))
    kept = found.set_index("game")[["substrate", "score"]]
    assert set(kept.loc["deletion"].itertuples(index=False, name=None)) == {
        (expected[0], expected[2])
    }
    assert set(kept.loc["insertion"].itertuples(index=False, name=None)) == {expected[1:]}
    assert len(found) == 4  # two methods, two games


def test_no_games_have_no_primary_ones():
    assert primary(areas(["zero"], ["zero"], FOUR).iloc[:0]).empty
