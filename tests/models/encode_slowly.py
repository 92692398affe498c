"""Run by test_shards: encodes rows into a folder, slowly enough to be killed anywhere."""

import sys
import time

from vecsmith.models.encoder import open_encoder
from vecsmith.models.shards import encode_to


def rows(count: int, pause: float) -> object:
    for row in range(count):
        time.sleep(pause)
        yield f"row {row} of the stone bridge {row * row}"


if __name__ == "__main__":
    model, folder, count, pause = sys.argv[1:]
    encoder = open_encoder(model)
    print("begun", flush=True)
    encode_to(encoder, rows(int(count), float(pause)), folder, shard_rows=10)
