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
    # the first lines are a table with times in it
    assert [line for line in found[2].splitlines() if "mistake" in line] == [
        line for line in printed if "mistake" in line
    ]
    assert printed[-1] == found[2].splitlines()[-1]
