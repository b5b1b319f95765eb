"""Zarr stores and tables; the only package that knows their layouts."""
