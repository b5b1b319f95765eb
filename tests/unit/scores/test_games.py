"""Deletion and insertion games: the moves, known areas, and no state that is computed twice."""

import numpy as np
import pytest
import torch

from stepscope.diffusion.planted import ConstantDenoiser
from stepscope.methods import baselines
from stepscope.scores import areas, game_states, games, playing
from stepscope.scores.game_scores import SCORES
from stepscope.scores.substrates import SUBSTRATES, parts_of
from support.replayed import SeesOnly, corner, replay
from support.stepping import SIDE, CellByCell, step

CLIP = ("clip_distance", "clip_cosine")
SIGNAL = (("deletion", "signal"), ("insertion", "signal"))
MIXED = (("deletion", "zero"), ("insertion", "blur"))
EVERY = tuple((game, substrate) for game in game_states.GAMES for substrate in SUBSTRATES)


def cell_colours(pictures):
    """Colours of 8 x 8 cells as a picture's features."""
    return torch.nn.functional.adaptive_avg_pool2d(pictures, 8).flatten(1)


def played(denoiser, step, maps, settings=MIXED, scores=CLIP, **options):
    """Curves (setting, map, score, move) of a step."""
    play = playing.Play(step, maps, settings)
    return playing.play_step(denoiser, play, scores, cell_colours, **options)


def noises(count, side=16):
    """Random maps (count, side, side)."""
    return baselines.random(0, "tiny", 0, (count, side, side))


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
    assert states.shape == (1, moves + 1, 3, 4, 6)
    for state, count in zip(states[0].flatten(2), [0, *turned, 24], strict=True):
        assert (state[..., :count] == 0).all()
        assert (state[..., count:] == 1).all()


@pytest.mark.parametrize("substrate", SUBSTRATES)
@pytest.mark.parametrize("order", ["best", "worst", "drawn"])
def test_known_effects_of_cells_have_the_known_area(substrate, order):
    rng = np.random.default_rng(0)
    effect = rng.random((SIDE, SIDE))
    made, denoiser = step(), CellByCell(effect)
    changed = SUBSTRATES[substrate](parts_of(denoiser, made, 0))
    harm = (effect**2 * ((changed - made.latent) ** 2).numpy().mean(0)).ravel()
    map_ = {"best": harm, "worst": -harm, "drawn": rng.random(harm.size)}[order]
    settings = [("deletion", substrate), ("insertion", substrate)]
    maps = map_.reshape(1, SIDE, SIDE)
    curves = played(denoiser, made, maps, settings, ["latent_error"], moves=SIDE**2)
    gone = np.append(0, np.cumsum(harm[np.argsort(-map_)]) / harm.size)
    expected = np.stack([gone, gone[-1] - gone])
    np.testing.assert_allclose(curves[:, 0, 0], expected, rtol=1e-4, atol=1e-6)
    shares = [areas.normalised(curves[0], "deletion"), areas.normalised(curves[1], "insertion")]
    shares = areas.auc(np.stack(shares)).ravel()
    # what is hidden as the map says is shown as it says, too
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    better = {"best": shares[0] < 0.4, "worst": shares[0] > 0.6, "drawn": 0.3 < shares[0] < 0.7}
    assert better[order]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_state_that_keeps_all_is_the_latent_bit_for_bit(dtype):
    made = step()
    latent = made.latent.to(dtype)
    parts = parts_of(CellByCell(), made, 0)
    kinds = {name: of(parts).to(latent) for name, of in SUBSTRATES.items()}
    ranks = game_states.rankings(noises(2, SIDE), made, 0)
    states = game_states.states_of(latent, ranks, EVERY, kinds, 4)
    for (game, substrate), places in zip(EVERY, states.places, strict=True):
        kept, gone = (0, -1) if game == "deletion" else (-1, 0)
        assert (places[:, kept] == 0).all()
        assert states.distinct[0].numpy().tobytes() == latent.numpy().tobytes()
        torch.testing.assert_close(states.distinct[places[0, gone]], kinds[substrate])


@pytest.mark.parametrize("substrate", SUBSTRATES)
def test_what_depends_on_nothing_has_no_area(substrate):
    settings = [(game, substrate) for game in game_states.GAMES]
    curves = played(CellByCell(0.0), step(), noises(2, SIDE), settings, list(SCORES), moves=4)
    constant = np.array([[0.0, 0.0, 0.0, 1.0]]).T  # a cosine with nothing is 0
    np.testing.assert_array_equal(curves, np.broadcast_to(constant, curves.shape))
    for game, of_game in zip(game_states.GAMES, curves, strict=True):
        assert np.isnan(areas.normalised(of_game, game)).all()


def test_a_perfect_ranking_beats_a_random_one():
    denoiser, steps = replay()
    region, noise = corner(), noises(2)
    maps = np.stack([region.numpy() + 0.1 * noise[0], noise[1], -region.numpy()])

    class Explained(SeesOnly):  # the picture is made from what the model sees and says alone
        def advance(self, latents, output, step):
            return output

    curves = played(Explained(denoiser, region), steps[1], maps, moves=5)
    assert curves.shape == (2, 3, 2, 6)
    (deletion, insertion), (deleted, inserted) = areas.auc(curves).transpose(2, 0, 1)
    assert deletion[0] > deletion[1] > deletion[2]  # a distance: high is good
    assert insertion[0] < min(insertion[1:])  # low is good
    assert deleted[0] < deleted[1] < deleted[2]  # a similarity is the reverse
    assert inserted[0] > max(inserted[1:])


def test_ends_are_shared_and_batches_do_not_matter():
    denoiser, steps = replay()
    maps, scores = noises(2), list(SCORES)
    options = {"settings": MIXED, "scores": scores, "moves": 4}
    curves = played(denoiser, steps[2], maps, batch=64, **options)
    np.testing.assert_array_equal(curves[:, 0][..., [0, -1]], curves[:, 1][..., [0, -1]])
    untouched = curves[[0, 1], ..., [0, -1]]  # nothing deleted, all inserted
    distances = [name for name in scores if SCORES[name].area == "auc_distance"]
    expected = [0.0 if name in distances else 1.0 for name in scores]
    np.testing.assert_allclose(untouched, np.broadcast_to(expected, untouched.shape), atol=1e-6)
    other = played(denoiser, steps[2], maps, batch=7, **options)
    np.testing.assert_allclose(curves, other, atol=1e-4)
    again = played(denoiser, steps[2], maps, batch=64, **options)
    np.testing.assert_array_equal(curves, again)


def test_games_of_several_steps_are_those_of_each_alone():
    denoiser, steps = replay()
    noise = noises(3)
    plays = [
        playing.Play(steps[2], noise[:2], MIXED),
        playing.Play(steps[0], noise[2:], SIGNAL),
        playing.Play(steps[1], noise[[0, 0]], MIXED[:1]),
    ]
    options = {"moves": 3, "batch": 20}
    together = list(playing.play_steps(denoiser, iter(plays), CLIP, cell_colours, **options))
    for play, curves in zip(plays, together, strict=True):
        alone = playing.play_step(denoiser, play, CLIP, cell_colours, moves=3)
        np.testing.assert_allclose(curves, alone, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(together[2][:, 0], together[2][:, 1])


def test_fewer_moves_are_points_of_the_same_curves():
    by_row = played(CellByCell(), step(), noises(1, SIDE))
    few = played(CellByCell(), step(), noises(1, SIDE), moves=4)
    np.testing.assert_allclose(few, by_row[..., ::2], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scores", [["latent_error"], ["ssim"], ["clip_cosine", "latent_error"]])
def test_pictures_are_decoded_and_judged_where_a_score_asks(scores):
    denoiser, judged = CellByCell(), []

    def features_of(pictures):
        judged.append(len(pictures))
        return cell_colours(pictures)

    play = playing.Play(step(), noises(1, SIDE), SIGNAL)
    curves = playing.play_step(denoiser, play, scores, features_of, moves=4)
    every = played(CellByCell(), step(), noises(1, SIDE), SIGNAL, list(SCORES), moves=4)
    np.testing.assert_array_equal(curves, every[:, :, [list(SCORES).index(one) for one in scores]])
    assert denoiser.decoded == (0 if scores == ["latent_error"] else len(denoiser.called))
    assert sum(judged) == (len(denoiser.called) if "clip_cosine" in scores else 0)


@pytest.mark.parametrize(
    ("maps_of_steps", "settings", "rows"),
    [
        ([[0]], MIXED, 3 + 2 * 7),
        ([[0, 1]], MIXED, 3 + 4 * 7),
        ([[0, 0, 1, 0]], MIXED, 3 + 4 * 7),
        ([[0, 1], [1], [0, 0]], MIXED, 3 * 3 + 8 * 7),
        # hiding from one end is showing from the other, where both games have one substrate
        ([[0]], SIGNAL, 2 + 2 * 7),
        ([[0, -1]], SIGNAL, 2 + 2 * 7),
        ([[0, -1]], MIXED, 3 + 4 * 7),
        ([[0, -1]], (*SIGNAL, *MIXED), 4 + 6 * 7),
        ([[0]], MIXED[:1], 2 + 7),
    ],
)
def test_no_state_is_computed_twice(maps_of_steps, settings, rows):
    noise = dict(zip((0, 1), noises(2, SIDE), strict=True))
    noise[-1] = -noise[0]
    plays = [
        playing.Play(step(number), np.stack([noise[name] for name in names]), settings)
        for number, names in enumerate(maps_of_steps, 1)
    ]
    denoiser = CellByCell()
    options = {"moves": 8, "batch": 5}
    curves = list(playing.play_steps(denoiser, plays, CLIP, cell_colours, **options))
    assert [of_step.shape[1] for of_step in curves] == list(map(len, maps_of_steps))
    assert len(denoiser.called) == len(set(denoiser.called)) == denoiser.decoded == rows


@pytest.mark.parametrize("settings", [SIGNAL, MIXED, (*SIGNAL, *MIXED)])
@pytest.mark.parametrize("draws", [1, 2, 3, 6])
def test_random_orders_are_averaged_and_cost_no_more_than_is_said(settings, draws):
    denoiser, made = CellByCell(np.random.default_rng(1).random((SIDE, SIDE))), step()
    computed = dict(zip(("random", "centre"), noises(2, SIDE), strict=True))
    maps = games.every_order(computed, draws, made, seed=0)
    assert len(maps) == draws + 1
    np.testing.assert_array_equal(maps[0], computed["random"])
    pairs = maps[: draws // 2 * 2].reshape(-1, 2, SIDE, SIDE)
    np.testing.assert_array_equal(pairs[:, 0], -pairs[:, 1])
    assert len(np.unique(maps[:draws:2], axis=0)) == (draws + 1) // 2
    np.testing.assert_array_equal(maps, games.every_order(computed, draws, made, seed=0))
    if draws > 2:
        assert (maps != games.every_order(computed, draws, made, seed=1)).any()
    curves = played(denoiser, made, maps, settings, moves=4)
    assert len(denoiser.called) == game_states.state_count(settings, computed, 4, draws)
    random, centre = games.averaged(curves, list(computed), draws)
    np.testing.assert_allclose(random, curves[:, :draws].mean(1))
    np.testing.assert_array_equal(centre, curves[:, -1])


@pytest.mark.parametrize(
    ("deletion", "insertion", "every", "expected"),
    [
        ("zero", "blur", True, [("deletion", "zero"), ("insertion", "blur")]),
        (["signal", "zero"], "blur", False, [("deletion", "signal"), ("insertion", "blur")]),
        (
            ["signal", "zero"],
            ["blur"],
            True,
            [("deletion", "signal"), ("deletion", "zero"), ("insertion", "blur")],
        ),
    ],
)
def test_the_first_substrate_is_played_on_all_samples(deletion, insertion, every, expected):
    entry = {"deletion": deletion, "insertion": insertion}
    assert game_states.settings_of(entry, every=every) == expected


def test_steps_are_stateless():
    denoiser, steps = replay()
    first, _, again = (played(denoiser, steps[n], noises(1), SIGNAL, moves=2) for n in (1, 3, 1))
    np.testing.assert_array_equal(first, again)


def test_the_blind_model_still_depends_on_its_latent_only_through_the_step():
    denoiser, steps = replay()

    class Explained(ConstantDenoiser):
        def advance(self, latents, output, step):
            return output

    curves = played(Explained(denoiser), steps[1], noises(1), EVERY, moves=2)
    np.testing.assert_allclose(curves[:, :, 0], 0, atol=1e-9)


def test_the_similarity_behind_a_map_is_named():
    attrs = {"method": "df_rise", "parameters": {"similarity": "cosine"}}
    assert games.similarity_of("df_rise", attrs) == "cosine"
    assert games.similarity_of("df_rise_mse", attrs) == "mse"
    assert games.similarity_of("df_rise_official", attrs) == "structure"
    assert games.similarity_of("df_cam", {"method": "df_cam", "parameters": {}}) == ""


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
