"""A method on many stored steps: as many at a time as it takes, and as fit into memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from stepscope.diffusion.step import Step
from stepscope.methods.results import told
from stepscope.models import memory

if TYPE_CHECKING:
    from stepscope.diffusion.denoiser import Denoiser


@dataclass(frozen=True)
class Explaining:
    """A method with its parameters, as a function of a list of steps, each with its result.

    `denoiser` is None for a method that replays nothing.
    """

    name: str  # as the config calls it
    function: Callable[..., Any]
    denoiser: "Denoiser | None"
    parameters: dict[str, Any]

    @property
    def together(self) -> bool:
        """Whether the method takes several steps."""
        return getattr(self.function, "together", False)

    def __call__(self, steps: Sequence[Step]) -> list[Any]:
        """The results of the steps, from one call or from one a step.

        Whatever the method raises begins with its name and the step, the first of several.
        """
        if not self.together:
            return [self._call(step, step) for step in steps]
        found = self._call(steps, steps[0])
        if len(found) != len(steps):
            raise ValueError(
                f"explain/{self.name}: {len(found)} results for {len(steps)} steps; a method of "
                "several steps together returns one for each."
            )
        return found

    def _call(self, steps: Step | Sequence[Step], first: Step) -> Any:
        with told(
            f"explain/{self.name}: {first.prompt_id}, seed {first.seed}, step {first.number}"
        ):
            return self.function(self.denoiser, steps, **self.parameters)

    def fitting_size(self, step: Step, key: str) -> int:
        """How many steps fit into memory together, measured on one; `key` is named in the log."""
        assert self.denoiser is not None
        return memory.fitting_size(lambda: self([step]), self.denoiser.device, key, "step")


def results(
    explain: Callable[[Sequence[Step]], list[Any]],
    steps: Iterable[Step],
    size: int,
    fitting: memory.Fitting,
) -> Iterator[Any]:
    """The result of each step in their order, `size` steps at a time, or as many as fit.

    Steps are taken when they are needed, so that they may be read one batch after the other.
    """
    left = iter(steps)
    while batch := list(islice(left, size)):
        for piece in fitting.run(explain, batch):
            yield from piece
