"""What a release is held to: the version, the citation, the forms, and the workflow that publishes."""

import re
import runpy
import shutil
import sys
import tomllib
from datetime import date
from unittest.mock import MagicMock

import pytest
import yaml

MAJOR = re.compile(r"[\w-]+/[\w-]+@(release/)?v\d+")


@pytest.fixture
def noxfile(root, monkeypatch):
    # its checks need nothing of nox, which need not be installed
    monkeypatch.setitem(sys.modules, "nox", MagicMock())
    return runpy.run_path(str(root / "noxfile.py"))


@pytest.fixture
def about(root, noxfile):
    return noxfile["project_of"](root)


@pytest.fixture
def read(root):
    return lambda path: yaml.safe_load((root / path).read_text("utf-8"))


@pytest.fixture
def workflow(read):
    return read(".github/workflows/release.yml")


@pytest.fixture
def copy(root, tmp_path):
    for name in ("pyproject.toml", "CHANGELOG.md", "CITATION.cff"):
        shutil.copy(root / name, tmp_path)
    return tmp_path


def change(path, pattern, text):
    changed, times = re.subn(pattern, text, path.read_text("utf-8"), count=1, flags=re.MULTILINE)
    assert times == 1
    path.write_text(changed, "utf-8")


def releasable(folder, version):
    """Make of a copy what could be released: what the checkout lacks of it must not matter here."""
    change(folder / "CHANGELOG.md", r"^## .*$", f"## {version} - 2031-02-03")
    change(folder / "CITATION.cff", r"^date-released: .*$", "date-released: 2031-02-03")
    if "[project.urls]" not in (folder / "pyproject.toml").read_text("utf-8"):
        urls = '[project.urls]\nSource = "https://example.org"\n\n[project.scripts]'
        change(folder / "pyproject.toml", r"^\[project\.scripts\]$", urls)


def test_the_newest_release_of_the_changelog_is_the_version_everywhere(root, about):
    headings = re.findall(r"^## (.*)$", (root / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    version, day = next(heading for heading in headings if heading != "Unreleased").split(" - ")
    date.fromisoformat(day)
    citation = (root / "CITATION.cff").read_text("utf-8").splitlines()
    assert about["version"] == version
    assert f"version: {version}" in citation
    assert f"date-released: {day}" in citation


def test_the_citation(read, about):
    citation = read("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == about["license"]
    assert all(citation[key] for key in ("message", "title", "abstract", "authors", "keywords"))


def test_a_release_that_nothing_stands_against(noxfile, copy, about):
    releasable(copy, about["version"])
    assert noxfile["against_release"](copy, f"v{about['version']}") == []


@pytest.mark.parametrize(
    "file, pattern, text, told",
    [
        ("pyproject.toml", '^version = ".*"$', 'version = "9.9.9"', "the tag is .*: make them the same"),
        (
            "CHANGELOG.md",
            "^## .*$",
            "## Unreleased",
            'CHANGELOG.md begins with "## Unreleased": begin it with .*',
        ),
        ("CHANGELOG.md", "^## .*$", "## 9.9.9 - 2031-02-03", 'CHANGELOG.md begins with "## 9.9.9 - 2031-.*'),
        ("CITATION.cff", "^version: .*$", "version: 9.9.9", "CITATION.cff .*: write there version: .*"),
        ("CITATION.cff", "^date-released: .*$", "", "CITATION.cff .*: write there date-released: 2031-02-03"),
        (
            "pyproject.toml",
            r"^\[project\.urls\]$",
            "[tool.urls]",
            r".* no \[project.urls\].*: add the table, .*",
        ),
    ],
)
def test_what_stands_against_a_release_is_one_line_with_the_cure(
    noxfile, copy, about, file, pattern, text, told
):
    releasable(copy, about["version"])
    change(copy / file, pattern, text)
    against = noxfile["against_release"](copy, f"v{about['version']}")
    assert re.fullmatch(told, against[0])
    # another version in pyproject.toml is another one than each of the other files has
    assert len(against) == (3 if "version = " in text else 1)


def test_the_pythons_are_the_same_everywhere(noxfile, about, workflow):
    head = "Programming Language :: Python :: 3."
    declared = [line.rpartition(" ")[2] for line in about["classifiers"] if line.startswith(head)]
    assert noxfile["PYTHONS"] == declared
    assert about["requires-python"] == f">={declared[0]}"
    assert workflow["jobs"]["try"]["strategy"]["matrix"]["python"] == declared


def test_the_sdist_holds_what_there_is(root):
    tool = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["tool"]
    included = tool["hatch"]["build"]["targets"]["sdist"]["include"]
    assert [name for name in included if not (root / name.lstrip("/")).exists()] == []


def test_the_workflow_runs_on_tags_and_may_do_no_more_than_it_needs(workflow):
    assert workflow[True] == {"push": {"tags": ["v*"]}}  # YAML reads the key "on" as true
    assert workflow["permissions"] == {}
    jobs = workflow["jobs"]
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "build": {"contents": "read"},
        "try": {"contents": "read"},
        "publish": {"id-token": "write"},
    }
    assert jobs["publish"]["environment"]
    assert set(jobs["publish"]["needs"]) == {"build", "try"}
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert all(MAJOR.fullmatch(step["uses"]) for step in steps if "uses" in step)
    assert not any("run" in step for step in jobs["publish"]["steps"])
    checkouts = [step for step in steps if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_what_is_published_is_what_was_built_and_tried(workflow):
    jobs = workflow["jobs"]
    moved = [
        (name, step["uses"].partition("@")[0].rpartition("/")[2], step["with"])
        for name, job in jobs.items()
        for step in job["steps"]
        if "artifact" in step.get("uses", "")
    ]
    assert [(name, action) for name, action, _ in moved] == [
        ("build", "upload-artifact"),
        ("try", "download-artifact"),
        ("publish", "download-artifact"),
    ]
    assert {(given["name"], given["path"]) for _, _, given in moved} == {("dist", "dist/")}


def test_the_workflow_only_calls_sessions_that_run_here_as_well(root, workflow):
    jobs = workflow["jobs"]
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert commands == {
        "build": ["python -m pip install nox", 'nox -s release -- "$GITHUB_REF_NAME"'],
        "try": ["python -m pip install nox", "nox -s wheel-${{ matrix.python }} -- dist"],
        "publish": [],
    }
    sessions = re.findall(
        r"^@nox\.session.*\ndef (\w+)", (root / "noxfile.py").read_text("utf-8"), re.MULTILINE
    )
    assert {"tests", "wheel", "docs", "lint", "release"} == set(sessions)


def test_the_forms_ask_for_what_an_answer_needs(root, read):
    files = sorted((root / ".github" / "ISSUE_TEMPLATE").glob("[0-9]*.yml"))
    forms = [read(path.relative_to(root)) for path in files]
    assert [form["name"] for form in forms] == [
        "A right gradient was called wrong",
        "A wrong gradient passed",
        "A crash or an unclear message",
        "A question or a wish",
    ]
    asked = []
    for form in forms:
        assert form["description"]
        fields = [field for field in form["body"] if field["type"] != "markdown"]
        assert all(field["attributes"]["label"] for field in fields)
        assert len({field["attributes"]["label"] for field in fields}) == len(fields)
        assert len({field["id"] for field in fields}) == len(fields)
        asked.append([field["id"] for field in fields if field.get("validations", {}).get("required")])
    assert asked == [
        ["code", "point", "output", "right", "versions"],
        ["code", "wrong", "output", "versions"],
        ["code", "output", "versions"],
        ["text"],
    ]
    assert read(".github/ISSUE_TEMPLATE/config.yml")["blank_issues_enabled"] is False
