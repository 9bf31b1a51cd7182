"""The first minutes of three new users, each a script in a fresh environment; -s shows the seconds that they took."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="the scripts are for a POSIX shell")


@pytest.fixture
def first_minutes(tmp_path):
    def run(name, encoding="utf-8"):
        # built from a copy, so that three builds at once do not meet in one folder
        source = tmp_path / "source"
        shutil.copytree(ROOT / "gradlab", source / "gradlab", ignore=shutil.ignore_patterns("__pycache__"))
        for file in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / file, source / file)
        folder = tmp_path / "project"
        folder.mkdir()
        known = {
            k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONIOENCODING")
        }
        begin = time.monotonic()
        done = subprocess.run(
            ["sh", str(HERE / f"{name}.sh"), str(source)],
            cwd=folder,
            env=known,
            capture_output=True,
            timeout=900,
        )
        out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
        if "Could not find a version" in err or "No matching distribution" in err:
            pytest.skip("the packages cannot be fetched here")
        print(f"\n{name}: {time.monotonic() - begin:.0f} s, environment and all\n{out}\n{err}")
        assert "Traceback" not in out + err
        assert done.returncode == 0, out + err
        return folder, out

    return run


def test_a_learner(first_minutes):
    folder, out = first_minutes("learner")
    assert "gradlab check layers.py:Affine" in out.partition("== a word mistyped")[0]
    mistaken, _, rest = out.partition("== a word mistyped")[2].partition("== their own layer")
    assert "status 2" in mistaken
    told, _, mended = rest.partition("== the change, taken over")
    assert told.lstrip().startswith("WRONG: my_layers.py:Softmax, the gradient of x.")
    assert "Change this (proven with all checks" in told
    assert "my_layers.py_Softmax-given-x-error.svg" in told
    assert '<span class="added">+' in (folder / "out.html").read_text("utf-8")
    assert "All right: my_layers.py:Softmax agrees with the numerical gradient." in mended


def test_a_notebook(first_minutes):
    _, out = first_minutes("notebook")
    assert "== report ['text/html', 'text/markdown', 'text/plain']" in out
    assert "**WRONG: Affine, the gradient of b.**" in out
    assert "== report.plot() ['image/png', 'text/plain']" in out
    sizes = out.partition("'text/plain'] [")[2].partition("]")[0].split(", ")
    assert int(sizes[2]) < 250, "a line, and no page of dataclasses"
    assert "<gradlab.Report: WRONG: Affine, the gradient of b." in out


def test_a_korean_console(first_minutes):
    _, out = first_minutes("korean_console", "cp949")
    assert "WRONG: 계층.py:시그모이드, the gradient of x." in out
    assert "WRONG: 시그모이드, the gradient of x." in out
    assert " us " in out
    assert "status 1" in out
