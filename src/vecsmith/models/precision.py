"""Whether a model computes in bfloat16 or float32: chosen by measuring once per machine, and said.

bfloat16 is faster only on processors with units for it, and by how much depends on the model; on others it is several
times slower. So `dtype="auto"` runs both on the same texts, and takes bfloat16 where it is faster and the probes'
vectors keep their directions.
"""

import copy
import hashlib
import json
import logging
import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from vecsmith.contract.cache import add_to_cache, read_cache
from vecsmith.contract.probes import PROBES
from vecsmith.models.packed import can_pack

__all__ = ["LEAST_COSINE", "LEAST_GAIN", "Choice", "choose_dtype", "processor", "set_dtype"]

LEAST_COSINE = 0.9995  # of a probe's vector with its float32 vector
LEAST_GAIN = 1.05  # times float32's speed: below it the clock's noise decides
ROUNDS = 5
CACHE = "precision"

log = logging.getLogger("vecsmith")


@dataclass(frozen=True)
class Choice:
    """What `auto` found: the dtype it takes, bfloat16's speed in times float32's, the worst cosine of a probe."""

    dtype: str
    gain: float
    cosine: float
    processor: str

    @property
    def words(self) -> str:
        """One sentence."""
        why = f"bfloat16 is {self.gain:.2f} times as fast on {self.processor}"
        if self.gain >= LEAST_GAIN:
            kept = "keeps" if self.cosine >= LEAST_COSINE else "does not keep"
            why += f" and {kept} the directions of vectors (least cosine {self.cosine:.5f})"
        return f'dtype="auto" takes {self.dtype}: {why}'


def processor() -> tuple[str, str]:
    """The processor's name, and the class of instructions PyTorch uses on it: AMX, AVX-512, AVX2 or another.

    A machine held to fewer instructions by ATEN_CPU_CAPABILITY or ONEDNN_MAX_CPU_ISA counts as what it is held to.
    """
    name = "unknown processor"
    if Path("/proc/cpuinfo").is_file():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    held = torch.backends.cpu.get_cpu_capability()
    limit = (os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "").upper()
    if held == "AVX512" and torch.cpu._is_amx_tile_supported() and limit in ("", "DEFAULT", "ALL"):
        return name, "AMX"
    return name, {"AVX512": "AVX-512", "AVX2": "AVX2"}.get(held, held)


def set_dtype(model: SentenceTransformer, dtype: str, *, identity: str = "") -> str:
    """Make a loaded model compute in a dtype; returns the one it took.

    dtype      "float32" leaves it as it was loaded, "bfloat16" converts it, "auto" chooses
    identity   what names the weights, for the memory of choices: a contract's fingerprint; "" chooses anew
    """
    if dtype == "float32":
        return dtype
    if dtype == "auto":
        choice = choose_dtype(model, identity=identity)
        log.log(logging.INFO if choice.gain < LEAST_GAIN else logging.WARNING, choice.words)
        dtype = choice.dtype
    if dtype == "bfloat16":
        can_pack(model)  # asked while numbers are exact; the answer stays with the model
        model.to(torch.bfloat16)
    return dtype


def choose_dtype(model: SentenceTransformer, *, identity: str = "") -> Choice:
    """Measure a float32 model in both dtypes, unless this machine did so before for the same weights and libraries.

    identity   as in `set_dtype`
    """
    name, kind = processor()
    device = model.device.type
    where = torch.cuda.get_device_name(model.device) if device == "cuda" else f"{name} ({kind})"
    stamp = [where, torch.__version__, torch.get_num_threads(), str(LEAST_GAIN), str(LEAST_COSINE)]
    key = hashlib.sha256(json.dumps([identity, *stamp]).encode()).hexdigest()[:24]
    kept = read_cache(CACHE).get(key) if identity else None
    if kept:
        try:
            return Choice(**json.loads(str(kept[0])))
        except (TypeError, ValueError):
            pass  # an entry of another version: measured again
    choice = _measure(model, where)
    if identity:
        add_to_cache(CACHE, {key: [json.dumps(asdict(choice))]})
        if choice.gain < LEAST_GAIN:  # said once, at the measurement; a gain is said at every load
            log.warning(choice.words)
    return choice


def _measure(model: SentenceTransformer, where: str) -> Choice:
    coarse = copy.deepcopy(model)
    can_pack(coarse)
    coarse.to(torch.bfloat16)
    texts = _sample(model)
    cosine = float(_cosines(_encode(model, texts[0]), _encode(coarse, texts[0])).min())
    seconds: dict[int, list[float]] = {0: [], 1: []}
    for turn in range(ROUNDS + 1):
        for which, each in enumerate((model, coarse)):
            start = time.perf_counter()
            _encode(each, texts[1])
            if turn:  # the first turn warms up
                seconds[which].append(time.perf_counter() - start)
    gain = statistics.median(a / b for a, b in zip(seconds[0], seconds[1], strict=True))
    good = gain >= LEAST_GAIN and cosine >= LEAST_COSINE
    return Choice("bfloat16" if good else "float32", round(gain, 3), round(cosine, 6), where)


def _sample(model: SentenceTransformer) -> tuple[list[str], list[str]]:
    """The probes, and what is timed: many short texts and a few long ones."""
    probes = [text for _, text, _ in PROBES]
    short = [f"{text[:60]} {number}" for number in range(4) for text in probes]
    return probes, [*short, *(text * 2 for text in probes if len(text) > 60)]


def _encode(model: SentenceTransformer, texts: list[str]) -> Any:
    from vecsmith.models.encode import encode

    return encode(model, texts, on_truncation="cut")


def _cosines(first: Any, second: Any) -> Any:
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(axis=1) / np.maximum(lengths, 1e-12)
