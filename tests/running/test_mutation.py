"""gradlab mutate: what the checks notice of faults put in on purpose, counted."""

import json
import time
from dataclasses import asdict, replace

import numpy as np
import pytest

from gradlab import cli
from gradlab.checks import CHECKS
from gradlab.faults import Mutant
from gradlab.nodes import NODES
from gradlab.running import mutation
from gradlab.running.mutation import EQUIVALENT, KILLED, SURVIVING, MutationReport, mutate

SIGMOID = NODES["sigmoid"]


@pytest.fixture(scope="module")
def report():
    return mutate("sigmoid")


@pytest.fixture
def put_in(monkeypatch):
    """Return a function that puts these backwards, and no others, into sigmoid."""
    mutation._prepared.cache_clear()

    def these(**backwards):
        made = [
            Mutant("sigmoid", "made", name, lambda wrong=wrong: replace(SIGMOID, backward=wrong))
            for name, wrong in backwards.items()
        ]
        monkeypatch.setattr(mutation, "mutants", lambda node, seed: made)

    yield these
    mutation._prepared.cache_clear()


def sign_turned(residuals, g):
    return (-SIGMOID.backward(residuals, g)[0],)


def test_of_sigmoids_mutants_none_survives(report):
    assert report.ok
    assert len(report.rows) > 50
    assert {row.outcome for row in report.rows} <= {KILLED, EQUIVALENT}


def test_every_kill_names_its_killer(report):
    killers = {*CHECKS, *(f"{name} (explored)" for name in CHECKS), "time", "memory", "an error"}
    for row in report.rows:
        assert (row.outcome == KILLED) == bool(row.killed_by)
        assert row.killed_by in killers | {""}
    assert any(row.killed_by.endswith(" (explored)") for row in report.rows)


def test_the_seed_fixes_the_rows_and_the_number_of_workers_does_not_matter(report, monkeypatch):
    monkeypatch.setattr(mutation, "MUTANTS_A_TASK", 30)
    mutation._prepared.cache_clear()
    assert mutate("sigmoid", workers=2).rows == report.rows
    mutation._prepared.cache_clear()
    assert mutate("sigmoid").rows == report.rows
    assert mutate("sigmoid", seed=1).rows != report.rows


def test_what_judges_forward_alone_kills_nothing(report):
    blind = mutate("sigmoid", checks=["matches_reference"])
    assert not blind.ok
    assert len(blind.rows) == len(report.rows)
    assert {row.outcome for row in blind.rows} == {EQUIVALENT, SURVIVING}
    assert sum(row.outcome == EQUIVALENT for row in blind.rows) == sum(
        row.outcome == EQUIVALENT for row in report.rows
    )


@pytest.mark.parametrize(("check", "status"), [("matches_reference", 1), ("matches_numerical", 0)])
def test_the_exit_status_says_whether_any_survived(check, status, put_in, capsys):
    put_in(sign_turned=sign_turned)
    assert cli.main(["mutate", "sigmoid", "--checks", check]) == status
    out, err = capsys.readouterr()
    assert ("Surviving" in out) == bool(status)
    assert f"1 node, 1 mutant: {1 - status} killed, 0 equivalent, {status} surviving." in out
    assert err == ""


def never_ends(residuals, g):
    while True:
        pass


def eats_memory(residuals, g):
    kept = []
    while True:
        kept.append(np.empty(2**24))


def gives_up(residuals, g):
    raise SystemExit(3)


def raises(residuals, g):
    raise ZeroDivisionError("on purpose")


def test_what_never_ends_eats_memory_or_gives_up_is_killed_and_the_run_goes_on(put_in, monkeypatch):
    monkeypatch.setattr(mutation, "SECONDS", 0.5)
    monkeypatch.setattr(mutation, "MEMORY", 2**27)
    put_in(loop=never_ends, memory=eats_memory, exit=gives_up, error=raises, after=sign_turned)
    start = time.perf_counter()
    rows = mutate("sigmoid", checks=["matches_numerical"]).rows
    assert time.perf_counter() - start < 20
    assert [row.outcome for row in rows] == [KILLED] * 5
    assert [row.description for row in rows] == ["loop", "memory", "exit", "error", "after"]
    loop, memory, gave_up, *others = (row.killed_by for row in rows)
    assert (loop, gave_up, others) == ("time", "an error", ["matches_numerical"] * 2)
    assert memory in ("memory", "matches_numerical")
    assert "MemoryError" in rows[1].note
    assert "0.5 s" in rows[0].note
    assert "SystemExit" in rows[2].note
    assert "ZeroDivisionError: on purpose" in rows[3].note


def test_a_mutant_whose_making_fails_is_killed_too(monkeypatch, put_in):
    def fails():
        raise RuntimeError("no such node")

    monkeypatch.setattr(mutation, "mutants", lambda node, seed: [Mutant("sigmoid", "made", "none", fails)])
    (row,) = mutate("sigmoid").rows
    assert (row.outcome, row.killed_by) == (KILLED, "an error")
    assert "no such node" in row.note


def test_an_equivalent_mutant_without_a_reason_survives_and_says_where_to_put_one(put_in, monkeypatch):
    def same(residuals, g):
        return tuple(d * 1 for d in SIGMOID.backward(residuals, g))

    line = "larger, smaller = residuals -> smaller, larger = residuals"
    put_in(**{line: same, "wrong": sign_turned})
    assert NODES["sigmoid"].equivalent_mutants
    with_reason, wrong = mutate("sigmoid", checks=["matches_numerical"]).rows
    assert (with_reason.outcome, wrong.outcome) == (EQUIVALENT, KILLED)
    assert with_reason.note == "only their product is used"

    mutation._prepared.cache_clear()
    put_in(same=same)
    alone = mutate("sigmoid")
    assert not alone.ok
    assert alone.rows[0].outcome == SURVIVING
    assert "EQUIVALENT_MUTANTS" in alone.rows[0].note
    assert "EQUIVALENT_MUTANTS" in alone.to_table("simple")


def test_no_mutants_are_no_success(put_in):
    put_in()
    assert not mutate("sigmoid").ok


def cells(text, title):
    """Return the rows of the markdown table under a heading, as lists of their cells."""
    section = text.split(f"## {title}\n\n")[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines()[2:]]


def test_the_tables_count_by_node_by_fault_and_by_check(report):
    text = report.to_table("github")
    total, equal = len(report.rows), sum(row.outcome == EQUIVALENT for row in report.rows)
    ((node, *counts, by),) = cells(text, "By node")
    assert (node, counts) == ("sigmoid", [str(total), str(total - equal), str(equal), "0"])
    assert "matches_numerical" in by
    faults = cells(text, "By fault")
    assert [row[0] for row in faults] == list(dict.fromkeys(row.fault for row in report.rows))
    assert sum(int(row[1]) for row in faults) == total
    kills = dict(cells(text, "By the check that killed first"))
    assert set(CHECKS) <= set(kills)
    assert kills["matches_reference"] == kills["samples_can_fail"] == "0"
    assert int(kills["matches_numerical"]) > 0
    assert sum(map(int, kills.values())) == total - equal
    assert text.endswith(report.totals())


def test_json_is_the_envelope_alone(put_in, capsys):
    put_in(sign_turned=sign_turned)
    assert cli.main(["mutate", "sigmoid", "--seed", "3", "--format", "json"]) == 0
    out, err = capsys.readouterr()
    envelope = json.loads(out)
    assert list(envelope) == ["ok", "environment", "rows"]
    assert envelope["ok"] is True
    assert envelope["environment"]["seed"] == 3
    (row,) = envelope["rows"]
    assert (row["node"], row["description"], row["killed_by"]) == (
        "sigmoid",
        "sign_turned",
        "matches_numerical",
    )
    assert err == ""


def test_the_rows_of_the_report_are_those_of_the_json(report):
    rows = [asdict(row) | {"named": list(row.named)} for row in report.rows]
    assert json.loads(report.to_json())["rows"] == rows


def test_output_writes_the_page_whole_or_not_at_all(put_in, tmp_path, capsys, monkeypatch):
    put_in(sign_turned=sign_turned)
    command = ["mutate", "sigmoid", "--output", str(tmp_path / "new")]
    assert cli.main(command) == 0
    page = tmp_path / "new" / "mutation.md"
    text = page.read_text()
    assert f"Made by `gradlab {' '.join(command)}`" in text
    assert "1 node, 1 mutant: 1 killed" in text
    assert capsys.readouterr().err == f"wrote {page}\n"

    def no_room(*arguments):
        raise OSError(28, "No space left on device", str(page))

    monkeypatch.setattr("gradlab.report.files.os.replace", no_room)
    assert cli.main(command) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert page.read_text() == text
    assert [path.name for path in page.parent.iterdir()] == ["mutation.md"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sigmoyd"], "no node is named 'sigmoyd': did you mean sigmoid"),
        (["--family", "zebra"], "there are activation"),
        (["sigmoid", "--checks", "zebra"], "there are matches_numerical"),
        (["sigmoid", "--checks", "matches_numericel"], "did you mean matches_numerical"),
    ],
)
def test_an_unknown_name_is_one_line_and_status_2(arguments, message, capsys):
    assert cli.main(["mutate", *arguments]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert len(err.splitlines()) == 1
    assert out == ""


def test_ctrl_c_keeps_what_was_reached(put_in, monkeypatch, capsys):
    def interrupts(residuals, g):
        raise KeyboardInterrupt

    monkeypatch.setattr(mutation, "MUTANTS_A_TASK", 1)
    put_in(reached=sign_turned, interrupts=interrupts, after=sign_turned)
    cut = mutate("sigmoid")
    assert cut.interrupted
    assert [row.description for row in cut.rows] == ["reached"]
    assert cut.totals().endswith("Interrupted: the rest was not tried.")
    assert cli.main(["mutate", "sigmoid"]) == 130
    assert "Interrupted" in capsys.readouterr().out


def test_a_report_of_survivors_lists_them():
    row = mutation.MutantRow("n", "fault", "what was changed", "x", SURVIVING)
    text = MutationReport([row], ["matches_numerical"]).to_table("github")
    assert "## Surviving\n\n- n: fault: what was changed\n" in text


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"seed": -1}, "the seed is -1: give a whole number from 0 up"),
     ({"workers": 0}, "workers is 0: give a whole number from 1 up")],
)  # fmt: skip
def test_a_number_that_cannot_be_is_one_line_with_the_cure(wrong, message):
    with pytest.raises(ValueError, match=message):
        mutate("sigmoid", **wrong)
