"""The textbooks' systems, one row each: is the whole gradient right, what does it cost, what was learned."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gradlab.report import Report, Row
from gradlab.report.envelope import environment, to_json
from gradlab.report.figures import can_plot
from gradlab.report.files import write_atomically
from gradlab.report.tables import failures, number, seconds, table
from gradlab.textbook.datasets.spiral import make_spiral
from gradlab.textbook.descent import compare_batch_sizes, write_figures
from gradlab.textbook.four_equations import saturation, slow_weights
from gradlab.textbook.models.check_model import check_model
from gradlab.textbook.models.mlp import MLP, check_equations
from gradlab.textbook.systems import SYSTEMS, System, first_rows


@dataclass(frozen=True)
class SystemRow:
    """What was found of one system.

    Attributes
    ----------
    system : System
    parameters : int
        How many numbers its gradient has.
    rows : sequence of Row
        One for each parameter and one for all of them; none where nothing has a gradient.
    learned : str
        In a few words.
    """

    system: System
    parameters: int
    rows: Sequence[Row]
    learned: str


@dataclass(frozen=True)
class ModelsReport:
    """What was found of each system.

    Attributes
    ----------
    systems : list of SystemRow
    interrupted : bool
        Whether Ctrl-C ended it.
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
            "system", "network", "parameters", "relative error", "verdict", "numerical", "backprop", "ratio", "learned"
        )  # fmt: skip
        shown = [
            (found.system.name, found.system.network, *_gradient(found), found.learned)
            for found in self.systems
        ]
        wrong = failures(Report([row for found in self.systems for row in found.rows]), style)
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


def verify_models(progress: bool = False) -> ModelsReport:
    """Check the gradient of every system as it begins, by `check_model`, and then train it.

    Parameters
    ----------
    progress : bool
        Whether to show a bar on stderr when that is a terminal.
    """
    from tqdm import tqdm

    found: list[SystemRow] = []
    with tqdm(total=len(SYSTEMS), unit="system", leave=False, disable=None if progress else True) as bar:
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


def write_page(report: ModelsReport, folder: Path, made_by: str) -> list[Path]:
    """Write models.md into `folder`, with three figures if the extra `plot` is installed; return their paths."""
    figures = write_figures(folder) if can_plot() else []
    pictures = [f"![{path.stem}]({path.name})" for path in figures]
    parts = [
        "# The textbooks' networks, each verified as a whole",
        made_by,
        "The relative error is that of the whole gradient, ||analytic - numerical|| / ||numerical||, before training; "
        "`numerical` is one textbook gradient, two losses for each parameter, and `backprop` one gradient of all.",
        report.to_table("github"),
        *_equations(),
        *_batch_sizes(),
        *(["## Where gradient descent does not arrive", *pictures] if pictures else []),
    ]
    path = folder / "models.md"
    write_atomically(path, "\n\n".join(parts) + "\n")
    return [*figures, path]


def _equations() -> list[str]:
    x, t = make_spiral()
    checks = check_equations(MLP([2, 12, 8, 3]), x[::10], t[::10])
    of_each = [(c.equation, c.moved, f"{c.elements:,}", number(c.relative_error)) for c in checks]
    slow = [
        (f"{w.activation:g}", *(f"{v:.6f}" for v in (w.error, w.gradient, w.numerical)))
        for w in slow_weights()
    ]
    saturated = [
        (f"{s.z:g}", *(f"{v:.6f}" for v in (s.output, s.slope, s.error, s.numerical))) for s in saturation()
    ]
    return [
        "## The four equations of backpropagation, each on its own",
        "MLP 2-12-8-3 on 30 points of the spiral. An equation is given its errors by differences, not by the others.",
        table(("equation", "moved", "elements", "relative error"), of_each, "github"),
        "A weight out of a low-activation neuron learns slowly: its gradient is activation times error.",
        table(("activation", "error", "gradient (BP4)", "numerical gradient"), slow, "github"),
        "A saturated sigmoid's error vanishes: of a neuron that should be 0, and is wrong the more, the larger z is.",
        table(("z", "output", "slope", "error (BP1)", "numerical error"), saturated, "github"),
    ]


def _batch_sizes() -> list[str]:
    rows = [
        (name, str(run.batch_size), str(run.steps_per_epoch), str(run.epochs), f"{run.steps:,}",
         f"{run.losses[0]:.4f}", f"{run.losses[-1]:.4f}", "({:.3f}, {:.3f})".format(*run.w))
        for name, run in compare_batch_sizes().items()
    ]  # fmt: skip
    headers = ("method", "batch size", "steps an epoch", "epochs", "steps", "loss before", "loss after", "w")
    return [
        "## Full batch, mini-batch, online",
        "A line through 100 points about 2 x + 1, at the rate 0.1.",
        table(headers, rows, "github"),
    ]
