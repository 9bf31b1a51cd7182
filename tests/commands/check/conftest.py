"""A project of somebody else's, in a folder of its own."""

import importlib
import sys
from textwrap import dedent

import pytest

from gradlab import cli
from gradlab.commands.check import _check_run as _run
from gradlab.commands.check._child_process import outcome_of

LAYERS = '''
    """Layers as the textbook writes them; Sigmoid is wrong."""
    import numpy as np


    class Affine:
        def __init__(self, W, b):
            self.W, self.b = W, b

        def forward(self, x):
            self.x = x
            return x @ self.W + self.b

        def backward(self, dout):
            self.dW = self.x.T @ dout
            self.db = dout.sum(axis=0)
            return dout @ self.W.T


    class Sigmoid:
        def forward(self, x):
            self.out = 1 / (1 + np.exp(-x))
            return self.out

        def backward(self, dout):
            return -dout * self.out * (1 - self.out)


    class Square:
        def forward(self, x):
            self.x = x
            return x**2

        def backward(self, dout):
            return 2 * self.x * dout


    class Optimizer:
        def update(self, params, grads):
            pass


    def affine_forward(x, w, b):
        return x @ w + b, (x, w)


    def affine_backward(dout, cache):
        x, w = cache
        return dout @ w.T, x.T @ dout, dout.sum(axis=0)


    SQUARE = Square()
    LAYERS = [Square(), Affine, (affine_forward, affine_backward)]
    BY_NAME = {"square": Square(), "sigmoid": Sigmoid(), "nothing": None}
'''


class Project:
    """A folder with Python files in it, and the command run there."""

    def __init__(self, path):
        self.path = path

    def write(self, name, text):
        path = self.path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))
        importlib.invalidate_caches()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a project with a file of layers; it is the current directory, and importable."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    known = set(sys.modules)
    made = Project(tmp_path)
    made.write("layers.py", LAYERS)
    yield made
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def check(project, monkeypatch, capsys):
    """Return the command, run without the processes that would take most of a test's time."""
    monkeypatch.setattr(_run, "in_process", lambda task, stop: outcome_of(task, project.path / "stage"))

    def run(*arguments):
        status = cli.main(["check", *arguments])
        out, err = capsys.readouterr()
        return status, out, err

    return run
