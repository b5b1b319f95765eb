"""Tracing pipeline calls, and the generate job."""
