"""The diffusion process: samplings, predictions, and replay of stored steps."""
