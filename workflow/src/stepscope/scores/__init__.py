"""Scores of traces and maps, as tables."""
