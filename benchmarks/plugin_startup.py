"""What the pytest plugin costs a project that does not use it: ``python benchmarks/plugin_startup.py``.

``pytest --collect-only`` is run by turns in two environments that hold pytest and what it needs, and nothing else; in
one of them gradlab is there too, with the entry point and the list of files of an installed wheel. The best of several
runs counts: whatever else the machine does only ever adds.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from time import perf_counter

from gradlab.report.numbers import seconds
from gradlab.report.tables import table

ROOT = Path(__file__).parent.parent
STYLES = {"table": "simple", "markdown": "github"}
PYTEST = ("pytest", "pluggy", "iniconfig", "packaging", "pygments")


def link_installed(names: tuple[str, ...], site: Path) -> None:
    """Link what these distributions have installed."""
    for name in names:
        installed = distribution(name)
        tops = {file.parts[0] for file in installed.files or () if ".." not in file.parts}
        for top in tops - {"__pycache__"}:
            (site / top).symlink_to(installed.locate_file(top))


def link_gradlab(site: Path) -> None:
    """Link the checkout's package, and describe it as the installer of a wheel does."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (site / "gradlab").symlink_to(ROOT / "gradlab")
    described = site / f"gradlab-{about['version']}.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: gradlab\nVersion: {about['version']}\n"
    )
    plugins = about["entry-points"]["pytest11"].items()
    (described / "entry_points.txt").write_text(
        "\n".join(["[pytest11]", *(f"{k} = {v}" for k, v in plugins)])
    )
    files = sorted(path.relative_to(ROOT) for path in (ROOT / "gradlab").rglob("*.py"))
    (described / "RECORD").write_text("".join(f"{file},,\n" for file in files))


def collect(project: Path, sites: list[Path]) -> tuple[float, str]:
    """Return the time of one ``pytest --collect-only``, and what it printed."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(map(str, sites))}
    # -S: without the site-packages of this environment, which has other plugins
    command = [sys.executable, "-S", "-m", "pytest", "--collect-only", "-p", "no:cacheprovider"]
    start = perf_counter()
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=True)
    return perf_counter() - start, done.stdout


def measure(runs: int) -> dict[str, list[float]]:
    """Return the times without and with gradlab."""
    with tempfile.TemporaryDirectory() as folder:
        project, plain, plugin = (Path(folder, name) for name in ("project", "plain", "plugin"))
        for path in (project, plain, plugin):
            path.mkdir()
        (project / "pytest.ini").write_text("[pytest]\n")
        (project / "test_one.py").write_text("def test_one():\n    assert True\n")
        link_installed(PYTEST, plain)
        link_gradlab(plugin)
        places = {"without gradlab": [plain], "with gradlab": [plain, plugin]}
        for name, sites in places.items():  # the first run of each compiles
            assert ("plugins: gradlab" in collect(project, sites)[1]) is (name == "with gradlab")
        times: dict[str, list[float]] = {name: [] for name in places}
        for _ in range(runs):
            for name, sites in places.items():
                times[name].append(collect(project, sites)[0])
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--format", choices=STYLES, default="table")
    arguments = parser.parse_args()
    times = measure(arguments.runs)
    rows = [(name, seconds(min(of)), seconds(statistics.median(of))) for name, of in times.items()]
    without, with_it = (min(of) for of in times.values())
    print(table(("pytest --collect-only", "best", "median"), rows, STYLES[arguments.format]))
    print(f"\nratio of the best of {arguments.runs}: {with_it / without:.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
