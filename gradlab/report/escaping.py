"""Names and messages of others in a report: neither a terminal nor a page does what they say."""

import re
import unicodedata

# What begins a tag, or would end the text of a link or of a picture.
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
# Beside the control characters: surrogates, which no file can hold, and what turns the direction of a line.
_UNSEEN = {"Cc", "Cs", "Cf"}
# Joiners of letters and of emoji are text.
_JOINERS = "\u200c\u200d"


def visible(text: str) -> str:
    """Return a text of lines in which what a terminal would act upon is written as Python escapes it."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(sign if sign == "\n" else _shown(sign) for sign in text)


def one_line(text: str) -> str:
    """Return a text as one line, in which what a terminal would act upon is written as Python escapes it."""
    if text.isascii() and text.isprintable():
        return text
    return visible(" ".join(text.splitlines()) if len(text.splitlines()) > 1 else text.rstrip("\r\n"))


def markdown(text: str) -> str:
    """Return a text as one line that is text in markdown as well: no cell of a table ends in it, and no tag begins."""
    line = one_line(text).replace("|", r"\|").replace("](", r"]\(")
    return _TAG.sub("&lt;", line)


def code(text: str) -> str:
    """Return a text as one line of code in markdown."""
    return "`" + one_line(text).replace("`", "'") + "`"


def _shown(sign: str) -> str:
    if unicodedata.category(sign) not in _UNSEEN or sign in _JOINERS:
        return sign
    return " " if sign == "\t" else sign.encode("unicode_escape", "surrogatepass").decode("ascii")
