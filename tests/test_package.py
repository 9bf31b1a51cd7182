"""What a user of the package relies on."""

import pickle
import subprocess
import sys
from importlib.metadata import version
from pkgutil import iter_modules

import numpy as np
import pytest

import gradlab


def fresh(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


LOADED = "print(*sorted({m.split('.')[0] for m in sys.modules}))"


def test_import_loads_no_numpy():
    assert "numpy" not in fresh(f"import sys, gradlab; {LOADED}").split()
    loaded = set(fresh(f"import sys, gradlab.pytest_plugin; {LOADED}").split())
    assert not loaded & {"numpy", "scipy", "tabulate", "tqdm"}
    of_gradlab = fresh(
        "import sys, gradlab.pytest_plugin; print(*(m for m in sys.modules if 'gradlab' in m))"
    )
    assert sorted(of_gradlab.split()) == ["gradlab", "gradlab.pytest_plugin"]


def test_the_public_names_load_nothing_heavier_than_numpy():
    loaded = set(
        fresh(f"import sys; from gradlab import *; check_vjp, check_layer, Report; {LOADED}").split()
    )
    assert "numpy" in loaded
    printing = {"tabulate", "tqdm", "matplotlib", "rich", "jinja2", "pandas"}
    assert not loaded & (printing | {"scipy", "pooch", "pytest", "torch", "jax", "hypothesis"})


def test_import_discovers_no_node():
    code = (
        "import sys; from gradlab import *; print([m for m in sys.modules if m.startswith('gradlab.nodes.')])"
    )
    assert fresh(code).strip() == "[]"


def test_public_names():
    assert all(getattr(gradlab, name) is not None for name in gradlab.__all__)
    assert gradlab.__all__ == sorted(gradlab.__all__)
    assert sorted(name for names in gradlab._HOMES.values() for name in names) == gradlab.__all__


def test_the_version_is_the_one_that_is_installed():
    assert gradlab.__version__ == version("gradlab")


def test_each_public_name_is_there_whatever_was_imported_before():
    code = """
import importlib, sys
import gradlab
for name in gradlab.__all__:
    for module in [m for m in sys.modules if m.partition(".")[0] == "gradlab"]:
        del sys.modules[module]
    package = importlib.import_module("gradlab")
    assert name in dir(package), name
    first = getattr(package, name)
    exec(f"from gradlab import {name} as second")
    assert first is second, name
print("all", len(gradlab.__all__))
"""
    assert fresh(code).strip() == f"all {len(gradlab.__all__)}"


def test_no_public_name_is_hidden_by_a_room():
    # importing a submodule sets its name in the package
    assert not set(gradlab.__all__) & {module.name for module in iter_modules(gradlab.__path__)}


def test_a_room_is_loaded_when_it_is_asked_for():
    rooms = ["verdict", "running", "numerical", "report", "node", "textbook", "checks"]
    code = f"import gradlab; print(*(getattr(gradlab, room).__name__ for room in {rooms}))"
    assert fresh(code).split() == [f"gradlab.{room}" for room in rooms]


def test_a_name_that_is_not_there():
    assert not hasattr(gradlab, "check_everything")
    with pytest.raises(ImportError, match="check_everything"):
        from gradlab import check_everything  # noqa: F401
    with pytest.raises(AttributeError, match="'gradlab' has no attribute '__wrapped__'"):
        _ = gradlab.__wrapped__


def test_an_error_travels_between_processes_with_its_report():
    report = gradlab.check_gradient(np.sum, np.zeros_like, np.ones(2), explore=False)
    with pytest.raises(gradlab.GradientError) as caught:
        report.raise_if_failed()
    assert caught.value.report is report
    sent = pickle.loads(pickle.dumps(caught.value))
    assert type(sent) is gradlab.GradientError
    assert str(sent) == str(caught.value)
    assert list(sent.report.rows) == list(report.rows)


@pytest.mark.parametrize(
    "library, name, check", [("torch", "torch", "check_torch"), ("jax", "JAX", "check_jax")]
)
def test_what_is_not_installed_is_asked_for_in_one_line(library, name, check):
    code = (
        f"import sys; sys.modules[{library!r}] = None; import gradlab\n"
        f"try: gradlab.{check}(abs, 1.0)\n"
        "except ImportError as error: print(error)"
    )
    assert fresh(code).strip() == f"{check} needs {name}: pip install 'gradlab[{library}]'"
