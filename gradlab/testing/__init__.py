"""For test suites that check gradients with pytest: `parametrize_nodes`, and what the fixture `gradcheck` gives."""

from gradlab.testing._gradcheck import GradCheck
from gradlab.testing._nodes import parametrize_nodes

__all__ = ["GradCheck", "parametrize_nodes"]
