"""Real diffusers pipelines at tiny width with random weights, as the tests' models.

Each function returns a pipeline and, given a folder, saves it there too: 64 px pictures, latents of
4x16x16, attention to words at 16x16 and 8x8 (XL and transformers: at 8x8), 24 tokens of CLIP.
"""

import torch
from diffusers import (
    AutoencoderKL,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

WORDS = (
    "a an the and of on in with to above next below under left right big small red blue green "
    "yellow black white purple orange pink plain striped dotted cat dog fox horse car tree apple "
    "ball house boat fish bird star moon photo picture riding man background object"
).split()
START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 24


def tokenizer(padding: str = END) -> CLIPTokenizer:
    """A CLIP tokenizer that knows fifty words and splits every other word into its letters."""
    vocabulary, merges = {"!": 0}, []
    for letter in "abcdefghijklmnopqrstuvwxyz0123456789,.-'":
        vocabulary[letter] = len(vocabulary)
        vocabulary[letter + "</w>"] = len(vocabulary)
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            if (pieces[0], pieces[1]) not in merges:
                merges.append((pieces[0], pieces[1]))
            pieces[:2] = ["".join(pieces[:2])]
            vocabulary.setdefault(pieces[0], len(vocabulary))
    for special in (START, END):
        vocabulary[special] = len(vocabulary)
    return CLIPTokenizer(
        vocab=vocabulary, merges=merges, pad_token=padding, model_max_length=LENGTH
    )


def t5_tokenizer() -> T5Tokenizer:
    """A T5 tokenizer that knows fifty words and splits every other word into its letters."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0)]
    letters = [(letter, -9.0) for letter in "\u2581abcdefghijklmnopqrstuvwxyz0123456789,.-'"]
    words = [("\u2581" + word, -3.0) for word in WORDS]
    return T5Tokenizer(vocab=special + letters + words, extra_ids=0, model_max_length=512)


def _t5(tokens: T5Tokenizer) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=len(tokens),
            d_model=32,
            d_kv=8,
            d_ff=32,
            num_layers=2,
            num_heads=2,
            feed_forward_proj="gated-gelu",
        )
    )


def _text(tokens: CLIPTokenizer, width: int, **options) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        bos_token_id=tokens.bos_token_id,
        eos_token_id=tokens.eos_token_id,
        pad_token_id=tokens.pad_token_id,
        **options,
    )


def _vae(**options) -> AutoencoderKL:
    return AutoencoderKL(
        **options,
        block_out_channels=(4, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=4,
        mid_block_add_attention=False,
        sample_size=64,
        scaling_factor=0.5,
    )


def _unet(**options) -> UNet2DConditionModel:
    common = {
        "sample_size": 16,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "cross_attention_dim": 32,
        "attention_head_dim": 2,
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    }
    return UNet2DConditionModel(**(common | options))


def _scheduler(prediction_type: str = "epsilon") -> DPMSolverMultistepScheduler:
    return DPMSolverMultistepScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        solver_order=1,
        steps_offset=1,  # what pipelines of this family set, with a warning, when they find 0
        prediction_type=prediction_type,
    )


def _stable_diffusion(tokens: CLIPTokenizer, prediction_type: str, act: str, unet: dict):
    return StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text(tokens, 32, hidden_act=act)),
        tokenizer=tokens,
        unet=_unet(**unet),
        scheduler=_scheduler(prediction_type),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _ready(pipeline, folder):
    for model in pipeline.components.values():
        if isinstance(model, torch.nn.Module):
            model.eval()
    network = pipeline.components.get("unet") or pipeline.transformer
    for block in network.modules():  # attention of fresh weights is flat; make words differ
        if type(block).__name__ == "Attention":
            block.to_q.weight.data *= 8
    pipeline.set_progress_bar_config(disable=True)
    if folder is not None:
        pipeline.save_pretrained(folder)
    return pipeline


def tiny_sd1(folder=None, seed: int = 0) -> StableDiffusionPipeline:
    """Stable Diffusion 1 in miniature: noise prediction, padding by the end token."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        pipeline = _stable_diffusion(tokenizer(), "epsilon", "quick_gelu", {})
    return _ready(pipeline, folder)


def tiny_sd2(folder=None, seed: int = 0) -> StableDiffusionPipeline:
    """Stable Diffusion 2 in miniature: v-prediction, padding by "!", linear projections."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        unet = {"use_linear_projection": True, "attention_head_dim": (2, 4)}
        pipeline = _stable_diffusion(tokenizer("!"), "v_prediction", "gelu", unet)
    return _ready(pipeline, folder)


def tiny_xl(folder=None, seed: int = 0) -> StableDiffusionXLPipeline:
    """Stable Diffusion XL in miniature: two text encoders, pooled text and size conditioning."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        first, second = tokenizer(), tokenizer("!")
        pipeline = StableDiffusionXLPipeline(
            vae=_vae(),
            text_encoder=CLIPTextModel(_text(first, 16)),
            text_encoder_2=CLIPTextModelWithProjection(
                _text(second, 16, hidden_act="gelu", projection_dim=16)
            ),
            tokenizer=first,
            tokenizer_2=second,
            unet=_unet(
                use_linear_projection=True,
                attention_head_dim=(2, 4),
                transformer_layers_per_block=(1, 2),
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=6 * 8 + 16,
            ),
            scheduler=_scheduler(),
            add_watermarker=False,
        )
    return _ready(pipeline, folder)


def tiny_pixart(folder=None, seed: int = 0, kind=PixArtSigmaPipeline) -> PixArtSigmaPipeline:
    """PixArt-Sigma, or -Alpha, in miniature: T5 with masked padding, learned variances."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tokens = t5_tokenizer()
        pipeline = kind(
            tokenizer=tokens,
            text_encoder=_t5(tokens),
            vae=_vae(),
            transformer=PixArtTransformer2DModel(
                sample_size=16,
                patch_size=2,
                in_channels=4,
                out_channels=8,
                num_layers=2,
                num_attention_heads=2,
                attention_head_dim=8,
                cross_attention_dim=16,
                caption_channels=32,
            ),
            scheduler=_scheduler(),
        )
    return _ready(pipeline, folder)


def tiny_alpha(folder=None, seed: int = 0) -> PixArtAlphaPipeline:
    """PixArt-Alpha in miniature."""
    return tiny_pixart(folder, seed, PixArtAlphaPipeline)


def tiny_sd3(folder=None, seed: int = 0) -> StableDiffusion3Pipeline:
    """Stable Diffusion 3.5 in miniature: joint and dual attention, three texts, a flow."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        first, second, third = tokenizer(), tokenizer("!"), t5_tokenizer()
        pipeline = StableDiffusion3Pipeline(
            transformer=SD3Transformer2DModel(
                sample_size=16,
                patch_size=2,
                in_channels=4,
                out_channels=4,
                num_layers=3,
                attention_head_dim=8,
                num_attention_heads=2,
                joint_attention_dim=32,
                caption_projection_dim=16,
                pooled_projection_dim=32,
                pos_embed_max_size=32,
                dual_attention_layers=(0,),
                qk_norm="rms_norm",
            ),
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=_vae(shift_factor=0.1),
            text_encoder=CLIPTextModelWithProjection(_text(first, 16, projection_dim=16)),
            tokenizer=first,
            text_encoder_2=CLIPTextModelWithProjection(
                _text(second, 16, hidden_act="gelu", projection_dim=16)
            ),
            tokenizer_2=second,
            text_encoder_3=_t5(third),
            tokenizer_3=third,
        )
    return _ready(pipeline, folder)
