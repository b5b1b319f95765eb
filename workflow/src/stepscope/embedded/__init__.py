"""The embedded study: composed scenes whose truth is known."""
