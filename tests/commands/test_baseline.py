"""``--baseline``: a run fails only on what is worse than an earlier report says."""

import json

import pytest

from gradlab import cli

LAYERS = """
import numpy as np

class Square:
    def forward(self, x):
        self.x = x
        return x**2

    def backward(self, dout):
        return 2 * self.x * dout


class Double:
    def forward(self, x):
        return 2 * x

    def backward(self, dout):
        return 2.001 * dout  # known to be wrong
"""
CHECK = ("check", "layers.py", "--all", "--no-repair", "--input", "3")


@pytest.fixture
def known(tmp_path, monkeypatch, capsys):
    """Write the layers, and a report on them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "layers.py").write_text(LAYERS)
    assert cli.main([*CHECK, "--format", "json"]) == 1
    (tmp_path / "known.json").write_text(capsys.readouterr().out)
    return tmp_path


def test_what_was_wrong_already_does_not_fail(known, capsys):
    assert cli.main([*CHECK, "--baseline", "known.json", "--fail-if", "error:10x"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("WRONG: 1 of 2: layers.py:Double.")
    told = out.partition("Against known.json:")[2]
    assert "Nothing got worse." in told
    assert " 0 changes." in told


def test_what_got_worse_fails(known, capsys):
    (known / "layers.py").write_text(LAYERS.replace("2 * self.x * dout", "self.x * dout"))
    assert cli.main([*CHECK, "--baseline", "known.json"]) == 1
    told = capsys.readouterr().out.partition("Against known.json:")[2]
    assert "WORSE" in told
    assert "layers.py:Square" in told
    assert "layers.py:Double" not in told


def test_an_error_that_grew_fails_where_it_is_to(known):
    (known / "layers.py").write_text(LAYERS.replace("2.001", "2.1"))
    assert cli.main([*CHECK, "--baseline", "known.json"]) == 0
    assert cli.main([*CHECK, "--baseline", "known.json", "--fail-if", "error:10x"]) == 1


def test_json_stays_alone_on_stdout(known, capsys):
    assert cli.main([*CHECK, "--baseline", "known.json", "--format", "json"]) == 0
    told = capsys.readouterr()
    assert not json.loads(told.out)["ok"]
    assert "Nothing got worse." in told.err


def test_what_could_not_be_checked_is_no_success(known, capsys):
    assert cli.main([*CHECK[:2], "nowhere.py:Layer", *CHECK[2:], "--baseline", "known.json"]) != 0


def test_nodes(tmp_path, capsys):
    assert cli.main(["verify", "tanh", "--no-explore", "--format", "json"]) == 0
    path = tmp_path / "old.json"
    path.write_text(capsys.readouterr().out)
    assert (
        cli.main(["verify", "tanh", "--no-explore", "--baseline", str(path), "--fail-if", "time:10000%"]) == 0
    )
    # a report on something else says nothing of this
    assert cli.main(["verify", "relu", "--no-explore", "--baseline", str(path)]) == 1
    assert "Nothing to compare." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--fail-if", "error:10x"), "give one, or leave it out"),
        (("--baseline", "none.json"), "cannot be read (No such file or directory): name a report"),
        (("--baseline", "none.json", "--fail-if", "error"), "such as error:10x,time:20%"),
    ],
)
def test_misuse_is_told_before_anything_runs(arguments, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in (["verify", "tanh"], ["verify", "--models"], ["check", "layers.py:Square"]):
        assert cli.main([*command, *arguments]) == 2
        told = capsys.readouterr()
        assert told.out == ""
        assert told.err.rstrip().endswith(line)


def test_a_limit_of_times_has_them_measured(known, capsys):
    slow = LAYERS.replace(
        "        return x**2", "        [np.sort(x.repeat(9999)) for _ in range(9)]\n        return x**2"
    )
    (known / "layers.py").write_text(slow)
    assert cli.main([*CHECK, "--baseline", "known.json", "--fail-if", "time:300%"]) == 1
    told = capsys.readouterr().out.partition("Against known.json:")[2]
    assert "layers.py:Square" in told
    assert "forward" in told
    assert "layers.py:Double" not in told
