import json

import pytest

from gradlab import cli, verify
from gradlab.report.compared import limits_of

NAMES = ("add", "tanh", "sigmoid", "exp", "softplus", "square")


@pytest.fixture(scope="module")
def envelope():
    made = json.loads(verify(*NAMES, checks=["matches_numerical"], explore=False).to_json())
    for row in made["rows"]:
        # how busy the machine is at this moment is no matter of these tests
        row["forward_spread"] = row["backward_spread"] = 1.0
    return made


@pytest.fixture
def compared(envelope, tmp_path):
    def compare(change, *limits):
        for name, changed in (("old", lambda rows: rows), ("new", change)):
            rows = changed([dict(row) for row in envelope["rows"]])
            (tmp_path / f"{name}.json").write_text(json.dumps({**envelope, "rows": rows}))
        return cli.main(["compare", str(tmp_path / "old.json"), str(tmp_path / "new.json"), *limits])

    return compare


def each(**values):
    """Change the rows of tanh."""
    return lambda rows: [
        {**row, **{k: v(row[k]) if callable(v) else v for k, v in values.items()}}
        if row["node"] == "tanh"
        else row
        for row in rows
    ]


def test_the_same_is_no_worse(compared, capsys):
    assert compared(lambda rows: rows, "--fail-if", "error:10x,time:20%") == 0
    assert "Nothing got worse." in capsys.readouterr().out


def test_a_worse_verdict_fails_and_a_better_one_does_not(compared, capsys, envelope):
    assert compared(each(verdict="wrong")) == 1
    assert "WORSE" in capsys.readouterr().out
    assert compared(each(verdict="kink")) == 0


def test_a_wrong_one_that_becomes_undecided_is_no_worse(envelope, tmp_path):
    for name, verdict in (("old", "wrong"), ("new", "inconclusive")):
        rows = [{**row, "verdict": verdict} for row in envelope["rows"]]
        (tmp_path / f"{name}.json").write_text(json.dumps({**envelope, "rows": rows}))
    assert cli.main(["compare", str(tmp_path / "old.json"), str(tmp_path / "new.json")]) == 0
    assert cli.main(["compare", str(tmp_path / "new.json"), str(tmp_path / "old.json")]) == 1


def test_an_error_that_grew(compared, capsys):
    assert compared(each(relative_error=1e-6), "--fail-if", "error:10x") == 1
    assert compared(each(relative_error=1e-6)) == 0
    assert "tanh" in capsys.readouterr().out
    # what the numerical side does not know is no error
    assert (
        compared(each(relative_error=lambda e: 20 * (e or 0), relative_bound=1.0), "--fail-if", "error:10x")
        == 0
    )
    assert compared(each(relative_error=1e-6, relative_bound=1.0), "--fail-if", "error:10x") == 0


def test_a_backward_that_is_slower_than_the_others(compared, capsys):
    assert compared(each(backward_s=lambda s: 2.1 * s), "--fail-if", "time:100%") == 1
    out = capsys.readouterr().out
    assert "backward" in out
    assert out.count("fails") == 1
    # all of it is slower: so is the machine
    slow = lambda rows: [
        {**r, "forward_s": 3 * r["forward_s"], "backward_s": 3 * r["backward_s"]} for r in rows
    ]
    assert compared(slow, "--fail-if", "time:20%") == 0


@pytest.mark.parametrize("busy", ["old", "new"])
def test_times_that_differ_among_themselves_have_to_grow_by_more(busy, compared, envelope, monkeypatch):
    if busy == "old":
        rows = [{**row, "backward_spread": 1.5} for row in envelope["rows"]]
        monkeypatch.setitem(envelope, "rows", rows)
        spread = {"backward_spread": 1.0}
    else:
        spread = {"backward_spread": 1.5}
    limit = ("--fail-if", "time:100%")
    assert compared(each(backward_s=lambda s: 2.9 * s, **spread), *limit) == 0
    assert compared(each(backward_s=lambda s: 3.1 * s, **spread), *limit) == 1


def test_a_report_without_spreads_is_compared_by_its_times(compared):
    known = {"forward_spread": None, "backward_spread": None}
    assert compared(each(backward_s=lambda s: 2.1 * s, **known), "--fail-if", "time:100%") == 1


def test_that_there_are_no_times_is_told(compared, capsys):
    untimed = lambda rows: [{**row, "forward_s": None, "backward_s": None} for row in rows]
    assert compared(untimed, "--fail-if", "time:20%") == 0
    assert "No times in both: have them measured" in capsys.readouterr().out
    assert compared(untimed) == 0
    assert "No times" not in capsys.readouterr().out


def test_what_only_one_has_is_told(compared, capsys):
    assert compared(lambda rows: [row for row in rows if row["node"] != "tanh"]) == 0
    assert "gone" in capsys.readouterr().out


def test_nothing_in_common_is_no_success(compared):
    assert compared(lambda rows: [{**row, "node": "other"} for row in rows]) == 1


@pytest.mark.parametrize(
    "text", ["error", "error:10", "speed:3x", "time:x", "error:10x;time:2x", "error:0x", "time:0.5x"]
)
def test_limits_that_are_none(text, compared, capsys):
    assert compared(lambda rows: rows, "--fail-if", text) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("such as error:10x,time:20%")


def test_limits():
    assert limits_of("error:10x, time:20%") == {"error": 10.0, "time": pytest.approx(1.2)}
    assert limits_of("") == {}


ROW = {"node": "a", "sample": "s", "check": "c", "primal": "x", "verdict": "pass"}
NO_REPORTS = [
    "",
    "[]",
    "{}",
    '{"rows": 3, "environment": {}}',
    '{"rows": [{}], "environment": {}}',
    json.dumps({"rows": [{**ROW, "relative_error": "much"}], "environment": {}}),
    json.dumps({"rows": [{**ROW, "verdict": "fine"}], "environment": {}}),
]


@pytest.mark.parametrize("content", NO_REPORTS)
def test_files_that_are_no_reports(content, tmp_path, capsys):
    path = tmp_path / "some.json"
    path.write_text(content)
    assert cli.main(["compare", str(path), str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "is no report of gradlab's: write one with --format json" in line
    assert cli.main(["compare", str(tmp_path / "none.json"), str(path)]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_json(envelope, tmp_path, capsys):
    (tmp_path / "a.json").write_text(json.dumps(envelope))
    assert cli.main(["compare", str(tmp_path / "a.json"), str(tmp_path / "a.json"), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"]
