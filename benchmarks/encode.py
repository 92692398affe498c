"""How fast all-MiniLM-L6-v2 encodes: vecsmith beside sentence-transformers in float32 and bfloat16, and OpenVINO.

    python benchmarks/encode.py [--data-root FOLDER] [--quick] [--json OUT] [--classes native,avx2] [--threads 1]

Jobs: titles, abstracts, half of each with 30 % repeats, and one text. All ways take turns in one process with the same
number of threads; a ratio is the median over rounds, each round within itself, of processor seconds. Vectors in float32
must be those of sentence-transformers within 2e-6, else the exit code is 1; coarser ways show their least cosine.

A machine with wider instructions is measured as it is and held to AVX2. Goals for AVX2 in float32: 1.6 times
sentence-transformers on titles, 1.2 on abstracts, 2.0 on half-and-half, never slower; for AVX-512 and AMX with
dtype="auto": 4.5 times; for dtype="int8": 2.3 times on titles, 1.7 on abstracts.

The limit is the float32 arithmetic that the distinct texts need, at the rate at which this machine multiplies matrices
of those shapes: what would be left if everything else cost nothing.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from itertools import cycle, islice
from pathlib import Path

ISA = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
MODEL = "all-MiniLM-L6-v2"
PLAIN, OURS = "sentence-transformers", "vecsmith float32"
LIMIT = 2e-6
GOALS = {
    "AVX2": {OURS: {"titles": 1.6, "abstracts": 1.2, "half-and-half": 2.0, "one text": 1.0}},
    "AVX-512": {OURS: {"one text": 1.0}, "vecsmith auto": {"titles": 4.5, "abstracts": 4.5, "half-and-half": 4.5}},
}
GOALS["AMX"] = GOALS["AVX-512"]
NOT_HELD = "onnxruntime knows no switch that holds it to AVX2: its figures are those of the machine's own instructions"
INT8_GOALS = {"titles": 2.3, "abstracts": 1.7}


def main() -> int:
    """Run each class of instructions in a process of its own, print the tables, write the result."""
    arguments = parse()
    if arguments.inner:
        print(json.dumps(measure_class(arguments)))
        return 0
    if arguments.rows:
        print(json.dumps(encode_rows(arguments)))
        return 0
    from _side_by_side import processor_class, write_result

    native = processor_class()
    classes = arguments.classes.split(",")
    if native == "AVX2" and "native" in classes:
        classes = ["native"]
    found = {}
    for each in classes:
        answer = call(arguments, ["--inner"], {**os.environ, **threads(arguments), **(ISA if each == "avx2" else {})})
        name = f"{native} machine held to AVX2 instructions" if each == "avx2" else native
        found[name] = json.loads(answer)
        print("\n".join(table(name, found[name], arguments.threads)), flush=True)
    memory = measure_memory(arguments)
    print(f"encode_to with the default model, peak memory of the process: {memory['words']}")
    write_result(arguments.json, "encode", arguments.threads, model=MODEL, classes=found, memory=memory)
    worst = max(
        way["largest_difference"] for each in found.values() for job in each["jobs"] for way in job["ways"].values()
        if way["is_float32"]
    )  # fmt: skip
    print(f"largest difference of float32 vectors from {PLAIN}: {worst:.1e} (allowed {LIMIT:.0e})")
    return 0 if worst <= LIMIT else 1


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, default=None)
    parser.add_argument("--quick", action="store_true", help="a twelfth of the texts and two rounds: some minutes")
    parser.add_argument("--json", type=Path, default=None, help="write the dated result here")
    parser.add_argument("--classes", default="native,avx2", help="native, avx2 (held to it), or both")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


def threads(arguments: argparse.Namespace) -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    return {**dict.fromkeys(names, str(arguments.threads)), "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}


def call(arguments: argparse.Namespace, extra: list[str], environment: dict[str, str]) -> str:
    """This script again, in another process; its last line of output."""
    command = [sys.executable, __file__, "--threads", str(arguments.threads), *extra]
    command += ["--quick"] if arguments.quick else []
    command += ["--data-root", str(arguments.data_root)] if arguments.data_root else []
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def texts_of(arguments: argparse.Namespace) -> tuple[list[str], list[str], str]:
    """Titles, abstracts, and where they come from: arXiv of the data root, else docstrings of the standard library."""
    from _side_by_side import arxiv_texts, data_root

    root, share = data_root(arguments.data_root), 12 if arguments.quick else 1
    if (root / "arxiv_cs").is_dir():
        counts = {"title": 1_200 // share, "abstract": 240 // share}
        titles, abstracts = (arxiv_texts(root, field, count) for field, count in counts.items())
        return titles, abstracts, "arXiv computer science"
    from vecsmith.data.readers.docstrings import read_docstrings

    whole = [found.text for found in islice(read_docstrings("stdlib", workers=1), 4_000)]
    long = [text for text in whole if len(text) > 600][: 240 // share]
    return [text.splitlines()[0] for text in whole][: 1_200 // share], long, "docstrings of the standard library"


def jobs_of(titles: list[str], abstracts: list[str]) -> dict[str, list[str]]:
    """The four jobs; in half-and-half, 30 % of the rows repeat others."""
    draw = random.Random(0)
    half = min(len(titles), len(abstracts))
    fresh = [*titles[: half * 7 // 10], *abstracts[: half * 7 // 10]]
    mixed = [*fresh, *draw.choices(fresh, k=2 * half - len(fresh))]
    draw.shuffle(mixed)
    return {"titles": titles, "abstracts": abstracts, "half-and-half": mixed, "one text": titles[:1]}


def measure_class(arguments: argparse.Namespace) -> dict:
    """All jobs under the instructions that this process may use."""
    import torch

    from vecsmith.models.precision import processor

    torch.set_num_threads(arguments.threads)
    titles, abstracts, source = texts_of(arguments)
    ways, missing = make_ways()
    rounds = 2 if arguments.quick else 3
    if os.environ.get("ATEN_CPU_CAPABILITY"):
        missing["vecsmith int8"] = NOT_HELD
    jobs = [measure_job(name, texts, ways, rounds) for name, texts in jobs_of(titles, abstracts).items()]
    name, kind = processor()
    return {"class": kind, "processor": name, "texts": source, "jobs": jobs, "notes": missing}


def make_ways() -> tuple[dict, dict[str, str]]:
    """Name -> function of texts, and for those that cannot run here, why."""
    import torch
    from sentence_transformers import SentenceTransformer

    import vecsmith as vs
    from vecsmith.models.names import resolve_name

    folder, notes = str(resolve_name(MODEL)), {}
    ours = vs.load(MODEL, device="cpu", on_truncation="cut")
    plain = SentenceTransformer(folder, device="cpu")
    half = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": torch.bfloat16})
    ways = {PLAIN: plain.encode, f"{PLAIN} bfloat16": half.encode, OURS: ours.encode}
    auto = vs.load(MODEL, device="cpu", dtype="auto", on_truncation="cut")
    notes["vecsmith auto"] = choice_words(ours)
    if auto.dtype == torch.bfloat16:
        ways["vecsmith auto"] = auto.encode
    else:
        ways["vecsmith bfloat16"] = vs.load(MODEL, device="cpu", dtype="bfloat16", on_truncation="cut").encode
    for name, make in (("vecsmith int8", int8_way), (f"{PLAIN} OpenVINO", openvino_way)):
        try:
            ways[name] = make()
        except Exception as error:  # noqa: BLE001  whatever an optional runtime fails with, the table says it
            notes[name] = f"not run: {type(error).__name__}: {str(error).splitlines()[0][:120]}"
    return ways, notes


def choice_words(model: object) -> str:
    from vecsmith.models.precision import choose_dtype

    return choose_dtype(model, identity=model.contract.fingerprint).words


def int8_way():
    import vecsmith as vs

    return vs.load(MODEL, dtype="int8", on_truncation="cut").encode


def openvino_way():
    """sentence-transformers' own batches on our OpenVINO file: its own backend needs the package optimum-intel."""
    from sentence_transformers import SentenceTransformer

    import vecsmith as vs
    from vecsmith.models.export.openvino import export_openvino

    folder = Path(tempfile.mkdtemp()) / "openvino"
    export_openvino(MODEL, folder)
    model = vs.load(folder, on_truncation="cut")
    return lambda texts: SentenceTransformer.encode(model, texts)


def measure_job(name: str, texts: list[str], ways: dict, rounds: int) -> dict:
    """Seconds, ratios, agreement and the limit of one job; ways far slower than the others run on a part of it."""
    import numpy as np
    from _side_by_side import ratio, take_turns

    given = texts[0] if name == "one text" else texts
    repeats = 60 if name == "one text" else 1
    slow = {each for each in ways if "bfloat16" in each} if name != "one text" else set()
    part = texts[: max(16, len(texts) // 6)]

    def runs(chosen: dict, what: object) -> dict:
        return {each: (lambda way=way: [way(what) for _ in range(repeats)]) for each, way in chosen.items()}

    timings = take_turns(runs({k: v for k, v in ways.items() if k not in slow}, given), rounds)
    parts = (
        take_turns(runs({k: v for k, v in ways.items() if k in slow or k == PLAIN}, part), min(2, rounds - 1))
        if slow
        else {}
    )
    expected = np.atleast_2d(ways[PLAIN](given))
    found = {}
    for each, way in ways.items():
        own = parts if each in slow else timings
        vectors = np.atleast_2d(way(part if each in slow else given))
        right = expected[: len(vectors)]
        cosines = (vectors * right).sum(1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(right, axis=1)
        pairs = sorted(a / b for a, b in zip(own[PLAIN].processor, own[each].processor, strict=True))
        found[each] = {
            "seconds": own[each].median / repeats,
            "wall_seconds": sorted(own[each].wall)[len(own[each].wall) // 2] / repeats,
            "texts": len(part) if each in slow else len(np.atleast_1d(given)),
            "ratio": ratio(own, PLAIN, each),
            "ratios": [round(pairs[0], 3), round(pairs[-1], 3)],
            "largest_difference": float(np.abs(vectors - right).max()),
            "least_cosine": float(cosines.min()),
            "is_float32": each in (PLAIN, OURS),
        }
    return {"job": name, "texts": len(texts), **limit(texts), "ways": found}


def limit(texts: list[str]) -> dict:
    """Tokens and operations of the distinct texts, and the seconds these take at the rate of bare products."""
    import time

    import torch

    import vecsmith as vs
    from vecsmith.models.token_ids import exact_ids

    model = vs.load(MODEL, device="cpu", verify=False)
    config, lengths = model[0].model.config, exact_ids(model).tokens(list(dict.fromkeys(texts)), "").lengths
    width, wide, layers = config.hidden_size, config.intermediate_size, config.num_hidden_layers
    tokens = int(lengths.sum())
    shapes = [(width, width)] * 4 + [(width, wide), (wide, width)]
    products = 2 * tokens * layers * sum(a * b for a, b in shapes)
    attention = int(4 * width * layers * (lengths.astype(float) ** 2).sum())
    rows, seconds, done = min(2_048, tokens), 0.0, 0
    with torch.inference_mode():
        for inner, outer in set(shapes):
            states, weights, bias = torch.randn(rows, inner), torch.randn(outer, inner), torch.randn(outer)
            into = torch.empty(rows, outer)
            times = []
            for _ in range(12):
                start = time.process_time()
                for _ in range(4):
                    torch.addmm(bias, states, weights.t(), out=into)
                times.append((time.process_time() - start) / 4)
            share = shapes.count((inner, outer))
            seconds, done = seconds + share * sorted(times)[3], done + share * 2 * rows * inner * outer
    rate = done / seconds
    return {
        "tokens": tokens,
        "operations": products + attention,
        "gigaflops": rate / 1e9,
        "limit_seconds": (products + attention) / rate,
    }


def measure_memory(arguments: argparse.Namespace) -> dict:
    """Peak memory of encoding few and many rows from an iterator, each in a process of its own."""
    counts = (20_000, 100_000) if arguments.quick else (100_000, 500_000)
    environment = {**os.environ, **threads(arguments)}
    found = [json.loads(call(arguments, ["--rows", str(count)], environment)) for count in counts]
    words = ", ".join(f"{each['rows']:,} rows {each['megabytes']:.0f} MB" for each in found)
    return {"rows": found, "words": words}


def encode_rows(arguments: argparse.Namespace) -> dict:
    from vecsmith.models.encoder import open_encoder
    from vecsmith.models.shards import encode_to

    titles = texts_of(arguments)[0]
    stream = (f"{title} {number}" for number, title in enumerate(islice(cycle(titles), arguments.rows)))
    with tempfile.TemporaryDirectory() as folder:
        rows = encode_to(open_encoder("default"), stream, Path(folder) / "vectors").rows
    return {"rows": rows, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def table(name: str, found: dict, used: int) -> list[str]:
    """One class of instructions for people."""
    lines = [
        "",
        f"{name} ({found['processor']}), {used} thread{'s' if used > 1 else ''}; {found['texts']}",
        f"{'job':<14} {'way':<31} {'ms/text':>8} {'ratio':>6} {'from':>6} {'to':>6} {'limit':>6} {'agrees':>9}  goal",
    ]
    for job in found["jobs"]:
        for way, each in job["ways"].items():
            share = job["limit_seconds"] / each["seconds"] * each["texts"] / max(1, job["texts"])
            agrees = f"{each['largest_difference']:.0e}" if each["is_float32"] else f"cos {each['least_cosine']:.4f}"
            lines.append(
                f"{job['job']:<14} {way:<31} {1e3 * each['seconds'] / each['texts']:>8.2f} {each['ratio']:>6.2f} "
                f"{each['ratios'][0]:>6.2f} {each['ratios'][1]:>6.2f} {share:>6.0%} {agrees:>9}  "
                f"{'' if way in found['notes'] else goal(found['class'], way, job['job'], each['ratio'])}".rstrip()
            )
        lines.append(
            f"{'':<14} limit: {job['tokens']:,} tokens, {job['operations'] / 1e9:.1f} GFLOP at "
            f"{job['gigaflops']:.0f} GFLOP/s = {job['limit_seconds']:.3f} s"
        )
    auto = GOALS.get(found["class"], {}).get("vecsmith auto")
    if auto and "vecsmith auto" not in found["jobs"][0]["ways"]:
        best = {job["job"]: job["ways"][OURS]["ratio"] for job in found["jobs"]}
        lines += [f"goal {g} of auto on {j}: missed, {best[j]:.2f} (auto took float32)" for j, g in auto.items()]
    return [*lines, *(f"{way}: {why}" for way, why in found["notes"].items()), ""]


def goal(kind: str, way: str, job: str, ratio: float) -> str:
    wanted = INT8_GOALS.get(job) if way == "vecsmith int8" else GOALS.get(kind, {}).get(way, {}).get(job)
    if wanted is None:
        return ""
    return f"{wanted} met" if ratio >= wanted else f"{wanted} missed by {wanted - ratio:.2f}"


if __name__ == "__main__":
    sys.exit(main())
