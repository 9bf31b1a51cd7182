"""What a user of the package relies on."""

import subprocess
import sys

import gradlab


def fresh(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_loads_nothing_heavier_than_numpy():
    code = "import sys, gradlab; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = set(fresh(code).split())
    assert "numpy" in loaded
    heavy = {"scipy", "tabulate", "tqdm", "matplotlib", "pooch", "pytest", "torch", "jax", "hypothesis"}
    assert not loaded & heavy


def test_import_discovers_no_node():
    code = "import sys, gradlab; print([m for m in sys.modules if m.startswith('gradlab.nodes.')])"
    assert fresh(code).strip() == "[]"


def test_public_names():
    assert all(getattr(gradlab, name) is not None for name in gradlab.__all__)
    assert gradlab.__all__ == sorted(gradlab.__all__)
