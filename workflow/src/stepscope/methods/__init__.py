"""Methods that explain a step, and the explain job."""
