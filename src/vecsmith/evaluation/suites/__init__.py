"""Named lists of tasks, as data."""
