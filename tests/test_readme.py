"""That the README is short, that what it shows is what is printed, and that its links lead somewhere."""

import re
from pathlib import Path

import pytest

from tests.docs.page_blocks import blocks_of, environment_here, run_commands
from tests.docs.test_pages import HERE

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def test_it_is_read_in_one_go():
    assert len(README.splitlines()) <= 150


def test_what_it_shows_of_a_layer(tmp_path, installed):
    blocks = blocks_of(README)
    (tmp_path / "layers.py").write_text(blocks.files["layers.py"], "utf-8")
    told = run_commands(blocks.commands, tmp_path, environment_here(installed), HERE)
    assert not told, told


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!http)([^)#]+)", README))))
def test_a_link_leads_somewhere(target, root):
    assert (root / target).exists()
