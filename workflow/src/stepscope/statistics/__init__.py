"""Statistics of tables: summaries and claims."""
