"""For test suites that check gradients with pytest: one list for tests and benchmarks, and the class of `gradcheck`."""

from gradlab.testing.gradcheck import GradCheck
from gradlab.testing.node_cases import parametrize_nodes
from gradlab.testing.node_timings import parametrize_benchmarks

__all__ = ["GradCheck", "parametrize_benchmarks", "parametrize_nodes"]
