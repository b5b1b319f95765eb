"""Deletion and insertion games: the area, the moves, the substrates, and rankings told apart."""

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from stepscope.diffusion.planted import ConstantDenoiser
from stepscope.methods import baselines
from stepscope.models import judges
from stepscope.scores import game_states, games
from support.replayed import SeesOnly, corner, replay


def cell_colours(pictures):
    """Colours of 8 x 8 cells as a picture's features."""
    return torch.nn.functional.adaptive_avg_pool2d(pictures, 8).flatten(1)


def test_auc_of_known_curves():
    line = np.linspace(0, 1, 17)
    assert games.auc(line) == pytest.approx(0.5)
    assert games.auc(np.ones(17)) == pytest.approx(1)
    assert games.auc(np.array([0.0, 1.0, 1.0])) == pytest.approx(0.75)
    np.testing.assert_allclose(games.auc(np.stack([line, line**0])), [0.5, 1])


@pytest.mark.parametrize("power", [2, 3, 4])
def test_the_area_of_few_moves_is_nearer_than_the_trapezoidal_rules(power):
    curve, area = np.linspace(0, 1, 9) ** power, 1 / (power + 1)
    assert games.auc_of_few(curve) == pytest.approx(area, rel=2e-3)
    assert abs(games.auc_of_few(curve) - area) < abs(games.auc(curve) - area) / 4


def test_the_area_of_few_moves_is_exact_for_lines_and_none_of_what_is_missing():
    line, lacking = np.linspace(0, 1, 6), np.array([0, np.nan, 0, 0, 0, 0])
    areas = games.auc_of_few(np.stack([1 - line, line**0, lacking]))
    np.testing.assert_allclose(areas, [0.5, 1, np.nan])


@pytest.mark.parametrize("game", games.GAMES)
@pytest.mark.parametrize("ends", [(0.0, 300.0), (1.0, 0.2)], ids=["distance", "cosine"])
def test_normalised_curves_lead_from_the_untouched_to_the_changed_state(game, ends):
    shares = np.array([1, 0.9, 0.25, -0.1, 0])  # of a deletion; insertion goes the other way
    untouched, changed = ends
    shares = shares if game == "deletion" else shares[::-1]
    curve = changed + shares * (untouched - changed)
    np.testing.assert_allclose(games.normalised(curve, game), shares, atol=1e-12)
    for area in (games.auc, games.auc_of_few):  # an area is normalised as its curve is
        np.testing.assert_allclose(
            area(games.normalised(curve, game)), (area(curve) - changed) / (untouched - changed)
        )


def test_a_game_whose_ends_are_equal_has_no_normalised_area():
    curves = np.stack([np.linspace(0, 1, 5), np.zeros(5)])
    found = games.auc(games.normalised(curves, "deletion"))
    np.testing.assert_allclose(found, [0.5, np.nan])


def test_a_ranking_follows_the_signed_map_and_draws_ties():
    map_ = np.array([[0.0, 3.0], [-5.0, 0.0]])
    ranks = [game_states.ranking(map_, np.random.default_rng(seed)) for seed in range(20)]
    assert all(rank[0, 1] == 0 and rank[1, 0] == 3 for rank in ranks)
    assert {rank[0, 0] for rank in ranks} == {1, 2}
    np.testing.assert_array_equal(ranks[0], game_states.ranking(map_, np.random.default_rng(0)))


@pytest.mark.parametrize(
    ("moves", "turned"), [(4, [6, 12, 18]), (2, [12]), (10, [2, 5, 7, 10, 12, 14, 17, 19, 22])]
)
def test_every_move_turns_an_equal_share_of_the_pixels(moves, turned):
    latent, other = torch.ones(3, 4, 6), torch.zeros(3, 4, 6)
    ranks = torch.arange(24).reshape(1, 4, 6)
    states = game_states.states(ranks, latent, other, moves)
    assert states.shape == (1, moves - 1, 3, 4, 6)
    for state, count in zip(states[0].flatten(2), turned, strict=True):
        assert (state[..., :count] == 0).all()
        assert (state[..., count:] == 1).all()


@pytest.mark.parametrize(("side", "size", "sigma"), [(64, 11, 5.0), (128, 21, 10.0), (16, 3, 1.25)])
def test_the_blur_scales_with_the_side(side, size, sigma):
    latent = torch.zeros(1, side, side)
    middle = side // 2
    latent[0, middle, middle] = 1
    row = game_states.substrate("blur", latent)[0, middle]
    assert int((row > 0).sum()) == size
    assert float(row[middle + 1] / row[middle]) == pytest.approx(np.exp(-1 / (2 * sigma**2)), 1e-4)
    assert (game_states.substrate("zero", latent) == 0).all()


def test_a_perfect_ranking_beats_a_random_one():
    denoiser, steps = replay()
    region = corner()
    noise = baselines.random(0, "tiny", 0, (2, 16, 16))
    maps = np.stack([region.numpy() + 0.1 * noise[0], noise[1], -region.numpy()])

    class Explained(SeesOnly):  # the picture is made from what the model sees and says alone
        def advance(self, latents, output, step):
            return output

    sighted = Explained(denoiser, region)
    curves = games.play_step(sighted, steps[1], maps, cell_colours)
    assert curves.shape == (3, 2, 2, 17)
    distance, cosine = games.auc(curves[:, :, 0]), games.auc(curves[:, :, 1])
    assert distance[0, 0] > distance[1, 0] > distance[2, 0]  # deletion: high is good
    assert distance[0, 1] < min(distance[1:, 1])  # insertion: low is good
    assert cosine[0, 0] < cosine[1, 0] < cosine[2, 0]
    assert cosine[0, 1] > max(cosine[1:, 1])


def test_ends_are_shared_and_batches_do_not_matter():
    denoiser, steps = replay()
    maps = baselines.random(0, "tiny", 0, (2, 16, 16))
    curves = games.play_step(denoiser, steps[2], maps, cell_colours, moves=6, batch=64)
    np.testing.assert_array_equal(curves[0][..., [0, -1]], curves[1][..., [0, -1]])
    assert (curves[:, 0, 0, 0] == 0).all()  # nothing deleted
    assert (curves[:, 1, 0, -1] == 0).all()  # all inserted
    np.testing.assert_allclose(curves[:, :, 1][:, [0, 1], [0, -1]], 1, atol=1e-6)
    other = games.play_step(denoiser, steps[2], maps, cell_colours, moves=6, batch=7)
    np.testing.assert_allclose(curves, other, atol=1e-4)
    again = games.play_step(denoiser, steps[2], maps, cell_colours, moves=6, batch=64)
    np.testing.assert_array_equal(curves, again)


def test_games_of_several_steps_are_those_of_each_alone():
    denoiser, steps = replay()
    noise = baselines.random(0, "tiny", 0, (3, 16, 16))
    played = [(steps[2], noise[:2]), (steps[0], noise[2:]), (steps[1], noise[[0, 0]])]
    together = list(games.play_steps(denoiser, iter(played), cell_colours, moves=4, batch=20))
    for (step, maps), curves in zip(played, together, strict=True):
        alone = games.play_step(denoiser, step, maps, cell_colours, moves=4)
        np.testing.assert_allclose(curves, alone, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(together[2][0], together[2][1])


def test_fewer_moves_are_points_of_the_same_curves():
    denoiser, steps = replay()
    maps = baselines.random(0, "tiny", 0, (1, 16, 16))
    by_row = games.play_step(denoiser, steps[1], maps, cell_colours)
    few = games.play_step(denoiser, steps[1], maps, cell_colours, moves=8)
    np.testing.assert_allclose(few, by_row[..., ::2], rtol=1e-4, atol=1e-6)


class Counting:
    """A denoiser without a network that keeps every row it is given: (step, latent) as bytes."""

    device = "cpu"

    def __init__(self):
        self.called, self.decoded = [], 0

    def outputs(self, latents, steps):
        rows = zip(steps, latents, strict=True)
        self.called += [(step.number, latent.numpy().tobytes()) for step, latent in rows]
        return latents

    def guided(self, outputs):
        return outputs

    def advance(self, latents, output, steps):
        return output

    def decode(self, latents):
        self.decoded += len(latents)
        return latents[:, :3]


@pytest.mark.parametrize(
    ("maps_of_steps", "substrates", "rows"),
    [
        ([[0]], ("zero", "blur"), 3 + 2 * 7),
        ([[0, 1]], ("zero", "blur"), 3 + 4 * 7),
        ([[0, 0, 1, 0]], ("zero", "blur"), 3 + 4 * 7),
        ([[0, 1], [1], [0, 0]], ("zero", "blur"), 3 * 3 + 8 * 7),
        # hiding from one end is showing from the other, where both games have one substrate
        ([[0]], ("zero", "zero"), 2 + 2 * 7),
        ([[0, -1]], ("zero", "zero"), 2 + 2 * 7),
        ([[0, -1]], ("zero", "blur"), 3 + 4 * 7),
    ],
)
def test_no_state_is_computed_twice(maps_of_steps, substrates, rows):
    _, steps = replay()
    noise = baselines.random(0, "tiny", 0, (2, 16, 16))
    noise = {0: noise[0], 1: noise[1], -1: -noise[0]}
    played = [
        (step, np.stack([noise[name] for name in names]))
        for step, names in zip(steps, maps_of_steps, strict=False)
    ]
    denoiser = Counting()
    options = dict(zip(games.GAMES, substrates, strict=True))
    curves = list(games.play_steps(denoiser, played, cell_colours, moves=8, batch=5, **options))
    assert [len(of_step) for of_step in curves] == list(map(len, maps_of_steps))
    assert len(denoiser.called) == len(set(denoiser.called)) == denoiser.decoded == rows


def test_steps_are_stateless():
    denoiser, steps = replay()
    maps = baselines.random(0, "tiny", 0, (1, 16, 16))
    first, _, again = (
        games.play_step(denoiser, steps[number], maps, cell_colours, moves=4)
        for number in (1, 3, 1)
    )
    np.testing.assert_array_equal(first, again)


def test_the_blind_model_still_depends_on_its_latent_only_through_the_step():
    denoiser, steps = replay()

    class Explained(ConstantDenoiser):
        def advance(self, latents, output, step):
            return output

    maps = baselines.random(0, "tiny", 0, (1, 16, 16))
    curves = games.play_step(Explained(denoiser), steps[1], maps, cell_colours)
    np.testing.assert_allclose(curves[:, :, 0], 0, atol=1e-9)


def test_the_similarity_behind_a_map_is_named():
    attrs = {"method": "df_rise", "parameters": {"similarity": "cosine"}}
    assert games.similarity_of("df_rise", attrs) == "cosine"
    assert games.similarity_of("df_rise_mse", attrs) == "mse"
    assert games.similarity_of("df_rise_official", attrs) == "structure"
    assert games.similarity_of("df_cam", {"method": "df_cam", "parameters": {}}) == ""


@pytest.mark.parametrize("size", [(48, 48), (96, 48), (32, 40)])
def test_pictures_are_read_as_open_clip_reads_them(size):
    preprocess = open_clip.image_transform(32, is_train=False, mean=(0.5,) * 3, std=(0.25,) * 3)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.visual = torch.nn.Module()
            self.visual.preprocess_cfg = {
                "size": 32,
                "mean": (0.5,) * 3,
                "std": (0.25,) * 3,
                "interpolation": "bicubic",
            }

        def encode_image(self, pictures):
            return pictures

    smooth = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    picture = torch.nn.functional.interpolate(smooth, size=size, mode="bilinear")
    picture = (picture * 255).round() / 255
    expected = preprocess(Image.fromarray((picture[0] * 255).byte().permute(1, 2, 0).numpy()))
    (features,) = judges.clip_features(Model())(picture)
    torch.testing.assert_close(features, expected, atol=0.02, rtol=0)


def test_baselines_are_seeded_centred_and_follow_edges():
    noise = baselines.random(0, "cat", 1, (2, 8, 8))
    np.testing.assert_array_equal(noise, baselines.random(0, "cat", 1, (2, 8, 8)))
    assert not np.array_equal(noise, baselines.random(1, "cat", 1, (2, 8, 8)))
    middle = baselines.centre((8, 12))
    np.testing.assert_allclose(middle, middle[::-1, ::-1])
    assert np.unravel_index(middle.argmax(), middle.shape)[0] in (3, 4)
    picture = np.zeros((64, 64, 3), dtype=np.uint8)
    picture[:, 32:] = 255
    edges = baselines.edge(picture, (16, 16))
    assert set(edges.argmax(1)) <= {7, 8}
