"""A short run of what ``benchmarks/fuzz.py`` does at length."""

import sys
from pathlib import Path

import pytest

from tests.corpora.hostile import corpus, harness

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
fuzz_calls = pytest.importorskip("fuzz_calls", reason="the benchmarks are not here")
fuzz_kills = pytest.importorskip("fuzz_kills", reason="the benchmarks are not here")
fuzz_threads = pytest.importorskip("fuzz_threads", reason="the benchmarks are not here")

# What is known to be misjudged: see reports/fuzz.md.
KNOWN = {
    "raise_first_call_only", "contextvar_cache_right", "generator_residuals_right", "grad_buffer_reused_right",
    "forward_wrecks_x_right", "vjp_noise_np_random_right", "out_liar_right", "res_pops_right", "strict_fortran_right",
    "strict_float32_right", "strict_dtype_order_right", "backward_consumes_residuals_right", "backward_changes_g_right",
    "forward_changes_x_right", "badgrad_column", "layer_attr_date_like_names_wrong",
}  # fmt: skip
ONE_OF_EACH = {case.oddness: case for case in reversed(corpus.CASES) if not case.slow}


@pytest.mark.parametrize("number", range(4))
def test_calls(number):
    outcomes = fuzz_calls.outcomes(300, number)
    assert sum(outcomes.counts.values()) >= 300
    assert outcomes.failures == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", range(7))
def test_kills(number):
    assert fuzz_kills.killed(number)[2] == []


def test_threads():
    assert fuzz_threads.in_threads(5)[1] == []


@pytest.mark.parametrize("oddness", sorted(ONE_OF_EACH))
def test_odd_objects(oddness):
    case = ONE_OF_EACH[oddness]
    outcome = harness.outcome_of(case)
    wrong, _ = harness.judged(case, outcome)
    assert not wrong or case.name in KNOWN, (case.name, outcome)
    assert case.touches or outcome["changed"] == []


def test_the_harness_knows_a_wrong_verdict():
    case = next(case for case in corpus.CASES if case.truth == "wrong" and not case.may_refuse)
    assert harness.judged(case, {"said": "right"})[0] == "wrong called right"
    assert harness.judged(case, {"said": "traceback"})[0] == "traceback"
