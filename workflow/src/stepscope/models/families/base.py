"""What differs between families of models: the interface that tracing and replay are written on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar

import torch
from diffusers import DiffusionPipeline
from diffusers.models.attention_processor import (
    Attention,
    AttnProcessor,
    AttnProcessor2_0,
    SlicedAttnProcessor,
    XFormersAttnProcessor,
)
from torch import Tensor, nn

from stepscope.models import words
from stepscope.models.words import Padded, Reading, Text


class Family(ABC):
    """Pipelines whose networks are called, guided, conditioned and attend to words in one way.

    This class is what most latent text-to-image pipelines of diffusers do; a family overrides what
    it does otherwise. One is made for each pipeline.
    """

    # names of the pipeline classes, and of the pipeline's attribute that holds the network
    pipelines: ClassVar[tuple[str, ...]] = ()
    attribute: ClassVar[str] = "transformer"
    # the pipeline class itself where diffusers has none of that name
    own_pipeline: ClassVar[type[DiffusionPipeline] | None] = None
    # names of the tokenizers of each text that the network attends to, and its number of keys (None
    # is the tokenizer's limit); the features of the later ones are channels of the same keys
    texts: ClassVar[tuple[tuple[tuple[str, ...], int | None], ...]] = ((("tokenizer",), None),)
    # text encoders by the text, of ``texts``, that they encode
    encoders: ClassVar[tuple[tuple[str, ...], ...]] = (("text_encoder",),)
    # what encode_prompt returns for a prompt, by position, under the names used here
    encoded: ClassVar[dict[str, int]] = {"prompt_embeds": 0}
    # arguments of a pipeline call that a stored step could not replay
    refused: ClassVar[tuple[str, ...]] = ("prompt_embeds",)
    # arguments that generation gives to a pipeline call, and replay to encode_prompt
    options: ClassVar[dict[str, object]] = {}
    encode_options: ClassVar[dict[str, object]] = {}
    # the argument that time steps are passed in, "timesteps" or "sigmas"
    schedule: ClassVar[str] = "timesteps"
    negative: ClassVar[str | None] = ""  # what stands for no negative prompt
    # whether image keys and text keys compete in one softmax
    joint: ClassVar[bool] = False
    # processors that take queries and keys from the module's projections, over all keys at once
    processors: ClassVar[tuple[type, ...]] = (
        AttnProcessor,
        AttnProcessor2_0,
        SlicedAttnProcessor,
        XFormersAttnProcessor,
    )

    def __init__(self, pipeline: DiffusionPipeline) -> None:
        self.pipeline = pipeline

    @property
    def network(self) -> nn.Module:
        """The denoising network."""
        return getattr(self.pipeline, self.attribute)

    @classmethod
    def texts_of(cls, parts: Mapping[str, object]) -> tuple[Text, ...]:
        """Texts that the network attends to, from a pipeline's parts by name, None if left out.

        A text whose encoder was left out, as Stable Diffusion 3's T5 may be, is all padding.
        """
        found = []
        for (names, length), encoders in zip(cls.texts, cls.encoders, strict=True):
            here = any(parts.get(name) is not None for name in encoders)
            first, *twins = (parts.get(name) if here else None for name in names)
            keys = first.model_max_length if length is None else length
            found.append(Text(first, keys, tuple(twin for twin in twins if twin is not None)))
        return tuple(found)

    def own_texts(self) -> tuple[Text, ...]:
        """Texts that this pipeline's network attends to."""
        return self.texts_of(self.pipeline.components)

    @classmethod
    def prepared(cls, prompt: str) -> str:
        """A prompt as the tokenizers are given it."""
        return prompt

    def reading(
        self, prompt: str, roles: Mapping[str, str] | None = None, place: str = "prompt"
    ) -> Reading:
        """How the network reads a prompt; one that a text encoder would cut is a ValueError.

        The tokens of textual inversion take the place of its names.
        """
        text = self.prepared(prompt)
        convert = getattr(self.pipeline, "maybe_convert_prompt", None)
        if convert is not None:
            text = convert(text, self.pipeline.tokenizer)
        words.check(self.own_texts(), text, place)
        return words.read(self.own_texts(), text, roles, image=self.joint)

    def guidance(self, arguments: Mapping[str, object]) -> tuple[bool, float]:
        """Whether the running call computes both halves, and its guidance scale."""
        return self.pipeline.do_classifier_free_guidance, float(self.pipeline.guidance_scale)

    def listen(self, arguments: dict, ended: Callable[[Tensor], Tensor]) -> None:
        """Edit a call's arguments so that ``ended`` gets the latents after each step.

        What it returns is what the next step starts from.
        """
        theirs = arguments.get("callback_on_step_end")
        names = arguments["callback_on_step_end_tensor_inputs"]
        if hasattr(theirs, "tensor_inputs"):
            names = theirs.tensor_inputs

        def step_end(pipe, index, timestep, tensors):
            changed = {} if theirs is None else theirs(pipe, index, timestep, tensors)
            return changed | {"latents": ended(changed.get("latents", tensors["latents"]))}

        arguments["callback_on_step_end"] = step_end
        arguments["callback_on_step_end_tensor_inputs"] = [*{*names, "latents"}]

    @abstractmethod
    def conditioning(self, call: Mapping[str, object]) -> dict[str, object]:
        """What a call of the network was given beside latent and time step, by name.

        Tensors have a row for each row of the latents; anything else cannot be replayed.
        """

    @abstractmethod
    def run(self, z: Tensor, timestep: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """Raw output of the network for latents (B, C, h, w), as the pipeline calls it."""

    def predicted(self, output: Tensor) -> Tensor:
        """The part of a raw output that predicts, (B, C, h, w), without learned variances."""
        return output[:, : self.network.config.in_channels]

    @contextmanager
    def _replacing(self, without: Collection[int]) -> Iterator[None]:
        """Let the pipeline's tokenizers put padding in the place of words."""
        own, attributes = {}, vars(self.pipeline)
        for names, _ in self.texts:
            own |= {name: attributes[name] for name in names if attributes.get(name) is not None}
        attributes.update({name: Padded(tokenizer, without) for name, tokenizer in own.items()})
        try:
            yield
        finally:
            attributes.update(own)

    def encode(self, prompt: str, without: Collection[int] = ()) -> dict[str, Tensor]:
        """Conditioning of one prompt without a batch axis, by the pipeline's own encode_prompt.

        ``without`` are indices of words whose tokens are replaced by padding, positions kept.
        """
        with self._replacing(without):
            found = self.pipeline.encode_prompt(
                prompt=[prompt],
                device=self.pipeline._execution_device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
                **self.encode_options,
            )
        given = {name: found[place][0] for name, place in self.encoded.items()}
        return {  # masks, too, in the network's numbers, as they are stored
            name: value if value.is_floating_point() else value.to(self.network.dtype)
            for name, value in given.items()
        }

    def size(self, height: int | None, width: int | None) -> tuple[int, int]:
        """Height and width in pixels of a picture; None is that of the model's own pictures.

        Pipelines of the library take their own for both where one is missing.
        """
        own = self.network.config.sample_size
        own = (own, own) if isinstance(own, int) else own
        factor = self.pipeline.vae_scale_factor
        return height or own[0] * factor, width or own[1] * factor

    def encoders_of(self) -> list[tuple[nn.Module, ...]]:
        """Text encoders of each text; none where one was left out."""
        named = ((getattr(self.pipeline, name, None) for name in names) for names in self.encoders)
        return [tuple(one for one in some if one is not None) for some in named]

    def attention(self) -> dict[str, Attention]:
        """All attention modules of the network by name."""
        named = self.network.named_modules()
        return {name: module for name, module in named if isinstance(module, Attention)}

    def reads_text(self, module: Attention) -> bool:
        """Whether an attention module reads the prompt; it says so itself, whatever its name."""
        return module.is_cross_attention

    def grid(self, queries: int, size: tuple[int, int]) -> tuple[int, int]:
        """Height and width of a grid of image tokens, for a latent's height and width."""
        side = self.network.config.patch_size
        if (size[0] // side) * (size[1] // side) != queries:
            raise ValueError(f"{queries} queries are no grid of a latent {size[0]} x {size[1]}.")
        return size[0] // side, size[1] // side

    def layers(self) -> dict[str, nn.Module]:
        """DF-CAM's layers in forward order by name: a transformer's blocks."""
        blocks = self.network.transformer_blocks
        return {f"transformer_blocks.{i}": block for i, block in enumerate(blocks)}

    def activation(self, output: object) -> Tensor:
        """The image's part of what a layer returned."""
        return output if torch.is_tensor(output) else output[0]

    def feature_map(self, activation: Tensor, size: tuple[int, int]) -> Tensor:
        """A layer's activation, or its gradient, as (B, C, y, x)."""
        return activation.transpose(1, 2).unflatten(2, self.grid(activation.shape[1], size))
