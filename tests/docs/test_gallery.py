"""The gallery of mistakes is made, has all of them, and raises where what it would show is not so."""

import importlib
import re
from dataclasses import replace

import pytest

from gradlab.diagnosis import NAMES
from tests.docs.page_blocks import PAGES

pytest.importorskip("matplotlib")


@pytest.fixture
def made(monkeypatch):
    monkeypatch.syspath_prepend(str(PAGES / "_made"))
    return importlib.import_module


def test_every_mistake_has_its_section_and_its_picture(made):
    pages = made("gallery").pages()
    page = pages["mistakes.md"]
    for name in NAMES:
        assert f"`{name}` {{ #{name} " in page
        assert f"](#{name})" in page
        assert re.search(rf"!\[[^\]]{{30,}}\]\(mistakes/{name}\.svg\)", page), (
            f"{name}'s picture is not told in words"
        )
    assert set(pages) == {"mistakes.md", *(f"mistakes/{name}.svg" for name in NAMES)}


def test_a_picture_does_not_name_its_mistake(made):
    for path, svg in made("gallery").pages().items():
        name = path.rpartition("/")[2].removesuffix(".svg")
        shown = " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", svg))
        assert name not in shown


def test_a_name_without_an_example_is_an_error(made, monkeypatch):
    gallery = made("gallery")
    monkeypatch.delitem(gallery.EXAMPLES, "transposed")
    with pytest.raises(ValueError, match="transposed"):
        gallery.pages.__wrapped__()


def test_an_example_that_is_called_otherwise_is_an_error(made):
    examples = made("gallery_examples").EXAMPLES
    with pytest.raises(ValueError, match=r"the example of transposed is called .'sign-flipped'"):
        made("gallery_runs").run(replace(examples["sign-flipped"], mistake="transposed"))


def test_a_right_example_is_an_error(made):
    example = made("gallery_examples").EXAMPLES["sign-flipped"]
    with pytest.raises(ValueError, match="is called right"):
        made("gallery_runs").run(replace(example, make=example.make_right))


def test_a_right_line_that_is_wrong_is_an_error(made):
    example = made("gallery_examples").EXAMPLES["sign-flipped"]
    with pytest.raises(ValueError, match="the right line of sign-flipped is wrong"):
        made("gallery_runs").run(replace(example, right="return (-2 * np.sin(x) * g,)"))
