"""Models for other runtimes: a file per target, each checked against the model it was made from."""
