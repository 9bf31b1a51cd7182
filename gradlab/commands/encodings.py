"""What is printed on a console of any encoding: what that lacks is written in other signs, and never raises."""

import codecs
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

NAME = "gradlab.other-signs"
# What stands for signs that Unicode has no simpler form of.
OTHERS = {
    "±": "+-", "·": "*", "×": "x", "÷": "/", "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "∂": "d", "√": "sqrt",  # noqa: RUF001
    "Σ": "sum", "∑": "sum", "∏": "prod", "∞": "inf", "→": "->", "←": "<-", "–": "-", "—": "-", "−": "-", "⊙": "*",  # noqa: RUF001
    "‘": "'", "’": "'", "“": '"', "”": '"', "…": "...", "µ": "u", "μ": "u", "ᵀ": ".T", "█": "#", "▏": "|", "│": "|",  # noqa: RUF001
}  # fmt: skip


@contextmanager
def encodable(stream: TextIO) -> Iterator[None]:
    """Let a stream print every text, in other signs where its encoding has none for one."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is None:
        yield
        return
    before = stream.errors
    reconfigure(errors=NAME)
    try:
        yield
    finally:
        reconfigure(errors=before)


def _in_other_signs(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(map(_other_sign, lacking)).encode("ascii", "backslashreplace").decode("ascii"), error.end


def _other_sign(sign: str) -> str:
    plain = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode("ascii")
    return OTHERS.get(sign) or plain or sign


codecs.register_error(NAME, _in_other_signs)
