"""What a finished study was made from, with what and when, as a Workflow Run RO-Crate."""
