"""The pytest plugin: the fixture `gradcheck`, a marker, two options and a summary.

pytest imports it at every start, so it imports nothing but pytest: what checks gradients is loaded by the first test
that asks for it.
"""

import argparse
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gradlab.report import Report
    from gradlab.testing import GradCheck
    from gradlab.testing.check_record import Record

MARKER = """\
gradlab(rtol=None, atol=None, seed=0, strict=..., explore=True, max_seconds=..., max_evaluations=None): what the \
checks of gradcheck and node_check are passed, where they take it and the call gives nothing else.\
"""
# The reports that a test made since its last phase ended, packed.
UNTOLD = pytest.StashKey[list[str]]()
# Where each test stands among all.
PLACES = pytest.StashKey[dict[pytest.Item, int]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("gradlab", "gradient checks")
    group.addoption(
        "--gradlab-report",
        metavar="DIR",
        help="write gradlab.md and gradlab.json there, on all gradients that the run checks",
    )
    group.addoption(
        "--gradlab-html",
        metavar="FILE",
        help="write one page for a browser there, on all gradients that the run checks",
    )
    group.addoption(
        "--gradlab-seed",
        metavar="N",
        type=_seed,
        help="seed of the cotangents, where the marker gradlab gives none (default: that of [tool.gradlab], or 0)",
    )


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 up")
    return int(text)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker and, in the process where the reports come together, the collector."""
    config.addinivalue_line("markers", MARKER)
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.pluginmanager.register(Collector(config), "gradlab-collector")


@pytest.fixture
def gradcheck(request: pytest.FixtureRequest) -> "GradCheck":
    """Check gradients: ``gradcheck(forward, backward, primals)``, ``gradcheck.layer(layer, *inputs)``, and others.

    Each fails the test with gradlab's report where a gradient is wrong, and returns the report where all is right.
    """
    return _gradcheck(request)


@pytest.fixture
def node_check(request: pytest.FixtureRequest) -> "Callable[[], Report]":
    """Run one check at one sample of a node: the argument of a test under ``gradlab.testing.parametrize_nodes``."""
    case = _parameter(request, "parametrize_nodes")
    gradcheck = _gradcheck(request)  # not the fixture: a suite may have one of its own by that name
    return lambda: gradcheck.run(case.report)


@pytest.fixture
def node_call(request: pytest.FixtureRequest) -> "Callable[[], object]":
    """One call to be timed: the argument of a test under ``gradlab.testing.parametrize_benchmarks``."""
    call: Callable[[], object] = _parameter(request, "parametrize_benchmarks").call()
    return call


def _parameter(request: pytest.FixtureRequest, decorator: str) -> Any:
    """Return what a decorator of `gradlab.testing` gives a fixture; fail the test where there is none."""
    found = getattr(request, "param", None)
    if found is None:
        cure = f"decorate the test with gradlab.testing.{decorator}(registry)"
        pytest.fail(f"{request.fixturename} has no node: {cure}", pytrace=False)
    return found


def _gradcheck(request: pytest.FixtureRequest) -> "GradCheck":
    from gradlab.testing.check_record import packed, properties
    from gradlab.testing.gradcheck import GradCheck
    from gradlab.testing.marker_options import options_for

    untold = request.node.stash.setdefault(UNTOLD, [])
    try:
        options = options_for(request.node)
    except ValueError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None

    def record(report: "Report") -> None:
        untold.append(packed(report))
        request.node.user_properties.extend(properties(report))

    return GradCheck(options, record)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach what was checked to pytest's report, which travels between processes."""
    report = yield
    untold = item.stash.get(UNTOLD, None)
    if untold:
        report.__dict__["gradlab"] = {**_whereabouts(item), "reports": list(untold)}
        untold.clear()
    return report


@pytest.hookimpl(specname="pytest_runtest_makereport")
def pytest_gradlab_leave_frames_out(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Let pytest show a failure without gradlab's frames."""
    # no wrapper: pytest's unittest plugin puts the exception of a TestCase there before this, and after wrappers
    if call.excinfo and UNTOLD in item.stash and not item.config.getoption("fulltrace", False):
        from gradlab.testing.user_frames import leave_own_frames_out

        leave_own_frames_out(call.excinfo.value)
        call.excinfo = pytest.ExceptionInfo.from_exception(call.excinfo.value)


def _whereabouts(item: pytest.Item) -> dict[str, Any]:
    parameters = getattr(item, "callspec", None)
    function = item.nodeid.rpartition(f"[{parameters.id}]")[0] if parameters else item.nodeid
    places = item.session.stash.setdefault(PLACES, {})
    if not places:
        places.update({each: place for place, each in enumerate(item.session.items)})
    return {"function": function, "place": places.get(item, len(places))}


class Collector:
    """The collector of what the tests of a run checked, in whatever process; it reports at the end of the run."""

    def __init__(self, config: pytest.Config) -> None:
        self._folder: Path | None = None
        self._page: Path | None = None
        self._found: dict[tuple[str, str], dict[str, Any]] = {}
        self._told: list[str] = []
        if config.option.gradlab_report is not None:
            self._folder = config.invocation_params.dir / config.option.gradlab_report
            _make(self._folder)
        if config.option.gradlab_html is not None:
            self._page = config.invocation_params.dir / config.option.gradlab_html
            _make(self._page.parent, "--gradlab-html")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the reports of one phase of a test, and the outcome of that phase."""
        key = report.nodeid, getattr(report, "worker_id", "")  # --dist=each runs each test in each process
        if report.when == "setup":
            self._found.pop(key, None)  # it is run again
        checked = getattr(report, "gradlab", None)
        if checked:
            found = self._found.setdefault(key, {**checked, "outcome": "passed", "reports": []})
            found["reports"] += checked["reports"]
        if key in self._found and not report.passed:
            found = self._found[key]
            found["outcome"] = _worse(found["outcome"], report)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the files."""
        if self._folder is None and self._page is None:
            return
        from gradlab.report.envelope import environment
        from gradlab.testing.marker_options import seed_of
        from gradlab.testing.run_report import write, write_html

        ended_early = session.shouldstop or session.shouldfail  # by -x, for one
        interrupted = bool(ended_early) or session.exitstatus == pytest.ExitCode.INTERRUPTED
        records, where = self._records(), environment(seed=seed_of(session.config))
        folder, page = self._folder, self._page
        if folder:
            self._tell(
                session, lambda: write(records, folder, where, interrupted), folder, "--gradlab-report"
            )
        if page:
            self._tell(
                session, lambda: [write_html(records, page, where, interrupted)], page, "--gradlab-html"
            )

    def _tell(
        self, session: pytest.Session, write: Callable[[], list[Path]], place: Path, option: str
    ) -> None:
        """Write files, and keep what is to be said of them."""
        try:
            self._told += [f"wrote {path}" for path in write()]
        except OSError as error:
            self._told.append(_unwritable(place, error, option))
            session.exitstatus = session.exitstatus or pytest.ExitCode.USAGE_ERROR

    def pytest_terminal_summary(self, terminalreporter: "pytest.TerminalReporter") -> None:
        """Print the table, if something was checked, and which files were written."""
        if self._found or self._told:
            terminalreporter.section("gradients")
        if self._found:
            from gradlab.testing.run_report import table, warnings

            records = self._records()
            # nobody folds what is kept, and a terminal has only so many columns
            style = "terminal" if terminalreporter.isatty else "simple"
            for text in filter(None, [table(records, style), warnings(records)]):
                terminalreporter.write_line(f"{text}\n")
        for line in self._told:
            terminalreporter.write_line(line)

    def _records(self) -> "list[Record]":
        from gradlab.testing.check_record import Record, unpacked

        in_order = sorted(self._found.items(), key=lambda found: (found[1]["place"], found[0]))
        return [
            Record(test, **{**found, "reports": [unpacked(text) for text in found["reports"]]})
            for (test, _), found in in_order
        ]


def _worse(outcome: str, report: pytest.TestReport) -> str:
    if report.failed or outcome == "failed":
        return "failed"
    return "xfailed" if hasattr(report, "wasxfail") else "skipped"


def _make(folder: Path, option: str = "--gradlab-report") -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(_unwritable(folder, error, option)) from None


def _unwritable(place: Path, error: OSError, option: str) -> str:
    what = "folder" if option == "--gradlab-report" else "file"
    return f"{place} cannot be written ({error.strerror}): give {option} a {what} that can be"
