"""Vectors, texts and attributes that are found again: storage, filters and search."""
