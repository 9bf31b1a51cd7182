"""The field's words are replaced by the books' words, and sentences stay sentences."""

import pytest

from gradlab.report.plain_words import plain


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("multiply by the cotangent, dout", "multiply by dout"),
        ("with the cotangents of two outputs exchanged", "with dout of two outputs exchanged"),
        ("hand them to backward in the residuals", "hand them to backward with what forward keeps for it"),
        ("it used the residuals of another", "it used what is kept for the forward of another"),
        ("the primal's length", "the input's length"),
    ],
)  # fmt: skip
def test_a_sentence(said, told):
    assert plain(said) == told
