"""What made these vectors: the embedding contract, its probes, and how two contracts compare."""
