"""Fix the list of the bed: which docstrings of which packages, by content id. Run once; `bed.json` is committed.

    python -m replications.bench.make_bed

Of each package at most 1,000 docstrings, none of whose three texts stands in the list already, in the order of their
ids, which are hashes; 5,500 of them train, 2,530 test. The standard library is left out: its version differs from
machine to machine.
"""

import importlib.metadata
import json
from pathlib import Path

from replications.bench.docs import BedDoc, as_doc
from vecsmith.data.readers.docstrings import read_docstrings

PACKAGES = {
    "torch": "torch",
    "sympy": "sympy",
    "transformers": "transformers",
    "scipy": "scipy",
    "pandas": "pandas",
    "sklearn": "scikit-learn",
    "networkx": "networkx",
    "numpy": "numpy",
    "huggingface_hub": "huggingface-hub",
    "sentence_transformers": "sentence-transformers",
    "peft": "peft",
    "datasets": "datasets",
    "accelerate": "accelerate",
}
MOST, TRAIN, TEST = 1_000, 5_500, 2_530


def main() -> None:
    """Read the installed packages and write `bed.json` beside this file."""
    docs = _chosen()
    packages = {}
    for name, distribution in PACKAGES.items():
        sides = {
            side: "".join(sorted(doc.id.hex() for doc in part if doc.package == name))
            for side, part in (("train", docs[:TRAIN]), ("test", docs[TRAIN : TRAIN + TEST]))
        }
        packages[name] = {
            "distribution": distribution,
            "version": importlib.metadata.version(distribution).partition("+")[0],
            **sides,
        }
    words = "docstrings of the bed: the first 6 bytes of each content id in hex, one after another; no text"
    file = Path(__file__).with_name("bed.json")
    file.write_text(json.dumps({"what": words, "packages": packages}, indent=1) + "\n", encoding="utf-8")
    print(f"{file.name}: {len(docs[: TRAIN + TEST]):,} docstrings, {file.stat().st_size:,} bytes")


def _chosen() -> list[BedDoc]:
    """Docstrings of the bed's packages in the order of their ids (which are hashes), capped, no text twice."""
    found: dict[tuple[str, bytes], BedDoc] = {}
    for each in read_docstrings("installed"):
        if each.package in PACKAGES and (doc := as_doc(each)):
            found.setdefault((doc.package, doc.id), doc)  # of one text under two names the first, as `bed` reads it
    seen: set[str] = set()
    counts = dict.fromkeys(PACKAGES, 0)
    chosen = []
    for doc in sorted(found.values(), key=lambda doc: doc.id):
        texts = {doc.words, doc.summary, doc.body}
        if len(texts) == 3 and not texts & seen and counts[doc.package] < MOST:
            seen |= texts
            counts[doc.package] += 1
            chosen.append(doc)
    if len(chosen) < TRAIN + TEST:
        raise SystemExit(f"only {len(chosen):,} docstrings; raise MOST or add packages")
    # Sorted by id and capped: what is cut at the end would be of the largest ids of small packages. Deal again.
    return sorted(chosen, key=lambda doc: doc.id[::-1])


if __name__ == "__main__":
    main()
