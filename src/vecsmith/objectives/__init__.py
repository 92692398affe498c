"""Vectors and a batch to a loss: pure functions on tensors, a file per idea."""
