"""Muon for matrices and flattened convolutions (Jordan et al., 2024), AdamW for the rest."""

import torch
from torch import Tensor, nn

OUTER = ("token_embedding", "positional_embedding", "position_embedding", "conv_in", "conv_out")


def orthogonalised(matrix: Tensor, iterations: int = 4) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly, by quintic Newton-Schulz in bfloat16."""
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = (x / (x.norm() + 1e-7)).bfloat16()
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    x = x.float()
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised; updates scaled to AdamW's size (arXiv 2502.16982).

    `torch.optim.Muon` takes matrices only: here a convolution is one of (out, in x height x width).
    """

    def __init__(self, parameters, lr: float, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None) -> None:
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(state["momentum"], group["momentum"]).flatten(1)
                scale = 0.2 * max(update.shape) ** 0.5
                p.mul_(1 - group["lr"] * group["decay"])
                p.add_(orthogonalised(update).reshape(p.shape), alpha=-group["lr"] * scale)


def optimizers_for(model: nn.Module, muon_rate: float, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the inner weights; AdamW for embeddings, first and last layers, norms, biases.

    A `muon_rate` of zero leaves everything to AdamW.
    """
    inner, other = [], []
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        outer = any(part in name for part in OUTER)
        (other if p.ndim < 2 or outer or not muon_rate else inner).append(p)
    adamw = torch.optim.AdamW(other, rate, betas=(0.9, 0.99), weight_decay=0.01)
    return [Muon(inner, muon_rate), adamw] if inner else [adamw]
