"""What differs between families of models: the interface that tracing and replay are written on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from diffusers import DiffusionPipeline
from torch import Tensor, nn

from stepscope.models import words
from stepscope.models.families.architecture import Architecture, Grid
from stepscope.models.sizes import check_size
from stepscope.models.words import Padded, Reading, Text


class Family(Architecture, ABC):
    """Pipelines whose networks are called, guided, conditioned and attend to words in one way.

    This class is what most latent text-to-image pipelines of diffusers do; a family overrides what
    it does otherwise. One is made for each pipeline.
    """

    # names of the pipeline classes
    pipelines: ClassVar[tuple[str, ...]] = ()
    # the pipeline class itself where diffusers has none of that name
    own_pipeline: ClassVar[type[DiffusionPipeline] | None] = None
    # names of the tokenizers of each text that the network attends to, and its number of keys (None
    # is the tokenizer's limit); the features of the later ones are channels of the same keys
    texts: ClassVar[tuple[tuple[tuple[str, ...], int | None], ...]] = ((("tokenizer",), None),)
    # text encoders by the text, of `texts`, that they encode
    encoders: ClassVar[tuple[tuple[str, ...], ...]] = (("text_encoder",),)
    # what encode_prompt returns for a prompt, by position, under the names used here
    encoded: ClassVar[dict[str, int]] = {"prompt_embeds": 0}
    # of the conditioning, what has a row for each key of `texts`
    by_key: ClassVar[tuple[str, ...]] = ("prompt_embeds", "prompt_attention_mask")
    # arguments of a pipeline call that a stored step could not replay
    refused: ClassVar[tuple[str, ...]] = ("prompt_embeds",)
    # arguments that generation gives to a pipeline call, and replay to encode_prompt
    options: ClassVar[dict[str, object]] = {}
    encode_options: ClassVar[dict[str, object]] = {}
    # the argument that time steps are passed in, "timesteps" or "sigmas"
    schedule: ClassVar[str] = "timesteps"
    negative: ClassVar[str | None] = ""  # what stands for no negative prompt

    @classmethod
    def texts_of(cls, parts: Mapping[str, Any]) -> tuple[Text, ...]:
        """Texts that the network attends to, from a pipeline's parts by name, None if left out.

        A text whose encoder was left out, as Stable Diffusion 3's T5 may be, is all padding.
        """
        texts = []
        for (names, length), encoders in zip(cls.texts, cls.encoders, strict=True):
            here = any(parts.get(name) is not None for name in encoders)
            first: Any
            first, *twins = (parts.get(name) if here else None for name in names)
            keys = first.model_max_length if length is None else length
            texts.append(Text(first, keys, tuple(twin for twin in twins if twin is not None)))
        return tuple(texts)

    @classmethod
    def left_out(cls, parts: Collection[str]) -> dict[str, None]:
        """What only texts beside the first need and the parts of a pipeline lack, all None.

        A pipeline of the library wants to be told that they are left out.
        """
        texts = [*cls.encoders[1:], *(names for names, _ in cls.texts[1:])]
        return {name: None for names in texts for name in names if name not in parts}

    def own_texts(self) -> tuple[Text, ...]:
        """Texts that this pipeline's network attends to."""
        return self.texts_of(self.pipeline.components)

    @classmethod
    def prepared(cls, prompt: str) -> str:
        """A prompt as the tokenizers are given it."""
        return prompt

    def _given(self, prompt: str) -> str:
        """A prompt as the tokenizers are given it, names of textual inversion as their tokens."""
        text = self.prepared(prompt)
        convert = getattr(self.pipeline, "maybe_convert_prompt", None)
        return text if convert is None else convert(text, self.pipeline.tokenizer)

    def reading(
        self, prompt: str, roles: Mapping[str, str] | None = None, where: str = "prompt"
    ) -> Reading:
        """How the network reads a prompt; one that a text encoder would cut is a ValueError."""
        text = self._given(prompt)
        words.check(self.own_texts(), text, where)
        return words.read(self.own_texts(), text, roles, image=self.joint)

    def check_call(self, arguments: Mapping[str, Any]) -> None:
        """Refuse a pipeline call that would fail, or not be what it was asked for.

        A family that has more to refuse overrides this.
        """
        self.size(arguments.get("height"), arguments.get("width"))

    def check_length(self, prompt: str, where: str) -> None:
        """Refuse a prompt that a text encoder would cut; the ValueError begins with `where`."""
        words.check_length(self.own_texts(), self._given(prompt), where)

    def guidance(self, arguments: Mapping[str, Any]) -> tuple[bool, float]:
        """Whether the running call computes both halves, and its guidance scale."""
        return self.pipeline.do_classifier_free_guidance, float(self.pipeline.guidance_scale)

    def listen(self, arguments: dict[str, Any], ended: Callable[[Tensor], Tensor]) -> None:
        """Edit a call's arguments so that `ended` gets the latents after each step.

        What it returns is what the next step starts from.
        """
        theirs: Any = arguments.get("callback_on_step_end")
        names = arguments["callback_on_step_end_tensor_inputs"]
        if hasattr(theirs, "tensor_inputs"):
            names = theirs.tensor_inputs

        def step_end(pipe, index, timestep, tensors):
            changed = {} if theirs is None else theirs(pipe, index, timestep, tensors)
            return changed | {"latents": ended(changed.get("latents", tensors["latents"]))}

        arguments["callback_on_step_end"] = step_end
        arguments["callback_on_step_end_tensor_inputs"] = [*{*names, "latents"}]

    @abstractmethod
    def conditioning(self, call: Mapping[str, Any]) -> dict[str, Any]:
        """What a call of the network was given beside latent and time step, by name.

        Tensors have a row for each row of the latents; anything else cannot be replayed.
        """

    @abstractmethod
    def run(self, z: Tensor, timestep: Tensor, conditioning: Mapping[str, Tensor]) -> Tensor:
        """Raw output of the network for latents (B, C, h, w), as the pipeline calls it."""

    def predicted(self, output: Tensor) -> Tensor:
        """The part of a raw output that predicts, (B, C, h, w), without learned variances."""
        return output[:, : self.config.in_channels]

    @contextmanager
    def _replacing(self, without: Sequence[Collection[int]]) -> Iterator[None]:
        """Let the pipeline's tokenizers put padding in the place of words of each prompt."""
        attributes = vars(self.pipeline)
        own = {
            name: attributes[name]
            for names, _ in self.texts
            for name in names
            if attributes.get(name) is not None
        }
        attributes.update({name: Padded(tokenizer, without) for name, tokenizer in own.items()})
        try:
            yield
        finally:
            attributes.update(own)

    def encode(self, texts: Sequence[tuple[str, Collection[int]]]) -> dict[str, Tensor]:
        """Conditioning (B, ...) of B prompts, by the pipeline's own encode_prompt.

        Beside a prompt stand the indices of words whose tokens are replaced by padding, positions
        kept. A prompt that a text encoder would cut is a ValueError.
        """
        prompts, without = zip(*texts, strict=True)
        for prompt in prompts:
            self.check_length(prompt, "prompt")
        with self._replacing(without):
            returned = self.pipeline.encode_prompt(
                prompt=list(prompts),
                device=self.pipeline._execution_device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
                **self.encode_options,
            )
        encoded = {name: returned[position] for name, position in self.encoded.items()}
        return {  # masks, too, in the network's numbers, as they are stored
            name: value if value.is_floating_point() else value.to(self.dtype)
            for name, value in encoded.items()
        }

    def size(self, height: int | None, width: int | None) -> Grid:
        """Height and width in pixels of a picture; None is that of the model's own pictures.

        Pipelines of the library take their own for both where one is missing. What is no multiple
        of the autoencoder's factor times the network's patch is a ValueError.
        """
        own = self.config.sample_size
        own_height, own_width = (own, own) if isinstance(own, int) else own
        factor, patch = self.pipeline.vae_scale_factor, self.config.get("patch_size", 1)
        check_size(height, width, factor, patch, type(self.pipeline).__name__)
        return height or own_height * factor, width or own_width * factor

    def encoders_of(self) -> list[tuple[nn.Module, ...]]:
        """Text encoders of each text; none where one was left out."""
        return [
            tuple(
                encoder
                for name in names
                if (encoder := getattr(self.pipeline, name, None)) is not None
            )
            for names in self.encoders
        ]
