"""Input to vector: loading, saving, encoding, and a file per module."""
