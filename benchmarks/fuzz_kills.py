"""Runs that are ended in their midst: what was written is the old or the new, and no process stays."""

import os
import random
import secrets
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from time import monotonic, sleep

OLD = "the whole report of yesterday\n" * 300
# So long may what a run has started outlive it, in seconds.
AFTER_S = 5.0
LAYERS = """
    import numpy as np
    class Affine:
        def __init__(self): self.W = np.random.default_rng(0).standard_normal((3, 2))
        def forward(self, x): self.x = x; return x @ self.W
        def backward(self, d): self.dW = self.x.T @ d; return d @ self.W.T
    class Slow(Affine):
        def forward(self, x):
            import time; time.sleep(0.02); return super().forward(x)
"""
SAVES = """
    import numpy as np, pathlib
    from gradlab.textbook.models.parameter_files import save
    for i in range(10**6):
        save("out/m.npz", {"W": np.full((400, 400), float(i))})
"""
TESTS = """
    import numpy as np, pytest
    @pytest.mark.parametrize("i", range(60))
    def test_sin(gradcheck, i):
        gradcheck(lambda x: (np.sin(x), x), lambda x, g: (np.cos(x) * g,), (np.ones(3) + i,))
"""
GRADLAB = [sys.executable, "-m", "gradlab"]
SCENARIOS: dict[str, tuple[list[str], str, str]] = {
    "verify": ([*GRADLAB, "verify", "--family", "arithmetic", "--output", "out"], "errors.md", "# Backward"),
    "verify --workers 2": (
        [*GRADLAB, "verify", "--workers", "2", "--output", "out"],
        "errors.md",
        "# Backward",
    ),
    "mutate --workers 2": (
        [*GRADLAB, "mutate", "step", "relu", "--workers", "2", "--output", "out"],
        "mutation.md",
        "# What the checks notice",
    ),
    "mnist": (
        [
            *GRADLAB,
            "mnist",
            "--data",
            "digits",
            "--gradient",
            "backprop",
            "--steps",
            "300",
            "--output",
            "out",
        ],
        "mnist.md",
        "# MNIST",
    ),
    "check --all": (
        [*GRADLAB, "check", "--all", "layers.py", "--input", "4x3", "--output", "out"],
        "check.md",
        "# Other people's gradients",
    ),
    "save": ([sys.executable, "saves.py"], "m.npz", "PK"),
    "pytest -n 2": (
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            "2",
            "-p",
            "no:cacheprovider",
            "--gradlab-report",
            "out",
            "test_sin.py",
        ],
        "gradlab.md",
        "# Gradients that pytest checked",
    ),
}


def killed(number: int) -> tuple[str, str, list[str]]:
    """Start a run, end it after a while that `number` decides, and return its name, the signal, and what is wrong."""
    rng = random.Random(number)
    name = list(SCENARIOS)[number % len(SCENARIOS)]
    command, page, begin = SCENARIOS[name]
    kind = rng.choice([signal.SIGINT, signal.SIGKILL])
    token = secrets.token_hex(8)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "out").mkdir()
        for file, text in (("layers.py", LAYERS), ("saves.py", SAVES), ("test_sin.py", TESTS)):
            (root / file).write_text(textwrap.dedent(text))
        (root / "out" / page).write_text(OLD)
        paths = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
        process = subprocess.Popen(
            command,
            cwd=root,
            env={**os.environ, "GRADLAB_FUZZ": token, "PYTHONPATH": paths},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        sleep(rng.uniform(0.2, 6.0))
        ended = process.poll() is not None
        # Ctrl-C goes to the whole foreground group, a kill to one process
        if not ended:
            os.killpg(process.pid, kind) if kind == signal.SIGINT else process.kill()
        wrong, start = [], monotonic()
        try:
            err = process.communicate(timeout=60)[1].decode(errors="replace")
        except subprocess.TimeoutExpired:
            wrong.append("did not end within 60 s")
            err = ""
        while (left := _alive(token)) and monotonic() - start < AFTER_S:
            sleep(0.1)
        if left:
            wrong.append(f"{len(left)} processes stayed")
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        content = (root / "out" / page).read_bytes()
        if content != OLD.encode() and not content.startswith(begin.encode()):
            wrong.append(f"{page} is neither the old nor a new one: {content[:60]!r}")
        if content != OLD.encode() and b"Interrupted" in content:
            wrong.append(f"{page} was replaced by less")
        if kind == signal.SIGINT and "Traceback" in err and name not in ("save", "pytest -n 2"):
            wrong.append(f"a traceback: {err[-300:]}")
    return name, "ended by itself" if ended else kind.name, wrong


def _alive(token: str) -> list[int]:
    """Return the processes that were started with a token in their environment, and live."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            mine = f"GRADLAB_FUZZ={token}".encode() in (entry / "environ").read_bytes()
            if mine and "\nState:\tZ" not in (entry / "status").read_text():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
