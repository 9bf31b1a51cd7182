import re

import numpy as np

from gradlab import check_gradient, check_layer, check_vjp, cli, verify
from gradlab.report.annotations import annotations
from gradlab.running.foreign_function import place_of

X = np.array([1.0, 2.0])
COMMAND = re.compile(r"::(error|warning) (file=([^,]+),line=(\d+),)?title=([^:]+)::(.+)")


def forward(x):
    return x**2, x


def backward(x, g):
    return (3 * x * g,)


class Square:
    def forward(self, x):
        self.x = x
        return x**2

    def backward(self, d):
        return 3 * self.x * d


def line_of(function):
    return function.__code__.co_firstlineno


def test_an_annotation_stands_at_backward():
    for report, line in (
        (check_vjp(forward, backward, (X,)), line_of(backward)),
        (check_layer(Square(), X), line_of(Square.backward)),
        (check_gradient(lambda x: np.sum(x**2), grad, X), line_of(grad)),
    ):
        found = [COMMAND.fullmatch(command) for command in annotations(report)]
        assert found
        assert all(match[1] == "error" and match[3].endswith("test_annotations.py") for match in found)
        assert {int(match[4]) for match in found} == {line}
        assert "mistake: off by a constant factor" in found[0][6]


def grad(x):
    return 3 * x


def test_what_is_right_has_none():
    assert annotations(check_vjp(forward, lambda x, g: (2 * x * g,), (X,))) == []
    assert verify("add").places["add"][0].endswith("add.py")


def test_signs_that_end_a_command_are_escaped():
    report = check_vjp(forward, backward, (X,), name="50% of a:b,c\n::error::")
    (first, *_) = annotations(report)
    assert "\n" not in first
    assert "title=WRONG%3A 50%25 of a%3Ab%2Cc" in first
    assert first.count("::") == 2 + first.partition("::")[2].partition("::")[2].count("::")


def test_where_nobody_knows_the_place():
    assert place_of(np.sin) is None
    assert place_of(eval("lambda x: x")) is None

    class Refuses:
        def __getattr__(self, name):
            raise RuntimeError(name)

        def __call__(self, x):
            return x

    assert place_of(Refuses())[1] == line_of(Refuses.__call__)


def test_the_command_annotates_and_adds_to_the_summary(tmp_path, monkeypatch, capsys):
    (tmp_path / "lay.py").write_text(
        "import numpy as np\nclass Square:\n    def forward(self, x):\n        self.x = x\n        return x**2\n"
        "    def backward(self, d):\n        return 3 * self.x * d\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    assert cli.main(["check", "lay.py:Square", "--input", "3", "--format", "github", "--no-repair"]) == 1
    out = capsys.readouterr().out
    assert "::error file=lay.py,line=6,title=WRONG%3A lay.py%3ASquare" in out
    assert "WRONG" in (tmp_path / "summary.md").read_text()
    assert cli.main(["verify", "add", "--format", "github"]) == 0
    assert "::error" not in capsys.readouterr().out
