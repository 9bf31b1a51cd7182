import json

import pytest

from gradlab import cli
from gradlab.running.project_settings import project_settings
from gradlab.running.selection import UnknownNameError


def write(folder, text):
    (folder / "pyproject.toml").write_text(text)


def test_the_nearest_table_counts(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert project_settings(tmp_path / "a" / "b") == {}
    write(tmp_path, "[tool.gradlab]\nseed = 3\nmax_seconds = 2.5\n")
    write(tmp_path / "a", "[project]\nname = 'other'\n")
    assert project_settings(tmp_path / "a" / "b") == {"seed": 3, "max_seconds": 2.5}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.gradlab]\nsed = 3\n", "knows no 'sed': give rtol, atol, seed"),
        ("[tool.gradlab]\nseed = 'x'\n", "the seed is 'x': give a whole number"),
        ("[tool.gradlab]\nstrict = 1\n", "strict is 1: give True or False"),
        ("[tool.gradlab]\nworkers = 2.5\n", "workers is 2.5: give a whole number from 1 up"),
        ("[tool.gradlab]\nworkers = 'two'\n", "workers is 'two': give a whole number from 1 up"),
        ("[tool]\ngradlab = 3\n", r"write \[tool.gradlab\]"),
        ("[tool\n", "mend it"),
    ],
)
def test_a_table_that_cannot_be_used(text, said, tmp_path, monkeypatch, capsys):
    write(tmp_path, text)
    with pytest.raises(UnknownNameError, match=said):
        project_settings(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["list"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gradlab: ")


def test_the_command_line_takes_them_where_nothing_else_is_said(tmp_path, monkeypatch, capsys):
    write(tmp_path, "[tool.gradlab]\nseed = 7\n")
    monkeypatch.chdir(tmp_path)
    for more, seed in (([], 7), (["--seed", "2"], 2)):
        assert cli.main(["verify", "add", "--format", "json", *more]) == 0
        assert json.loads(capsys.readouterr().out)["environment"]["seed"] == seed


def test_pytest_takes_them_and_junit_has_what_was_found(project):
    with (project.path / "pyproject.toml").open("a") as file:
        file.write("[tool.gradlab]\nseed = 7\n")
    project.makepyfile(
        """
        import numpy as np
        def test_it(gradcheck):
            report = gradcheck(lambda x: (np.sin(x), x), lambda x, g: (np.cos(x) * g,), (np.ones(3),), name="sine")
            assert report.environment["seed"] == 7
        """
    )
    result = project.runpytest_subprocess(
        "-q", "--junitxml", "junit.xml", "--gradlab-report", "out", "-p", "no:cacheprovider"
    )
    result.assert_outcomes(passed=1)
    assert "seed 7" in (project.path / "out" / "gradlab.md").read_text()
    told = (project.path / "junit.xml").read_text()
    assert '<property name="gradlab.checked" value="sine"' in told
    assert '<property name="gradlab.verdict" value="pass"' in told
    assert '<property name="gradlab.relative_error"' in told
