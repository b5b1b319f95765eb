"""Negative controls: maps of methods whose weights, prompt or latent are not their own."""
