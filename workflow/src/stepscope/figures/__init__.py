"""Figures, drawn from tables and stores."""
