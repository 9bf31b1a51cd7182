"""What the command prints and writes."""

import json

import numpy as np
import pytest

from gradlab.commands.check._construction import made
from gradlab.commands.check._input_specs import InputSpec, parse_input


def test_json_is_the_envelope_of_the_other_commands(check):
    status, out, err = check("layers:Sigmoid", "--format", "json")
    envelope = json.loads(out)
    assert list(envelope) == ["ok", "environment", "rows"]
    assert (status, envelope["ok"], err) == (1, False, "")
    assert envelope["environment"]["seed"] == 0
    assert envelope["environment"]["mistakes"][0]["name"] == "sign-flipped"


def test_json_is_whole_where_nothing_could_be_checked(check):
    status, out, err = check("layers:Nothing", "--format", "json")
    envelope = json.loads(out)
    assert (status, envelope["ok"], envelope["rows"]) == (2, False, [])
    assert "layers:Nothing" in envelope["environment"]["unchecked"]
    assert len(err.splitlines()) == 1


def test_the_table_and_below_it_the_mistake_and_what_could_not_be_checked(check):
    status, out, err = check("layers:Sigmoid", "layers:Nothing", "--input", "3")
    assert (status, err) == (1, "")
    parts = ["WRONG: layers:Sigmoid", "(sign-flipped)", "\nwhat ", "Not checked:\n"]
    found = [out.index(part) for part in parts]
    assert found == sorted(found)
    unchecked = found[-1]
    assert "layers:Nothing: layers has no 'Nothing': " in out[unchecked:]


def test_markdown_is_a_table_and_lists(check):
    _, out, _ = check("layers:Sigmoid", "layers:Nothing", "--format", "markdown")
    assert out.startswith("**WRONG: layers:Sigmoid, the gradient of x.**\n")
    assert "\n| what " in out
    assert "\n\n- layers:Sigmoid --input 3x4" in out
    assert "Not checked:\n\n- layers:Nothing: " in out


def test_a_page_is_written_whole(project, check):
    status, _, err = check("layers:Sigmoid", "layers:Nothing", "--output", "new/reports")
    assert status == 1
    page = (project.path / "new" / "reports" / "check.md").read_text()
    assert "Made by `gradlab check layers:Sigmoid layers:Nothing --output new/reports`" in page
    for part in (
        "**not all right**",
        "sign-flipped",
        "Not checked:",
        "## What each check concluded",
        "| sample",
    ):
        assert part in page
    assert "µs" not in page, "a report of errors is free of times"
    assert [path.name for path in (project.path / "new" / "reports").iterdir()] == ["check.md"]
    assert "wrote new/reports/check.md" in err


def test_a_page_without_anything_checked_says_so(project, check):
    status, _, _ = check("layers:Nothing", "--output", "out")
    assert status == 2
    assert "**not all could be checked**" in (project.path / "out" / "check.md").read_text()


def test_a_folder_that_cannot_be_written_loses_no_result(check):
    status, out, err = check("layers:SQUARE", "--output", "/proc/nowhere")
    assert status == 2
    assert "layers:SQUARE" in out
    assert "/proc/nowhere cannot be written" in err
    assert len(err.splitlines()) == 1


SAMPLES = """
    from gradlab import Sample

    def tuples(rng):
        yield (rng.standard_normal(3),)
        yield (rng.standard_normal((2, 3)),)

    def one(rng):
        return (rng.standard_normal(3), rng.standard_normal(3))

    def one_does_not_fit(rng):
        yield (rng.standard_normal((2, 3)),)
        yield (rng.standard_normal((2, 7)),)

    def settings_only(rng):
        return {"scale": 2.0}

    def array(rng):
        return rng.standard_normal((2, 3))

    def by_name(rng):
        return {"x": rng.standard_normal(3), "y": rng.standard_normal(3), "scale": 2.0}

    def named(rng):
        return [Sample("small", (rng.standard_normal(3),)), rng.standard_normal(4)]

    class Scaled:
        def forward(self, x, y, *, scale=1.0):
            self.x, self.y, self.scale = x, y, scale
            return scale * x * y
        def backward(self, dout):
            return dout * self.y * self.scale, dout * self.x * (self.scale if self.scale < 2 else 1.0)
"""


@pytest.mark.parametrize(
    ("target", "function", "samples", "status"),
    [
        ("layers:SQUARE", "tuples", {"sample 0", "sample 1"}, 0),
        ("layers:SQUARE", "array", {"given"}, 0),
        ("layers:SQUARE", "named", {"small", "sample 1"}, 0),
        ("given:Scaled", "one", {"given"}, 0),
        ("given:Scaled", "by_name", {"given"}, 1),
        ("layers:affine_forward,affine_backward", "one", {"given"}, 2),
    ],
)
def test_samples_come_as_tuples_by_name_or_as_samples(project, check, target, function, samples, status):
    project.write("given.py", SAMPLES)
    found, out, _ = check(target, "--samples", f"given:{function}", "--format", "json")
    assert found == status
    rows = json.loads(out)["rows"]
    assert {row["sample"].partition(",")[0] for row in rows} == (samples if rows else set())
    assert bool(rows) == (status < 2)


def test_a_sample_that_does_not_fit_hides_no_other(project, check):
    project.write("given.py", SAMPLES)
    status, out, _ = check(
        "layers:Affine", "--init", '{"W": {"shape": [3, 2]}, "b": [0.5, 1.5]}', "--format", "json",
        "--samples", "given:one_does_not_fit",
    )  # fmt: skip
    envelope = json.loads(out)
    assert status == 2
    assert {row["verdict"] for row in envelope["rows"]} == {"pass"}
    reason = envelope["environment"]["unchecked"]["layers:Affine"]
    assert reason.startswith("sample 1: Affine.forward raised")
    assert reason.endswith("by name with --settings or --samples")


def test_samples_without_an_input(project, check):
    project.write("given.py", SAMPLES)
    status, _, err = check("layers:Affine", "--samples", "given:settings_only")
    assert status == 2
    assert "neither forward nor Affine knows 'scale': leave it out" in err


def test_tolerances_decide(project, check):
    project.write(
        "nearly.py",
        "class Nearly:\n    def forward(self, x): return 2 * x\n    def backward(self, g): return 2.0001 * g\n",
    )
    assert check("nearly:Nearly", "--input", "3")[0] == 1
    assert check("nearly:Nearly", "--input", "3", "--rtol", "1e-3")[0] == 0
    assert check("nearly:Nearly", "--input", "3", "--atol", "1e-2")[0] == 0


@pytest.mark.parametrize(
    ("text", "shape", "dtype"),
    [
        ("3x4", (3, 4), "float64"),
        ("7", (7,), "float64"),
        ("scalar", (), "float64"),
        ("2x3:float32", (2, 3), "float32"),
        ("2x3:float16", (2, 3), "float16"),
        ("5:int<3", (5,), "int64"),
        ("scalar:int<3", (), "int64"),
        ("3x4:onehot", (3, 4), "float64"),
        ("3x4:positive", (3, 4), "float64"),
        ("3x4:probabilities", (3, 4), "float64"),
    ],
)
def test_what_an_input_draws(text, shape, dtype):
    spec = parse_input(text)
    x = spec.draw(np.random.default_rng(0))
    assert (np.shape(x), np.asarray(x).dtype) == (shape, np.dtype(dtype))
    assert str(spec) == text


def test_what_is_drawn_keeps_what_it_promises():
    rng = np.random.default_rng(0)
    x = InputSpec((100, 100)).draw(rng)
    assert np.abs(x).min() >= 0.1
    assert abs((x > 0).mean() - 0.5) < 0.05
    ids = InputSpec((1000,), "int<3").draw(rng)
    assert set(ids) == {0, 1, 2}
    assert (InputSpec((5, 3), "onehot").draw(rng).sum(axis=1) == 1).all()
    np.testing.assert_allclose(InputSpec((5, 3), "probabilities").draw(rng).sum(axis=1), 1)
    assert InputSpec((5, 3), "positive").draw(rng).min() > 0


def test_what_init_makes_of_json():
    class Kind:
        def __init__(self, W, sizes, table: np.ndarray, widths: list[float], more=None):
            self.given = W, sizes, table, widths, more

    init = {"W": [[1, 2]], "sizes": [4, 3, 2], "table": [1, 2], "widths": [0.5, 1.5],
            "more": {"shape": [2, 2], "dtype": "int<3"}}  # fmt: skip
    W, sizes, table, widths, more = made(Kind, init, 0).given
    assert (W.dtype, W.tolist()) == (np.float64, [[1.0, 2.0]])
    assert (sizes, widths) == ([4, 3, 2], [0.5, 1.5])
    assert (type(table), more.shape, more.dtype) == (np.ndarray, (2, 2), np.int64)
    positional = made(Kind, [[[1, 2], [3, 4]], 3, 0, [[1, 2], [3]]], 0).given
    assert positional[0].shape == (2, 2)
    assert positional[3] == [[1, 2], [3]]
    drawn = [made(Kind, [{"shape": [3]}, 1, 2, 3], seed).given[0] for seed in (0, 0, 1)]
    assert (drawn[0] == drawn[1]).all()
    assert not (drawn[0] == drawn[2]).any()


def test_the_times_are_shown(check):
    _, out, _ = check("layers:Sigmoid", "--input", "3")
    assert "numerical / backprop" not in out
    _, out, _ = check("layers:Sigmoid", "--input", "3", "--timings")
    lines = out.splitlines()
    (header,) = (k for k, line in enumerate(lines) if line.endswith("numerical / backprop"))
    assert lines[header + 2].endswith("x")


def test_a_budget(check):
    _, out, _ = check("layers:Affine", "--input", "2x4", "--max-seconds", "1e-9")
    assert "looked at 0 derived points and no further: max_seconds=1e-09 was used up, raise it" in out
    _, out, _ = check("layers:Affine", "--input", "2x4", "--max-evaluations", "1")
    assert "looked at 0 derived points and no further: max_evaluations=1 was used up, raise it" in out
    _, out, _ = check("layers:Affine", "--input", "2x4", "--max-seconds", "600", "--format", "json")
    explored = json.loads(out)["environment"]["explored"]
    assert [places["cut"] for places in explored] == [""]
