import json
import os
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import open_clip
import pandas as pd
import pytest
import torch
import yaml
from diffusers import AutoencoderKL
from snakemake.iocontainers import InputFiles, Params
from torch import nn

from stepscope.embedded import captions, details, scenes
from stepscope.embedded.training import (
    clip,
    clock,
    diffusion,
    examples,
    loop,
    pipeline,
    quality,
    segmenter,
    vae,
)
from stepscope.embedded.training.conversion import encode
from stepscope.embedded.training.judges import bands, by_log_snr, learnt_from, strengths
from stepscope.embedded.training.muon import Muon, optimizers_for
from stepscope.embedded.training.tokenizer import MAX_TOKENS, build_tokenizer, caption_words
from stepscope.joblog import sentence
from support.workflow import ROOT

COMMON = {"seed": 0, "checkpoint_minutes": 5}
BETAS = {"beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.02}
QUALITY = {"prompts": 2, "steps": 2, "guidance": 4.0}
READERS = ("untrained", "CLIP")
RATES = {"learning_rate": 1e-3, "muon_learning_rate": 1e-3}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Folder with all four models after two steps each, by the functions the rules call."""
    root = tmp_path_factory.mktemp("training")
    vae.train(
        root / "vae",
        root / "state",
        **COMMON,
        **RATES,
        channels=[8, 8, 8],
        pool=8,
        steps=2,
        batch=2,
        detail_weight=5.0,
        ema_decay=0.9,
        bfloat16=False,
        test_scenes=2,
    )
    diffusion.train(
        root / "pipeline",
        root / "state",
        root / "vae",
        **COMMON,
        **RATES,
        quality=QUALITY,
        channels=[8, 8, 8],
        only_cross_attention=[True, False, False],
        text_width=32,
        text_layers=1,
        **BETAS,
        pool=8,
        steps=2,
        batch=4,
        empty_captions=0.1,
        snr_gamma=5.0,
        detail_weight=3.0,
        finetune=[{"steps": 1, "seal": 0.3, "seal_weight": 12.0, "log_snr": [-4, 1], "rate": 0.5}],
        ema_decay=0.9,
        bfloat16=False,
    )
    judged = {"pool": 8, "predicted": 4, "steps": 2, "finetune_steps": 2, "batch": 4}
    judged |= {"finetune_rate": 0.5, "test_scenes": 8} | RATES
    clip.train(
        root / "clip",
        root / "state",
        root / "pipeline",
        **COMMON,
        **judged,
        embed_dim=32,
        vision_layers=[1, 1, 1, 1],
        vision_width=8,
        text_width=16,
        detail_weight=5.0,
        finetune_pool=8,
        finetune_seal=0.3,
    )
    segmenter.train(
        root / "segmenter",
        root / "state",
        root / "pipeline",
        **COMMON,
        **judged,
        hidden_sizes=[8, 8, 16, 16],
    )
    return root


def test_latents_have_unit_variance(trained):
    model = AutoencoderKL.from_pretrained(trained / "vae")
    latents = encode(model, np.stack([scenes.compose(i).picture for i in range(8)]))
    assert latents.std().item() == pytest.approx(1, abs=0.25)


def test_the_models_load_in_their_own_libraries_and_are_judged(trained, monkeypatch):
    monkeypatch.setattr(clock, "BOOTSTRAP", 10)
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{trained / 'clip'}")
    assert model.visual.image_size == 64
    folder = trained / "quality"
    measured = quality.assess(
        folder,
        trained / "pipeline",
        trained / "clip",
        trained / "segmenter",
        seed=0,
        **QUALITY,
        clock_of={"count": 2, "noises": 1, "draws": 40, "seed": 0},
    )
    assert {"single object (segmenter)", "both objects (sprites)", "relation (CLIP)"} <= set(
        measured
    )
    assert all(0 <= value <= 1 for value in measured.values())
    assert (folder / "contact_sheet.png").is_file()
    rows = pd.read_table(folder / "world_clock.tsv")
    assert set(rows["reader"]) == {"bayes", *(f"{p}, {r}" for p in ("e_u", "e_c") for r in READERS)}
    assert set(rows["family"]) == set(scenes.FAMILIES)
    assert rows.loc[rows["reader"] == "e_u, CLIP", "log_snr"].nunique() > 15
    assert "seal, e_u, untrained" in (folder / "README.md").read_text()
    for name in ("vae", "pipeline", "pipeline/vae", "clip", "segmenter"):
        assert "OpenMoji" in (trained / name / "README.md").read_text()
        assert list((trained / name).glob("loss_*.tsv"))


def test_noise_is_that_of_the_settings_from_training_to_the_saved_pipeline_and_its_card(trained):
    levels = pipeline.log_snr(pipeline.load(trained / "pipeline").scheduler)
    assert levels[[-1, 0]] == pytest.approx([-10.4953, 7.0694], abs=1e-4)
    card = json.loads((trained / "pipeline" / "card.json").read_text())["Noise"]
    assert list(card.values()) == levels[[-1, 0]].tolist()
    kept = diffusion.scheduler(BETAS).alphas_cumprod.double().numpy()
    np.testing.assert_allclose(np.log(kept / (1 - kept)), levels, atol=1e-3)


def test_the_recipe_makes_the_schedule_of_the_shipped_model():
    shipped = ROOT / "resources/models/pipeline/scheduler/scheduler_config.json"
    recipe = yaml.safe_load((ROOT / "config/config.yaml").read_text())["training"]["diffusion"]
    saved, made = json.loads(shipped.read_text()), diffusion.scheduler(recipe)
    assert {key: saved[key] for key in diffusion.BETAS} == {
        key: made.config[key] for key in diffusion.BETAS
    }
    assert learnt_from(pipeline.log_snr(made)) == 494
    assert learnt_from(pipeline.log_snr(diffusion.scheduler(BETAS))) == 466


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((-5.36, 7.07), (-6.0, 8.0, 7)),  # the shipped schedule's
        ((-10.5, 7.07), (-12.0, 8.0, 10)),
        ((-2.0, 2.0), (-2.0, 4.0, 3)),  # a level on an edge is in the band above it
    ],
)
def test_bands_of_log_snr_hold_every_level_of_a_schedule(ends, expected):
    found = bands(np.array(ends))
    assert (found[0][0], found[-1][1], len(found)) == expected
    ends_of = zip(ends, (found[0], found[-1]), strict=True)
    assert all(low <= end < high for end, (low, high) in ends_of)


def test_judges_are_scored_at_every_noise_level_with_the_prompt_and_without(trained):
    seen = []

    def score(pictures, shown):
        seen.append(pictures)
        return {"scenes": len(shown)}

    scores = by_log_snr(pipeline.load(trained / "pipeline"), 8, 0, score)
    without = [value for name, value in scores.items() if name.endswith(", empty prompt")]
    assert sum(without) == sum(scores.values()) - sum(without) == 8
    half = len(without)
    assert not np.array_equal(np.concatenate(seen[:half]), np.concatenate(seen[half:]))


def test_composed_scenes_are_judged_right_by_a_perfect_label_map():
    shown = pipeline.held_out_prompts(6, 0)
    labels = np.stack([segmenter.label_map(scene) for scene in shown])
    assert quality.judged_by_segmenter(labels, shown).all()
    assert not quality.judged_by_segmenter(np.zeros_like(labels), shown).any()
    assert segmenter.mean_iou(labels, labels) == 1


def test_an_unknown_word_is_several_tokens_and_a_caption_word_is_one(tmp_path):
    tokenizer = build_tokenizer(tmp_path)
    assert all(len(tokenizer.tokenize(word)) == 1 for word in caption_words())
    assert len(tokenizer.tokenize("zebra")) > 1
    longest = [
        captions.caption(scenes.compose(i).spec, order)
        for i in range(30)
        for order in captions.ORDERS
    ]
    whole = tokenizer(longest, truncation=False).input_ids
    assert max(map(len, whole)) <= MAX_TOKENS
    judged = open_clip.tokenize(longest, 2 * clip.CONTEXT)
    assert (judged != 0).sum(1).max() <= clip.CONTEXT


def test_concept_targets_are_distributions_over_what_is_shown():
    for seed in range(20):
        scene = scenes.compose(seed)
        target = clip.targets(scene)
        assert target["object"].sum() == pytest.approx(1)
        assert target["relation"].sum() == (scene.spec.relation is not None)
        for family in scenes.DETAILS:
            (concept,) = scenes.concepts(scene.spec, family)
            assert target[family].argmax() == scenes.FAMILIES[family].index(concept)


def test_pictures_to_encode_are_scenes_with_grain_and_seals_of_other_strengths():
    scene, varied = scenes.compose(0), vae.pictures_of(1, 0)[0]
    difference = np.abs(varied.astype(int) - scene.picture)
    assert 0 < difference.mean() < 0.1 * 255
    assert difference.max() < 0.5 * 255  # the same objects at the same places


def test_details_weigh_more_and_the_rest_as_before():
    output, target = torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 64)
    output[..., 6, 6] = 1  # where a mark may be
    plain, more = (
        vae.reconstruction_loss(output, target, torch.from_numpy(details.emphasis(weight, weight)))
        for weight in (1.0, 5.0)
    )
    assert more == pytest.approx(5 * float(plain))
    output, target = target, target.clone()
    output[..., 32, 32] = 1
    plain, more = (
        vae.reconstruction_loss(output, target, torch.from_numpy(details.emphasis(weight, weight)))
        for weight in (1.0, 5.0)
    )
    assert more == plain > 0
    cells = examples.place_weights(3.0, 24.0)
    assert cells.shape == (16, 16)
    assert (cells[1, 1], cells[14, 14]) == (3, 24)
    assert cells[8, 8] == cells[1, 14] == 1


def test_half_of_the_time_steps_of_a_phase_are_from_its_band_of_log_snr():
    levels = np.linspace(9, -10, 1000)
    rng = np.random.default_rng(0)
    plain = examples.drawn_timesteps(rng, 100, levels, None).numpy()
    assert (plain // 10 == np.arange(100)).all()
    drawn = examples.drawn_timesteps(rng, 100, levels, [-2, 3]).numpy()
    first, rest = drawn[:50], drawn[50:]
    assert ((levels[first] > -2.02) & (levels[first] < 3.02)).all()
    assert np.ptp(levels[first]) > 4.8
    assert (rest // 20 == np.arange(50)).all()


def test_a_stronger_seal_changes_the_latents_where_seals_are_and_not_the_captions(
    trained, tmp_path
):
    model = AutoencoderKL.from_pretrained(trained / "vae")
    tokenizer = build_tokenizer(tmp_path)
    strong = replace(details.WORLD, seal=0.3)
    latents, texts = examples.latents_and_captions(model, tokenizer, 4, 0)
    other, same = examples.latents_and_captions(model, tokenizer, 4, 0, strong)
    assert (texts == same).all()
    changed = (latents - other).square().sum(1)
    assert (changed[:, 12:, 12:].sum((1, 2)) > changed[:, :8, :8].sum((1, 2))).all()


def test_seals_of_the_judges_pool_go_from_the_worlds_to_the_strongest():
    own, *_, strongest, again = strengths(9, 0.3)
    assert own == again == details.WORLD
    assert strongest.seal == pytest.approx(0.3)
    assert strongest.grain == own.grain
    seals = [each.seal for each in strengths(8, 0.3)]
    np.testing.assert_allclose(np.diff(np.log(seals)), np.log(0.3 / own.seal) / 7)
    assert set(strengths(9, own.seal)) == {own}  # as the segmenter's pool


def test_training_captions_name_other_families_of_the_same_scene(trained, tmp_path):
    model = AutoencoderKL.from_pretrained(trained / "vae")
    tokenizer = build_tokenizer(tmp_path)
    latents, texts = examples.latents_and_captions(model, tokenizer, 4, 0)
    assert latents.shape == (4, 4, 16, 16)
    assert texts.shape == (examples.CAPTIONS + 1, 4, MAX_TOKENS)
    read = [tokenizer.batch_decode(of_variant, skip_special_tokens=True) for of_variant in texts]
    assert set(read[-1]) == {""}
    for i in range(4):
        subject = scenes.compose(10_000_000 + i).objects[0]
        assert all(subject in of_variant[i].split() for of_variant in read[:-1])
    assert len({of_variant[0] for of_variant in read}) > 2


def _fit(folder, steps):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 1))

    def loss(step):
        x = torch.randn(8, 4)
        return {"loss": (module(x) - x.sum(1, keepdim=True)).square().mean()}

    loop.fit(
        folder,
        "toy",
        module,
        loss,
        optimizers_for(module, 1e-2, 1e-2),
        steps=steps,
        seed=0,
        checkpoint_minutes=0,
        ema_decay=0.9,
    )
    return [p.detach().clone() for p in module.parameters()]


def test_a_resumed_run_ends_with_the_same_bits(tmp_path, monkeypatch):
    whole = _fit(tmp_path / "whole", 60)

    class Stopped(Exception):
        pass

    def replace(source, target, real=loop.os.replace):
        real(source, target)
        raise Stopped

    monkeypatch.setattr(loop.os, "replace", replace)
    with pytest.raises(Stopped):
        _fit(tmp_path / "cut", 60)
    monkeypatch.undo()
    resumed = _fit(tmp_path / "cut", 60)
    assert all(torch.equal(a, b) for a, b in zip(whole, resumed, strict=True))
    curves = [(tmp_path / name / "toy.tsv").read_text() for name in ("whole", "cut")]
    assert curves[0] == curves[1]


def test_a_checkpoint_that_does_not_fit_says_that_the_disk_is_full(tmp_path):
    (tmp_path / "toy.part").symlink_to("/dev/full")
    with pytest.raises((OSError, RuntimeError)) as raised:  # torch ends what it has begun
        _fit(tmp_path, 1)
    assert "is full: [Errno 28] No space left on device" in sentence(raised.value)


def test_muon_moves_a_convolution_by_a_nearly_orthogonal_matrix_of_adamws_size():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(4, 6, 3))
    weight = module[0].weight
    before = weight.detach().clone()
    muon, adamw = optimizers_for(module, 1e-2, 1e-3)
    assert isinstance(muon, Muon)
    assert [parameter.ndim for parameter in adamw.param_groups[0]["params"]] == [1]  # the bias
    weight.grad = torch.randn_like(weight)
    muon.step()
    moved = (before * (1 - 1e-2 * 0.01) - weight.detach()).flatten(1)
    values = torch.linalg.svdvals(moved / (1e-2 * 0.2 * max(moved.shape) ** 0.5))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_without_a_rate_for_muon_all_is_left_to_adamw():
    (adamw,) = optimizers_for(nn.Linear(3, 3), 0, 1e-3)
    assert isinstance(adamw, torch.optim.AdamW)


@pytest.mark.parametrize("part", [vae, diffusion, clip, segmenter])
def test_a_checkpoint_of_another_recipe_code_or_model_is_not_taken(part, tmp_path, monkeypatch):
    name, states = part.__name__.rpartition(".")[2], []
    read = {"vae": None, "diffusion": "vae"}.get(name, "pipeline")
    monkeypatch.setattr(part, "train", lambda folder, state, *_, **__: states.append(state))
    monkeypatch.setenv("STEPSCOPE", str(ROOT / "workflow" / "src"))
    script = (ROOT / "workflow" / "scripts" / f"train_{name}.py").read_text("utf-8")

    def trained(steps: int = 2, code: str = "a", learnt: int = 1) -> str:
        """The state that a job's training goes on from."""
        source = tmp_path / "source"
        source.mkdir(exist_ok=True)
        os.utime(source, ns=(learnt, learnt))
        job = SimpleNamespace(
            log=[str(tmp_path / "log")],
            input=InputFiles(fromdict={read: str(source)} if read else {}),
            output=[str(tmp_path / name)],
            params=Params(fromdict={"state": "state", "settings": {"steps": steps}, "code": code}),
        )
        with suppress(SystemExit):  # nothing was made, to be put into its place
            exec(compile(script, name, "exec"), {"snakemake": job})
        return states[-1]

    assert trained() == trained()
    changes = [{"steps": 3}, {"code": "b"}, *[{"learnt": 2}] * bool(read)]
    others = {trained(**change) for change in changes}
    assert len(others | {trained()}) == len(changes) + 1
