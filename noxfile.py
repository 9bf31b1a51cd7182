"""The project's jobs, each in an environment of its own; ``nox --list`` names them."""

import re
import shutil
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import nox

ROOT = Path(__file__).parent
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]

nox.options.sessions = ["lint", "tests"]
nox.options.download_python = "never"  # an interpreter that is not here is skipped, and said to be


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests, or those that are named: nox -s tests-3.12 -- tests/commands -x."""
    session.install(".[test]")
    session.run("pytest", *(session.posargs or ["-n", "auto"]))


@nox.session
def lint(session: nox.Session) -> None:
    """Run the linters that .ci/run runs."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
    session.run("bandit", "--quiet", "--configfile", "pyproject.toml", "--recursive", "gradlab")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site, into build/site or where --site-dir says."""
    session.install("-e", ".[docs]")
    session.run("mkdocs", "build", "--strict", *session.posargs)


@nox.session(python=PYTHONS)
def wheel(session: nox.Session) -> None:
    """Build, and try the wheel in a fresh environment elsewhere; -- FOLDER: try the one that lies there."""
    with tempfile.TemporaryDirectory() as made:
        work = Path(made)
        dist = Path(session.posargs[0]).resolve() if session.posargs else work / "dist"
        if not session.posargs:
            build(session, dist)
        wheels = list(dist.glob("*.whl"))
        if len(wheels) != 1:
            session.error(f"{dist} has {len(wheels)} wheels: name a folder with one")
        # what builds and checks the wheel needs rich as well: beside it a forgotten dependency would not be missed
        session.run("python", "-m", "venv", str(work / "outside"))
        programs = work / "outside" / Path(session.bin).name
        with session.chdir(work):
            try_out(session, str(programs / "python"), str(programs / "gradlab"), wheels[0])


def try_out(session: nox.Session, python: str, gradlab: str, archive: Path) -> None:
    """Install the wheel for ``python``, where nothing is installed, and run what a user runs first."""

    def run(*command: str, silent: bool = False) -> str:
        return str(session.run(*command, silent=silent, external=True, env={"PYTHONPATH": None}))

    run(python, "-m", "pip", "install", "--quiet", str(archive))
    run(python, "-m", "pip", "check")
    run(python, "-c", "import gradlab, sys; assert gradlab.__file__.startswith(sys.prefix), gradlab.__file__")
    run(python, "-c", "import gradlab; from gradlab import *; print(len(gradlab.__all__), 'public names')")
    told, version = run(gradlab, "--version", silent=True).strip(), project_of(ROOT)["version"]
    if told != f"gradlab {version}":
        session.error(f"{archive.name} says {told!r}, pyproject.toml {version}: build it again")
    session.log(told)
    run(gradlab, "verify", "--family", "arithmetic")


@nox.session(default=False)
def release(session: nox.Session) -> None:
    """Build into dist what a tag publishes, if nothing stands against it: nox -s release -- v0.2.0."""
    if len(session.posargs) != 1:
        session.error("of which tag? nox -s release -- v" + project_of(ROOT)["version"])
    against = against_release(ROOT, session.posargs[0])
    for line in against:
        session.warn(line)
    if against:
        session.error("not to be released as it is")
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    build(session, ROOT / "dist")


def build(session: nox.Session, dist: Path) -> None:
    """Build the sdist, from it the wheel, and refuse what an index would refuse or show badly."""
    session.install("build", "twine")
    session.run("python", "-m", "build", "--outdir", str(dist), str(ROOT))
    session.run("twine", "check", "--strict", *(str(archive) for archive in sorted(dist.iterdir())))


def project_of(root: Path) -> dict[str, Any]:
    """Return the table [project] of pyproject.toml."""
    about: dict[str, Any] = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return about


def against_release(root: Path, tag: str) -> list[str]:
    """Return what stands against a release of ``root`` under ``tag``: lines that end with the cure."""
    project = project_of(root)
    version = project["version"]
    found = []
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, the version in pyproject.toml {version}: make them the same")
    heading = re.search(r"^## (.*)$", (root / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    top = heading[1] if heading else ""
    dated = re.fullmatch(re.escape(version) + r" - (\d{4}-\d\d-\d\d)", top)
    if not dated:
        found.append(f'CHANGELOG.md begins with "## {top}": begin it with "## {version} - YEAR-MONTH-DAY"')
    lines = (root / "CITATION.cff").read_text("utf-8").splitlines()
    wanted = [f"version: {version}", *([f"date-released: {dated[1]}"] if dated else [])]
    found.extend(
        f"CITATION.cff says another thing: write there {line}" for line in wanted if line not in lines
    )
    if not project.get("urls"):
        found.append(
            "pyproject.toml has no [project.urls], and an installed gradlab would not say where it comes from: "
            'add the table, with Source = "https://..."'
        )
    return found
