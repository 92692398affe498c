"""Scores to numbers with intervals."""
