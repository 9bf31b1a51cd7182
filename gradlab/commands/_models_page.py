"""The page of ``gradlab verify --models``: the textbooks' networks, the four equations, and three batch sizes."""

from pathlib import Path

from gradlab.report.figures import can_plot
from gradlab.report.files import place_of, write_atomically
from gradlab.report.numbers import number
from gradlab.report.pages import made_by
from gradlab.report.tables import table
from gradlab.textbook.datasets.spiral import make_spiral
from gradlab.textbook.descent import compare_batch_sizes, write_figures
from gradlab.textbook.four_equations import saturation, slow_weights
from gradlab.textbook.models.mlp import MLP, check_equations
from gradlab.textbook.systems_benchmark import ModelsReport


def write_page(report: ModelsReport, folder: Path, command: str) -> list[Path]:
    """Write models.md into `folder`, with three figures if the extra `plot` is installed; return their paths."""
    figures = write_figures(folder) if can_plot() else []
    pictures = [f"![{path.stem}]({path.name})" for path in figures]
    parts = [
        "# The textbooks' networks, each verified as a whole",
        made_by(command, report.environment),
        "The relative error is that of the whole gradient, ||analytic - numerical|| / ||numerical||, before training; "
        "`numerical` is one textbook gradient, two losses for each parameter, and `backprop` one gradient of all.",
        report.to_table("github"),
        *_equations(),
        *_batch_sizes(),
        *(["## Where gradient descent does not arrive", *pictures] if pictures else []),
    ]
    path = place_of(folder / "models.md", report.interrupted)
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
