"""One file per format: a path becomes documents and records."""
