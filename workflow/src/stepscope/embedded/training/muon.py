"""Muon for matrices and flattened convolutions (Jordan et al., 2024), AdamW for the rest."""

import torch
from timm.optim import Muon
from torch import nn

OUTER = ("token_embedding", "positional_embedding", "position_embedding", "conv_in", "conv_out")


def optimizers_for(model: nn.Module, muon_rate: float, rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the inner weights; AdamW for embeddings, first and last layers, norms, biases.

    A `muon_rate` of zero leaves everything to AdamW.
    """
    inner: list[nn.Parameter] = []
    other: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        outer = any(part in name for part in OUTER)
        group = other if parameter.ndim < 2 or outer or not muon_rate else inner
        group.append(parameter)
    adamw = torch.optim.AdamW(other, rate, betas=(0.9, 0.99), weight_decay=0.01)
    return [_muon(inner, muon_rate), adamw] if inner else [adamw]


def _muon(parameters: list[nn.Parameter], rate: float) -> Muon:
    """Muon with updates of AdamW's size (arXiv 2502.16982), whatever the parameters' shapes.

    `torch.optim.Muon` takes matrices only: here a convolution is one of (out, in x height x width).
    """
    return Muon(
        [{"params": parameters, "use_muon": True}],
        lr=rate,
        weight_decay=0.01,
        nesterov=True,
        ns_steps=4,
        # four steps of the "quintic" ones, the default, end with a loss 3 % higher
        ns_coefficients="original",
        adjust_lr_fn="match_rms_adamw",
        conv_mode="flatten",
    )
