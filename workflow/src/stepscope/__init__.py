"""Stepscope: what a text-to-image diffusion model does at each of its time steps."""

__version__ = "0.1.0"
