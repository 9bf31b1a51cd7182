"""That what the README shows of torch and JAX is what gradlab prints."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[3] / "README.md").read_text()


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_the_page_of(library, capsys):
    pytest.importorskip(library)
    found = re.search(rf"```python\n(import {library}\n.*?)```\n\n```text\n(.*?)```", README, re.DOTALL)
    exec(compile(found[1], "README.md", "exec"), {"__name__": "readme"})
    printed = capsys.readouterr().out.splitlines()
    said = re.compile(r"(WRONG|  (region|mistake|seen|cure) |\d+ comparisons: [^.]*)")
    shown, told = (
        [m[0] for line in lines if (m := said.match(line))] for lines in (found[2].splitlines(), printed)
    )
    assert shown == told
    assert len(shown) == 6
