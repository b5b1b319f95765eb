"""How far a run is, by work and not by jobs; a Snakefile imports it."""
