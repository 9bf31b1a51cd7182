"""The catalogue of derivatives at edges, powers, staircases and poles, held to what it says of itself."""

import math

from .edges import edges


def test_every_pair_is_one_of_its_own_and_its_function_gives_numbers():
    every = edges()
    assert len({edge.name for edge in every}) == len(every) >= 400
    assert {edge.kind for edge in every} == {
        "edge", "power", "staircase", "pole", "kink", "cancelling", "scale",
    }  # fmt: skip
    assert all(isinstance(edge.f(edge.x), float) for edge in every)


def test_plain_differences_agree_where_the_function_is_smooth():
    smooth = [e for e in edges() if e.kind == "pole" and e.right is not None and e.right == e.left]
    for edge in smooth:
        h = 1e-8 * (abs(edge.x) or 1)
        slope = (edge.f(edge.x + h) - edge.f(edge.x - h)) / (2 * h)
        near = math.isclose(slope, edge.right, rel_tol=1e-2)
        # closer to a pole than the step differences see nothing
        assert near or abs(edge.right) > 1e3, edge.name
