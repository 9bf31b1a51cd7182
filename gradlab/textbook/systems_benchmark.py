"""The textbooks' systems, one row each: is the whole gradient right, what does it cost, what was learned."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from gradlab.report import Report, Row
from gradlab.report.envelope import environment, to_json
from gradlab.report.numbers import number, seconds
from gradlab.report.tables import table
from gradlab.report.text import failure_text
from gradlab.running.progress import progress_bar
from gradlab.textbook.models.model_check import check_model
from gradlab.textbook.systems import SYSTEMS, System, first_rows
from gradlab.workers.blas_threads import one_blas_thread


@dataclass(frozen=True)
class SystemRow:
    """The check and the training of one system.

    Attributes
    ----------
    system : System
    parameters : int
        How many numbers its gradient has.
    rows : sequence of Row
        One for each parameter and one for all of them; none where nothing has a gradient.
    learned : str
        What the training reached, in a few words.
    """

    system: System
    parameters: int
    rows: Sequence[Row]
    learned: str


@dataclass(frozen=True)
class ModelsReport:
    """The checks and the trainings of all systems.

    Attributes
    ----------
    systems : list of SystemRow
    interrupted : bool
        Whether Ctrl-C ended the run.
    environment : mapping
    """

    systems: list[SystemRow]
    interrupted: bool = False
    environment: Mapping[str, Any] = field(default_factory=environment)

    @property
    def ok(self) -> bool:
        """Whether every gradient is right."""
        return all(row.verdict.ok for found in self.systems for row in found.rows)

    def to_table(self, style: str) -> str:
        """Return one row a system in one of tabulate's styles, then every failure in full."""
        headers = (
            "system", "network", "parameters", "relative error", "verdict",
            "numerical", "backprop", "numerical / backprop", "learned",
        )  # fmt: skip
        shown = [
            (found.system.name, found.system.network, *_gradient(found), found.learned)
            for found in self.systems
        ]
        wrong = failure_text(Report([row for found in self.systems for row in found.rows]), style)
        cut = "Interrupted: this is how far it came." if self.interrupted else ""
        return "\n\n".join(filter(None, [table(headers, shown, style), wrong, cut]))

    def to_json(self) -> str:
        """Return the envelope; a row is that of a parameter with its system, or what the system learned."""
        rows: list[dict[str, Any]] = []
        for found in self.systems:
            of = {"system": found.system.name, "network": found.system.network}
            rows += [{**of, **asdict(row)} for row in found.rows]
            rows.append({**of, "parameters": found.parameters, "learned": found.learned})
        return to_json(self.ok, rows, self.environment)


@one_blas_thread()
def verify_models(progress: bool = False) -> ModelsReport:
    """Check the gradient of every system before training, by `check_model`, and then train the system.

    Parameters
    ----------
    progress : bool
        Whether to show a bar on stderr when that is a terminal.
    """
    found: list[SystemRow] = []
    with progress_bar(len(SYSTEMS), "system", shown=progress) as bar:
        for system in SYSTEMS:
            bar.set_description(system.name)
            try:
                found.append(_look_at(system))
            except KeyboardInterrupt:
                return ModelsReport(found, interrupted=True)
            bar.update()
    return ModelsReport(found)


def _look_at(system: System) -> SystemRow:
    if system.build is None:
        return SystemRow(system, 0, [], system.learn(None, None, None))
    model, x, t = system.build()
    batch = first_rows(x, system.batch), first_rows(t, system.batch)
    rows = check_model(model, *batch, name=system.name).rows
    params = model.params.values() if isinstance(model.params, Mapping) else model.params
    return SystemRow(system, sum(p.size for p in params), rows, system.learn(model, x, t))


def _gradient(found: SystemRow) -> tuple[str, ...]:
    """Return the cells of the whole gradient, empty where there is none."""
    if not found.rows:
        return ("",) * 6
    *_, whole = found.rows
    times = seconds(whole.numerical_s), seconds(whole.backward_s), f"{whole.speedup:,.0f}x"
    return (f"{found.parameters:,}", number(whole.relative_error), str(whole.verdict), *times)
