"""The whole way from raw text to a judged, searchable model."""
