"""A dataset written in the formats of others: a file per format; `data/write.py` is the door."""
