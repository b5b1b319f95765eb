"""A study: its config, datasets and plan, without the science stack."""
