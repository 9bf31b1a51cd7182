"""Calls of every public entrance with right gradients, wrong ones and odd arguments; what is wrong with an outcome."""

import contextlib
import inspect
import io
import resource
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import gradlab
from gradlab import cli
from gradlab.node import as_tuple
from gradlab.testing.strategies import Pair, layer_of, odd_values, pairs, points, wrong_pairs
from gradlab.textbook.datasets.idx import read_idx
from gradlab.textbook.models.parameter_files import load, save
from tests.corpora.hostile.harness import is_own, state, told_of

# A check may take ten seconds, and overdraw them by a call that cannot be interrupted.
MOST_S = 13.0
IN_AN_EXAMPLE = 25
# The bound of an estimate is itself an estimate: in one of 200 it was exceeded, by up to 11 times.
LOOSE = 30
OPTIONS: dict[str, list[Any]] = {
    "seed": [0, 1, 12345],
    "explore": [True, False],
    "strict": [False, True],
    "full_below": [10_000, 4, None],
    "max_evaluations": [None, 50],
    "checks": [None, ["matches_numerical"], ["matches_numerical", "linear_in_cotangent"]],
}


@dataclass
class Outcomes:
    """What became of some calls: how many of each entrance, what was wrong, the longest, and the memory."""

    counts: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    longest_s: float = 0.0
    memory_gb: float = 0.0


def outcomes(calls: int, number: int) -> Outcomes:
    """Make so many calls, drawn by hypothesis with the seed `number`."""
    found = Outcomes()

    @seed(number)
    @settings(
        max_examples=max(1, calls // IN_AN_EXAMPLE),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.lists(call(), min_size=IN_AN_EXAMPLE, max_size=IN_AN_EXAMPLE))
    def make(drawn: list[tuple[str, Any, Callable[[], str]]]) -> None:
        for name, shown, run in drawn:
            _judge(found, f"seed {number}: {name}", shown, run)
            found.counts[name.split(":")[0]] += 1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a function warns of is its own matter
        make()
    found.memory_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return found


def _judge(found: Outcomes, name: str, shown: Any, run: Callable[[], str]) -> None:
    before, start = state(), monotonic()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            said = run()
    except (Exception, SystemExit) as error:
        # a function that is given more or fewer arguments than it takes says so itself
        refused = is_own(error) or (type(error) is TypeError and "positional argument" in str(error))
        said = "refused" if refused else f"a traceback, {told_of(error)}"
    took, after = monotonic() - start, state()
    found.said[said.split(",")[0]] += 1
    wrong = [said] if said not in FINE else []
    wrong += [f"{what} changed" for what in before if before[what] != after[what]]
    wrong += [f"took {took:.1f} s"] if took > MOST_S else []
    found.longest_s = max(found.longest_s, took)
    if wrong:
        found.failures.append(f"{name}({shown!r:.150}): {'; '.join(wrong)}")


FINE = {"right", "wrong, as it is", "undecided", "refused", "answered"}


@st.composite
def call(draw: st.DrawFn) -> tuple[str, str, Callable[[], str]]:
    """Draw a call: its name, how it is shown, and what runs it and says what came of it."""
    return draw(st.one_of(*(kind() for kind, weight in KINDS for _ in range(weight))))


@st.composite
def _right_check(draw: st.DrawFn) -> tuple[str, str, Callable[[], str]]:
    pair, options = draw(pairs()), _options(draw)
    return "check_vjp: right", repr((pair, options)), lambda: _judged(_check_pair(pair, options), pair)


@st.composite
def _wrong_check(draw: st.DrawFn) -> tuple[str, str, Callable[[], str]]:
    pair, options = draw(wrong_pairs()), _options(draw)
    return "check_vjp: wrong", repr((pair, options)), lambda: _judged(_check_pair(pair, options), pair)


@st.composite
def _layer_check(draw: st.DrawFn) -> tuple[str, str, Callable[[], str]]:
    # a layer may mean the mean
    pair = draw(st.one_of(pairs(), wrong_pairs()).filter(_may_be_a_layers))

    def run() -> str:
        layer = layer_of(pair)
        held = {name: value.copy() for name, value in layer.params.items()}
        report = gradlab.check_layer(layer, pair.primals[0], repair=False, explore=False)
        if any(not np.array_equal(layer.params[name], value) for name, value in held.items()):
            return "the layer was changed"
        return _judged(report, pair)

    return "check_layer", repr(pair), run


def _may_be_a_layers(pair: Pair) -> bool:
    return pair.forward.__name__ != "two_outputs" and pair.mistake != "mean"


@st.composite
def _scalar_check(draw: st.DrawFn) -> tuple[str, str, Callable[[], str]]:
    pair = draw(st.one_of(pairs(), wrong_pairs()).filter(lambda p: len(p.primals) == 1))
    entrance = draw(st.sampled_from(["check_gradient", "check_jvp", "check_cached_pair", "check_jacobian"]))

    def run() -> str:
        x, g = pair.primals[0], _cotangent(pair)

        def scalar(at: Any) -> Any:
            output = pair.forward(at, **pair.settings)[0]
            return sum(np.sum(a * y) for a, y in zip(as_tuple(g), as_tuple(output), strict=True))

        def gradient(at: Any) -> Any:
            return pair.backward(pair.forward(at, **pair.settings)[1], g)[0]

        options = {"repair": False, "explore": False}
        if entrance == "check_gradient":
            return _judged(gradlab.check_gradient(scalar, gradient, x, **options), pair)
        if entrance == "check_jvp":
            return _judged(
                gradlab.check_jvp(scalar, lambda p, t: np.sum(gradient(*p) * t[0]), (x,), **options),
                pair,
                jvp=True,
            )
        if entrance == "check_cached_pair":
            report = gradlab.check_cached_pair(
                lambda at: pair.forward(at, **pair.settings),
                lambda d, cache: pair.backward(cache, d)[0],
                (x,),
                **options,
            )
            return _judged(report, pair)
        flat = np.array(x, dtype=np.float64).reshape(-1)
        report = gradlab.check_jacobian(
            lambda v: np.atleast_1d(scalar(v.reshape(x.shape))),
            lambda v: gradient(v.reshape(x.shape)).reshape(1, -1),
            flat,
            **options,
        )
        return _judged(report, pair)

    return entrance, repr(pair), run


@st.composite
def _estimate(draw: st.DrawFn) -> tuple[str, str, Callable[[], str]]:
    pair = draw(pairs())
    plain = draw(st.booleans())

    def run() -> str:
        g = _cotangent(pair)
        right = pair.backward(pair.forward(*pair.primals, **pair.settings)[1], g)

        def f(*at: Any) -> Any:
            return pair.forward(*at, **pair.settings)[0]

        if plain:
            wide = tuple(np.array(x, np.float64) for x in pair.primals)
            for d, found in zip(right, gradlab.numerical_vjp(f, wide, g), strict=True):
                if not np.allclose(d, found, 1e-3, 1e-3 * max(np.abs(d).max(initial=0), 1)):
                    return "numerical_vjp is off"
            return "right"
        estimates = gradlab.estimate_vjp(f, pair.primals, g)
        for x, d, estimate in zip(pair.primals, right, estimates, strict=True):
            eps = float(np.finfo(min((p.dtype for p in pair.primals), key=lambda t: t.itemsize)).eps)
            crumbs = 100 * eps * (np.abs(d) + np.abs(d).max(initial=0) + estimate.terms)
            allowed = LOOSE * estimate.error + crumbs
            if x.shape != estimate.value.shape or not (np.abs(d - estimate.value) <= allowed).all():
                return "the bound of estimate_vjp does not hold"
        return "right"

    return "numerical_vjp" if plain else "estimate_vjp", repr(pair), run


ENTRANCES: dict[str, int] = {
    "numerical_gradient": 2, "numerical_jacobian": 2, "numerical_vjp": 3, "numerical_jvp": 3, "estimate_gradient": 2,
    "estimate_vjp": 3, "estimate_jvp": 3, "estimate_jacobian": 2, "check_vjp": 3, "check_gradient": 3,
    "check_jacobian": 3, "check_hessian": 4, "check_jvp": 3, "check_cached_pair": 3, "check_layer": 2,
}  # fmt: skip


@st.composite
def _odd_call(draw: st.DrawFn) -> tuple[str, str, Callable[[], str]]:
    name = draw(st.sampled_from(sorted(ENTRANCES)))
    x = draw(points([3]))
    sound: list[Any] = [lambda v, *_: np.sum(v * v), lambda v, *_: 2 * v, (x,), x]
    start = {
        2: [sound[0], x],
        3: [sound[0], sound[1], x],
        4: [sound[0], sound[1], lambda v: 2 * np.eye(3), x],
    }
    arguments = list(start[ENTRANCES[name]])
    if name in ("numerical_vjp", "estimate_vjp", "numerical_jvp", "estimate_jvp"):
        arguments = [lambda v: 2 * v, (x,), np.ones(3) if "vjp" in name else (np.ones(3),)]
    if name in ("check_vjp", "check_jvp", "check_cached_pair"):
        arguments = [lambda v: (v * v, v), lambda r, g: (2 * r * g,), (x,)]
    for place in draw(st.sets(st.integers(0, len(arguments) - 1), min_size=1, max_size=2)):
        arguments[place] = draw(odd_values())
    known = inspect.signature(getattr(gradlab, name)).parameters.values()
    # processes for nothing take their time
    optional = [p.name for p in known if p.default is not p.empty and p.name != "workers"]
    keywords = {k: draw(odd_values()) for k in draw(st.lists(st.sampled_from(optional), max_size=1))}
    if name.startswith("check"):
        keywords = {"repair": False, "max_seconds": 2.0, **keywords}

    def run() -> str:
        report = getattr(gradlab, name)(*arguments, **keywords)
        if isinstance(report, gradlab.Report):
            str(report), report.to_markdown(), report.to_json()
        return "answered"

    return f"{name}: odd", f"{_shown(arguments)}, {_shown(keywords)}", run


@st.composite
def _odd_file(draw: st.DrawFn) -> tuple[str, str, Callable[[], str]]:
    where = draw(st.integers(0, 400))
    more = draw(st.binary(max_size=6))
    kind = draw(st.sampled_from(["npz", "idx"]))

    def run() -> str:
        with tempfile.TemporaryDirectory() as name:
            path = Path(name, "file")
            if kind == "npz":
                save(path, {"W": np.arange(6.0).reshape(2, 3), "b": np.ones(2)})
            else:
                path.write_bytes(bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6]))
            data = path.read_bytes()
            begin, end = where % (len(data) + 1), (where + len(more)) % (len(data) + 1)
            path.write_bytes(data[:begin] + more + data[end:])
            load(path) if kind == "npz" else read_idx(path)
        return "answered"

    return f"{'load' if kind == 'npz' else 'read_idx'}: odd", f"{where}, {more!r}", run


WORDS = [
    "verify", "list", "explain", "sweep", "check", "gates", "mutate", "mnist", "add", "relu", "softmax", "--format",
    "json", "markdown", "--seed", "1", "-1", "--checks", "repeatable", "--no-explore", "--family", "arithmetic",
    "--output", "/proc/no", "nowhere.py:Layer", ":", "--input", "2x3", "--workers", "x", "", "--", "|", "\x1b[31m",
    "--help", "--nothing",
]  # fmt: skip


@st.composite
def _command(draw: st.DrawFn) -> tuple[str, str, Callable[[], str]]:
    words = draw(st.lists(st.sampled_from(WORDS), max_size=4))
    if words[:1] in (["mnist"], ["mutate"], ["gates"]) or (
        words[:1] == ["verify"] and not {"add", "relu"} & set(words)
    ):
        words = ["list", *words[1:]]  # these take their time when they are right

    def run() -> str:
        try:
            status = cli.main(words)
        except SystemExit as stop:
            status = int(stop.code or 0)
        return "answered" if status in (0, 1, 2) else f"status {status}"

    return "gradlab: words", repr(words), run


KINDS: list[tuple[Any, int]] = [
    (_right_check, 2), (_wrong_check, 1), (_layer_check, 1), (_scalar_check, 2), (_estimate, 5), (_odd_call, 10),
    (_odd_file, 3), (_command, 2),
]  # fmt: skip


def _options(draw: st.DrawFn) -> dict[str, Any]:
    chosen = draw(st.lists(st.sampled_from(sorted(OPTIONS)), max_size=2, unique=True))
    return {name: draw(st.sampled_from(OPTIONS[name])) for name in chosen}


def _check_pair(pair: Pair, options: dict[str, Any]) -> gradlab.Report:
    return gradlab.check_vjp(
        pair.forward,
        pair.backward,
        pair.primals,
        settings=pair.settings,
        **{"repair": False, "strict": False, **options},
    )


def _judged(report: gradlab.Report, pair: Pair, jvp: bool = False) -> str:
    wrong = any(row.verdict is gradlab.Verdict.WRONG for row in report.rows)
    if pair.mistake:
        # what is not linear in the cotangent vanishes in one direction and not in another
        return "wrong, as it is" if wrong else "undecided" if not report.ok else "A WRONG ONE IS CALLED RIGHT"
    return "A RIGHT ONE IS CALLED WRONG" if wrong else "right" if report.ok else "undecided"


def _cotangent(pair: Pair) -> Any:
    output = pair.forward(*map(np.array, pair.primals), **pair.settings)[0]
    rng = np.random.default_rng(7)
    drawn = tuple(np.asarray(rng.standard_normal(np.shape(y)), np.asarray(y).dtype) for y in as_tuple(output))
    return drawn if isinstance(output, tuple) else drawn[0]


def _shown(values: Any) -> str:
    try:
        return f"{values!r:.120}"
    except Exception:
        return "what cannot be shown"
