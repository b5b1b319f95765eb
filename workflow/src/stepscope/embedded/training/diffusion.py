"""Train text encoder and U-Net on composed scenes; save a complete Stable Diffusion pipeline."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from stepscope.embedded import details, scenes
from stepscope.embedded.training import examples, pipeline
from stepscope.embedded.training.loop import fit, step_rng, write_card
from stepscope.embedded.training.muon import optimizers_for
from stepscope.embedded.training.tokenizer import MAX_TOKENS, build_tokenizer
from stepscope.models.loading import load_part

TRAIN_STEPS = 1000
BETAS = ("beta_schedule", "beta_start", "beta_end")  # settings that make the noise schedule


class Trained(nn.Module):
    """Text encoder and U-Net, which are trained together."""

    def __init__(self, text_encoder: CLIPTextModel, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.text_encoder, self.unet = text_encoder, unet


def build_text_encoder(tokenizer: CLIPTokenizer, width: int, layers: int) -> CLIPTextModel:
    """A causal CLIP text model of `width` with two heads per 64 channels."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=width,
        num_hidden_layers=layers,
        num_attention_heads=max(1, width // 32),
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def build_unet(
    channels: list[int], width: int, only_cross_attention: list[bool]
) -> UNet2DConditionModel:
    """A U-Net with cross-attention at every level (16, 8 and 4 latent cells a side)."""
    unet = UNet2DConditionModel(
        sample_size=scenes.SIDE // 4,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D",) * len(channels),
        up_block_types=("CrossAttnUpBlock2D",) * len(channels),
        block_out_channels=tuple(channels),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=width,
        attention_head_dim=2,  # the number of heads, as this library reads it
        only_cross_attention=tuple(only_cross_attention),
    )
    nn.init.zeros_(unet.conv_out.weight)
    return unet.to(memory_format=torch.channels_last)


def scheduler(settings: Mapping[str, Any]) -> DPMSolverMultistepScheduler:
    """First-order DPM-Solver++ with the betas of the settings.

    Its step is a function of the latent alone.
    """
    return DPMSolverMultistepScheduler(
        num_train_timesteps=TRAIN_STEPS,
        **{name: settings[name] for name in BETAS},
        solver_order=1,
        timestep_spacing="linspace",
        steps_offset=1,  # without effect on "linspace"; the pipeline warns at any other value
        final_sigmas_type="zero",
    )


def min_snr_weights(alphas_cumprod: Tensor, gamma: float) -> Tensor:
    """Weights of the noise loss per timestep: Hang et al. (2023), arXiv 2303.09556."""
    snr = alphas_cumprod / (1 - alphas_cumprod)
    return snr.clamp(max=gamma) / snr


def assemble(
    folder: Path,
    vae: AutoencoderKL,
    model: Trained,
    tokenizer: CLIPTokenizer,
    noising: DPMSolverMultistepScheduler,
    half: bool,
) -> None:
    """Save a pipeline folder, its weights float16 if `half`, without changing the models given."""
    whole = StableDiffusionPipeline(
        vae=vae,
        text_encoder=model.text_encoder,
        tokenizer=tokenizer,
        unet=model.unet,
        scheduler=noising,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    shutil.rmtree(folder, ignore_errors=True)
    whole.save_pretrained(folder)
    if half:
        whole = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float16)
        whole.save_pretrained(folder)
    for path in folder.rglob("*.json"):
        written = json.loads(path.read_text(encoding="utf-8"))
        # where it was trained is nobody's business
        values = {key: value for key, value in written.items() if key != "_name_or_path"}
        if "dtype" in values:  # in which the library loads it, and in float32 all other parts
            values["dtype"] = "float32"
        if values != written:
            path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


def build_model(tokenizer: CLIPTokenizer, seed: int, **settings: Any) -> Trained:
    """Text encoder and U-Net with seeded initial weights."""
    torch.manual_seed(seed)
    width = settings["text_width"]
    return Trained(
        build_text_encoder(tokenizer, width, settings["text_layers"]),
        build_unet(settings["channels"], width, settings["only_cross_attention"]),
    )


def train(
    folder: str | Path,
    state: str | Path,
    vae_folder: str | Path,
    *,
    seed: int,
    checkpoint_minutes: float,
    pool: int,
    quality: dict[str, Any],
    **settings: Any,
) -> dict[str, float]:
    """Train on `pool` scenes encoded once; write a pipeline folder with a card, return quality.

    `state` holds the checkpoints. `settings`: channels, only_cross_attention, text_width,
    text_layers, beta_schedule, beta_start, beta_end, steps, batch, learning_rate,
    muon_learning_rate, empty_captions, snr_gamma, detail_weight, ema_decay, bfloat16, and phases
    that follow, `finetune`: steps, seal (its strength in the scenes), log_snr (the band of half of
    the time steps), seal_weight, rate (share of the learning rates). `quality`: prompts, steps,
    guidance of the pictures that are read at last.
    """
    folder, state = Path(folder), Path(state)
    tokenizer = build_tokenizer(state / "tokenizer")
    model = build_model(tokenizer, seed, **settings)
    # on a CPU the fused attention's backward pass takes three times as long as the plain one's
    model.unet.set_attn_processor(AttnProcessor())
    vae = load_part(AutoencoderKL, Path(vae_folder)).to(memory_format=torch.channels_last)
    noising = scheduler(settings)
    alphas_cumprod, levels = noising.alphas_cumprod, pipeline.log_snr(noising)
    weights = min_snr_weights(alphas_cumprod, settings["snr_gamma"])
    batch = settings["batch"]

    @lru_cache(maxsize=1)  # made when a phase has steps left
    def data(seal: float) -> tuple[Tensor, Tensor]:
        strength = replace(details.WORLD, seal=seal)
        return examples.latents_and_captions(vae, tokenizer, pool, seed, strength)

    def loss(phase: Mapping[str, Any], before: int, step: int) -> dict[str, Tensor]:
        rng = step_rng(seed, before + step)
        latents, captions = data(phase["seal"])
        places = examples.place_weights(settings["detail_weight"], phase["seal_weight"])
        rows = torch.from_numpy(rng.integers(0, pool, batch))
        text = rng.integers(0, examples.CAPTIONS, batch)
        left_out = rng.random(batch) < settings["empty_captions"]
        text[left_out] = examples.CAPTIONS  # the empty caption
        timesteps = examples.drawn_timesteps(rng, batch, levels, phase["log_snr"])
        clean = latents[rows].contiguous(memory_format=torch.channels_last)
        noise = torch.randn_like(clean)
        alpha = alphas_cumprod[timesteps].sqrt()[:, None, None, None]
        sigma = (1 - alphas_cumprod[timesteps]).sqrt()[:, None, None, None]
        with torch.autocast("cpu", torch.bfloat16, enabled=settings["bfloat16"]):
            words = model.text_encoder(captions[torch.from_numpy(text), rows])[0]
            output = model.unet(alpha * clean + sigma * noise, timesteps, words).sample
        error = (output.float() - noise).square()
        weighted = (places * error).mean((1, 2, 3))
        return {"loss": (weights[timesteps] * weighted).mean(), "mse": error.mean()}

    first = {
        "steps": settings["steps"],
        "seal": details.WORLD.seal,
        "seal_weight": settings["detail_weight"],
        "log_snr": None,
        "rate": 1,
    }
    facts: dict[str, float] = {}
    curves: list[Path] = []
    for number, phase in enumerate([first, *settings["finetune"]]):
        rates = (phase["rate"] * settings[key] for key in ("muon_learning_rate", "learning_rate"))
        name = f"unet_finetune_{number}" if number else "unet"
        of_phase = fit(
            state,
            name,
            model,
            partial(loss, phase, number * settings["steps"]),
            optimizers_for(model, *rates),
            steps=phase["steps"],
            seed=seed,
            checkpoint_minutes=checkpoint_minutes,
            ema_decay=settings["ema_decay"],
        )
        facts |= {f"{name}: {fact}": value for fact, value in of_phase.items()}
        curves.append(state / f"{name}.tsv")
    assemble(folder, vae, model, tokenizer, noising, half=True)
    for card in ("README.md", "card.json", "loss_vae.tsv"):
        shutil.copy(Path(vae_folder) / card, folder / "vae" / card)
    prompts = pipeline.held_out_prompts(quality["prompts"], seed)
    steps, guidance = quality["steps"], quality["guidance"]
    pictures = pipeline.generate(pipeline.load(folder), prompts, steps, guidance, seed)
    measured = {"prompts": len(prompts), "sampling steps": steps, "guidance": guidance}
    measured |= pipeline.read_by_untrained(pictures, prompts)
    sections = {
        "Data": {"training scenes": pool, "batch": batch, "seed": seed},
        "Noise": {"first log-SNR": float(levels[-1]), "last log-SNR": float(levels[0])},
        "Training": facts,
        "Generated pictures of held-out prompts, by readers that learn nothing": measured,
    }
    write_card(
        folder,
        "Text to OpenMoji scenes",
        "StableDiffusionPipeline, 64 x 64, float16 weights to be run in float32 on a CPU.",
        sections,
        curves,
    )
    return measured
