"""The command line: output, exit status, and what it says to bad input."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from gradlab import cli, commands
from gradlab.commands import verify as verify_command


def test_verify_all(capsys):
    assert cli.main(["verify", "add", "relu"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("All right: all 2 agree with the numerical gradient.\n")
    assert "2 functions, " in out
    assert err == ""


def test_python_m_gradlab_does_the_same():
    done = subprocess.run([sys.executable, "-m", "gradlab", "verify", "add"], capture_output=True, text=True)
    assert done.returncode == 0
    assert "All right: add agrees" in done.stdout


@pytest.mark.parametrize("command", [["verify", "exp"], ["list"], ["list", "--family", "loss"]])
def test_json_is_alone_on_stdout(command, capsys):
    assert cli.main([*command, "--format", "json"]) == 0
    out, err = capsys.readouterr()
    envelope = json.loads(out)
    assert list(envelope) == ["ok", "environment", "rows"]
    assert envelope["rows"]
    assert err == ""


def test_method_central_keeps_the_textbooks(capsys):
    assert cli.main(["verify", "add", "exp", "--method", "central", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {
        row["evaluations"]
        for row in rows
        if row["check"] == "matches_numerical" and row["sample"] == "scalar"
    } == {5}


def test_the_error_table_shows_what_the_better_reference_buys(tmp_path):
    cli.main(["verify", "exp", "--output", str(tmp_path)])
    header = (tmp_path / "errors.md").read_text()
    assert "textbook's error, h = 1e-4" in header
    assert "sensitivity" in header


def test_sweep_shows_the_v(capsys, tmp_path):
    assert cli.main(["sweep", "exp", "--format", "json", "--output", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    rows = json.loads(out)["rows"]
    assert len(rows) == 15
    central = [row["central"] for row in rows]
    assert min(central) < central[0] / 1e3
    assert min(central) < central[-1] / 1e3
    assert rows[9]["complex_step"] < 1e-14
    assert rows[1]["extrapolated"] < rows[1]["central"] < rows[1]["forward"]
    assert (tmp_path / "sweep_exp.md").exists()
    assert err.count("wrote") >= 1


def test_sweep_never_trusts_a_complex_step_where_forward_is_not_analytic(capsys):
    cli.main(["sweep", "sigmoid", "--format", "json"])  # it takes |x| in forward
    envelope = json.loads(capsys.readouterr().out)
    assert {row["complex_step"] for row in envelope["rows"]} == {None}
    assert "adaptive" in envelope["environment"]["truth"]


def test_sketch_fits_a_terminal():
    from gradlab.nodes import NODES
    from gradlab.running.step_sweep import sketch, sweep

    drawn = sketch(sweep(NODES["exp"])[0])
    assert max(map(len, drawn.splitlines())) <= 80
    assert "f" in drawn.splitlines()[1]


def test_explain(capsys):
    assert cli.main(["explain", "affine"]) == 0
    out = capsys.readouterr().out
    for part in ("Affine layer", "forward:", "forward(x, W, b)", "batch of 1", "W (3, 4)", "sensitivity"):
        assert part in out


def test_list_counts_samples(capsys):
    cli.main(["list", "--format", "markdown"])
    out = capsys.readouterr().out
    assert "| affine" in out
    assert "x, W, b" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "sigmoyd"], "no node is named 'sigmoyd': did you mean sigmoid or"),
        (["verify", "xyzzy"], "gradlab list shows all"),
        (["verify", "--family", "losses"], "did you mean loss?"),
        (["verify", "add", "--checks", "zebra"], "there are matches_numerical, any_layout"),
        (["list", "--family", "zebra"], "there are activation"),
        (["sweep", "affine", "--primal", "q"], "there are x, W, b"),
        (["explain", "sigmoyd"], "did you mean sigmoid"),
        (["mnist", "--data", "/nowhere"], "/nowhere"),
        (["verify", "add", "--output", "/proc/nowhere"], "/proc/nowhere cannot be written"),
    ],
)
def test_unusable_input_is_one_line_and_status_2(arguments, message, capsys):
    assert cli.main(arguments) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert len(err.splitlines()) == 1
    assert out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verfy"], "there is no command 'verfy': did you mean verify?"),
        (["zzz"], "there is no command 'zzz': there are verify, gates"),
        (["verify", "--seed", "-1"], "seed"),
        (["verify", "--format", "yaml"], "yaml"),
        (["mnist", "--steps", "0"], "'0' is no whole number from 1 up"),
        (["mnist", "--steps", "many"], "'many' is no whole number"),
        (["mnist", "--learning-rate", "fast"], "no positive number"),
        (["mnist", "--learning-rate", "nan"], "no positive number"),
    ],
)
def test_a_bad_call_is_one_line_and_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert message in err
    assert "--help" in err
    assert len(err.splitlines()) == 1


def test_output_writes_both_pages(tmp_path, capsys):
    assert cli.main(["verify", "add", "relu", "--output", str(tmp_path)]) == 0
    errors, timings = (tmp_path / "errors.md").read_text(), (tmp_path / "timings.md").read_text()
    assert f"Made by `gradlab verify add relu --output {tmp_path}`" in errors
    assert "| add" in errors
    assert "at the kink" in errors
    assert "µs" not in errors, "a report of errors is free of times"
    assert "µs" in timings
    assert "relative error" not in timings
    assert sorted(p.name for p in tmp_path.iterdir()) == ["errors.md", "timings.md"]


def test_a_reader_that_stops_early():
    process = subprocess.Popen(
        [sys.executable, "-m", "gradlab", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.wait() == 0
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT, which Windows has not")
def test_ctrl_c_keeps_what_was_reached(tmp_path):
    command = [sys.executable, "-m", "gradlab", "mnist", "--data", "digits", "--gradient", "backprop",
               "--steps", "10000000", "--format", "json", "--output", str(tmp_path)]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(12)  # the digits are drawn, and training is under way
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    rows = json.loads(out)["rows"]
    assert rows[-1]["step"] > 0
    assert "Interrupted" in (tmp_path / "mnist.partial.md").read_text()


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(command in out for command in ("verify", "list", "mnist"))


def test_a_dropped_in_command_is_found(tmp_path, monkeypatch, capsys):
    (tmp_path / "hello.py").write_text(
        "HELP = 'greet'\n"
        "def add_arguments(parser):\n    parser.add_argument('whom')\n"
        "def run(arguments, command):\n    print(f'hello {arguments.whom}, from {command}')\n    return 0\n"
    )
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path)])
    assert cli.main(["hello", "world"]) == 0
    assert capsys.readouterr().out == "hello world, from gradlab hello world\n"
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    assert list(names_in_help(capsys.readouterr().out)) == [*cli.FIRST, "hello"]


def names_in_help(text):
    return (line.split()[0] for line in text.splitlines() if line.startswith("    ") and line[4] != " ")


def test_verify_takes_a_budget(capsys):
    command = ["verify", "exp", "--checks", "matches_numerical", "--format", "json"]
    assert cli.main([*command, "--max-seconds", "1e-9"]) == 0
    explored = json.loads(capsys.readouterr().out)["environment"]["explored"]
    assert all("max_seconds=1e-09 was used up, raise it" in places["cut"] for places in explored)
    assert cli.main([*command, "--max-evaluations", "1"]) == 0
    explored = json.loads(capsys.readouterr().out)["environment"]["explored"]
    assert all("max_evaluations=1 was used up, raise it" in places["cut"] for places in explored)
    assert cli.main(command) == 0
    explored = json.loads(capsys.readouterr().out)["environment"]["explored"]
    assert not any(places["cut"] for places in explored)


@pytest.mark.parametrize(
    ("more", "timed"), [([], False), (["--timings"], True), (["--format", "json"], True)]
)
def test_only_times_that_are_shown_are_taken(monkeypatch, more, timed):
    asked = {}
    real = verify_command.verify
    monkeypatch.setattr(verify_command, "verify", lambda *a, **k: real(*a, **asked.setdefault("given", k)))
    assert cli.main(["verify", "exp", *more]) == 0
    assert asked["given"]["timings"] is timed
