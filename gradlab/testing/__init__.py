"""For test suites that check gradients with pytest: `parametrize_nodes`, and what the fixture `gradcheck` gives."""

from gradlab.testing.gradcheck import GradCheck
from gradlab.testing.node_cases import parametrize_nodes

__all__ = ["GradCheck", "parametrize_nodes"]
