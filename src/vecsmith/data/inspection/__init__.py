"""What is in a dataset, and what in it needs action: a file per statistic, each a function on arrays."""
