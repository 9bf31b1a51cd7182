"""Fixtures for all tests."""

import os
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PATIENCE = 4.0


@pytest.fixture(autouse=True)
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a check four times as long where a test sets no limit: what else the machine does must not matter."""
    from gradlab.checks.trial.budget import Budget
    from gradlab.running import options

    def budget(max_seconds: float | None, max_evaluations: int | None) -> Budget:
        return Budget(
            PATIENCE * max_seconds if max_seconds == options.MAX_SECONDS else max_seconds, max_evaluations
        )

    monkeypatch.setattr(options, "Budget", budget)


@pytest.fixture(autouse=True)
def unmended(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for repairs only where these are what is tried: thousands of wrong gradients are checked here."""
    from gradlab.adapters.foreign_pair import subject_report
    from gradlab.adapters.framework import pair_report
    from gradlab.running import check_vjp

    if not request.node.nodeid.startswith(("tests/repair/", "tests/docs/test_gallery.py")):
        for module in (subject_report, pair_report, check_vjp):
            monkeypatch.setattr(module, "with_repairs", lambda report, *others, **more: report)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def mnist_folder() -> str:
    folder = os.environ.get("GRADLAB_MNIST")
    if not folder:
        pytest.skip("needs the real MNIST: set GRADLAB_MNIST to the folder with its four files")
    return folder


@pytest.fixture
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH in which this checkout is installed, with its entry points."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [f"[pytest11]\n{name} = {at}" for name, at in about["entry-points"]["pytest11"].items()]
    site = tmp_path_factory.mktemp("site")
    information = site / f"gradlab-{about['version']}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: gradlab\nVersion: {about['version']}\n"
    )
    (information / "entry_points.txt").write_text("\n".join(lines))
    return site


@pytest.fixture
def project(pytester: pytest.Pytester, installed: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project of somebody else's, where gradlab is installed."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (installed, ROOT))))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return pytester
