"""Datasets, read and checked with the standard library alone."""
