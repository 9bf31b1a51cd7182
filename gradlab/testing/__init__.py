"""For test suites that check gradients with pytest: `parametrize_nodes`, and the class of the fixture `gradcheck`."""

from gradlab.testing.gradcheck import GradCheck
from gradlab.testing.node_cases import parametrize_nodes

__all__ = ["GradCheck", "parametrize_nodes"]
