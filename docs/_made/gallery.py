"""The gallery of mistakes: each name with its code, its picture and its cure."""

import inspect
from functools import cache

import gallery_curves
import gallery_grids
import numpy as np
from gallery_examples import EXAMPLES, Example
from gallery_runs import Run, change, run
from gallery_style import styled

from gradlab.diagnosis import NAMES
from gradlab.report.figures import svg_of
from gradlab.report.plain_words import MISTAKES

# What there is to be seen of them, and the names that belong there.
KINDS = {
    "Size": ("sign-flipped", "constant-factor", "zero-gradient", "additive-bias", "log-parameter"),
    "The use of dout": ("ignores-cotangent", "wrong-cotangent", "nonlinear-in-cotangent", "straight-through"),
    "Place": ("transposed", "axes-permuted", "columns-exchanged", "swapped-primals", "shifted"),
    "Some elements only": ("border", "single-element", "masked-region", "tie-or-kink", "not-finite"),
    "Sums and terms": (
        "missing-broadcast-sum", "wrong-sum-axis", "last-write-wins", "missing-term", "missing-factor",
        "wrong-operand", "wrong-order",
    ),
    "Digits": ("float32-round-trip", "rounded-constants", "epsilon-mismatch", "other-approximation"),
    "From call to call": ("stale-residuals", "accumulates", "nondeterministic"),
    "Memory, shape and dtype": (
        "mutates-argument", "aliases-memory", "assumes-contiguous", "wrong-dtype", "wrong-shape",
    ),
}  # fmt: skip
INTRODUCTION = """# The gallery of mistakes

These are the {count} mistakes that gradlab has a name for, each in a layer of a few lines. All that stands here was run
when this page was made: the code, its pictures, gradlab's answer, and the right line, which passes every check.

In the pictures the numerical gradient is blue, with round points, and backprop orange, with crosses; `dout` is the
gradient that comes from behind, the cotangent. Of the report of `check_vjp(forward, backward, primals)` here stands
what names the mistake; a table follows it and, where one is found, a change of your code that mends it."""


@cache
def pages() -> dict[str, str | bytes]:
    """Return the gallery's page and its pictures, by their places in the site.

    Raises
    ------
    ValueError
        If a name has no example, no picture or no place on the page, if gradlab calls an example otherwise, or if what
        is shown as right is wrong.
    """
    shown = [name for names in KINDS.values() for name in names]
    if not sorted(shown) == sorted(NAMES) == sorted(EXAMPLES):
        odd = set(shown) ^ set(NAMES) | set(EXAMPLES) ^ set(NAMES)
        raise ValueError(f"not once on the page, among gradlab's names and among the examples: {sorted(odd)}")
    parts, found = [INTRODUCTION.format(count=len(NAMES)), _index()], {}
    for kind, names in KINDS.items():
        parts.append(f"## {kind}")
        for name in names:
            # the layers overflow where they are meant to
            with np.errstate(all="ignore"):
                done = run(EXAMPLES[name])
                svg, alt = _picture(done)
            found[f"mistakes/{name}.svg"] = svg
            parts.append(_section(done, alt))
    return {"mistakes.md": "\n\n".join(parts) + "\n", **found}


def _index() -> str:
    rows = [
        f"| {kind} | {'<br>'.join(f'[{MISTAKES[name]}](#{name}), `{name}`' for name in names)} |"
        for kind, names in KINDS.items()
    ]
    return "\n".join(["| kind | mistakes |", "| --- | --- |", *rows])


def _picture(done: Run) -> tuple[str, str]:
    """Return the picture of a mistake, and what it shows in words."""
    draw_name = done.example.mistake.replace("-", "_")
    draw = getattr(gallery_curves, draw_name, None) or getattr(gallery_grids, draw_name, None)
    if draw is None:
        raise ValueError(f"{done.example.mistake} has no picture")
    with styled():
        return svg_of(draw(done)), " ".join((inspect.getdoc(draw) or "").split())


def _section(done: Run, alt: str) -> str:
    example = done.example
    name = example.mistake
    words = MISTAKES[name][0].upper() + MISTAKES[name][1:]
    attributes = f'#{name} data-toc-label="{words}"'
    wrong_lines = " ".join(map(str, example.marked))
    return "\n\n".join(
        [
            f"### {words}: `{name}` {{ {attributes} }}",
            example.means,
            f"![{alt}](mistakes/{name}.svg){{ width=480 }}",
            f'```python hl_lines="{wrong_lines}"\n{example.code}\n```',
            f"What gradlab prints, with {_given(example)}:",
            f"```text\n{done.printed}\n```",
            "The right line:" if len(example.right.splitlines()) == 1 else "What is right:",
            f"```diff\n{change(example)}\n```",
        ]
    )


def _given(example: Example) -> str:
    """Return what forward is given."""
    given = [f"`{name}` of shape {x.shape}" for name, x in example.primals.items()]
    for name, value in example.settings.items():
        if np.ndim(value) > 1:
            given.append(f"`{name}` of the same shape")
        else:
            given.append(f"`{name} = {np.asarray(value).tolist()}`")
    return " and ".join(filter(None, [", ".join(given[:-1]), given[-1]]))
