"""Families of models: what differs between them."""
