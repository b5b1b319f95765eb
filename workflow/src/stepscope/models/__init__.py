"""Models: loading pipelines and judges, families of models, memory and devices."""
