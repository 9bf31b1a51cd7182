"""The picture of what gradlab prints of a wrong layer: ``python docs/_made/terminal_picture.py`` draws it anew.

It stands in the README, where nothing is built, and so in the repository: docs/pictures/wrong-layer.svg.
"""

import os
import pty
import re
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

LAYER = """\
import numpy as np


class BatchNorm:
    def __init__(self, gamma, beta):
        self.gamma, self.beta = gamma, beta

    def forward(self, x):
        centred = x - x.mean(axis=0)
        self.std = np.sqrt((centred**2).mean(axis=0) + 1e-5)
        self.xhat = centred / self.std
        return self.gamma * self.xhat + self.beta

    def backward(self, dout):
        self.dgamma, self.dbeta = (dout * self.xhat).sum(axis=0), dout.sum(axis=0)
        dxhat = dout * self.gamma
        return (dxhat - dxhat.mean(axis=0)) / self.std
"""
COMMAND = ["check", "layers.py:BatchNorm", "--input", "5x3"]
WIDTH = 100
PICTURE = Path(__file__).parents[1] / "pictures" / "wrong-layer.svg"


def printed() -> str:
    """Return what the command prints on a terminal, with its colours."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "layers.py").write_text(LAYER, "utf-8")
        child, terminal = pty.fork()
        if not child:
            os.chdir(folder)
            os.environ.update(COLUMNS=str(WIDTH), TERM="xterm-256color", COLORTERM="truecolor")
            os.environ.pop("NO_COLOR", None)
            os.execv(sys.executable, [sys.executable, "-m", "gradlab", *COMMAND])
        parts = []
        while True:
            try:
                part = os.read(terminal, 4096)
            except OSError:  # so a terminal says on Linux that nobody writes any more
                break
            if not part:
                break
            parts.append(part)
        os.waitpid(child, 0)
    text = b"".join(parts).decode().replace("\r\n", "\n")
    text = re.sub(r"[^\n]*\r", "", text)  # what a bar of progress has wiped off
    # what was guessed is no part of the picture
    return text.partition("Guessed, where")[0].rstrip()


def picture(text: str) -> str:
    """Return a terminal's text as a picture; the same text gives the same one."""
    console = Console(
        record=True, width=WIDTH, file=StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(Text(f"$ gradlab {' '.join(COMMAND)}", style="bold"))
    console.print(Text.from_ansi(text))
    drawn = console.export_svg(title="gradlab", unique_id="gradlab")
    # a size of its own, or a page gives it none; and no font of another host
    drawn = re.sub(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', r'width="\1" height="\2" \g<0>', drawn, count=1)
    return re.sub(r"\s*@font-face \{.*?\}", "", drawn, flags=re.DOTALL)


def main() -> None:
    """Draw the picture."""
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(printed()), "utf-8")


if __name__ == "__main__":
    main()
