"""A finding: the name of a mistake, what was observed of it, and its cure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A mistake that would explain the mismatch between analytic and numerical gradient.

    Attributes
    ----------
    name : str
        One of the stable names of `gradlab.diagnosis.NAMES`.
    primal : str
        The primal whose gradient is wrong; empty where it is the backward as a whole.
    confidence : float
        The share of the mismatch that the mistake explains, from 0 to 1.
    evidence : str
        What was observed.
    cure : str
        What to change.
    warns : bool
        Whether only warnings show it, and no error.
    """

    name: str
    primal: str
    confidence: float
    evidence: str
    cure: str
    warns: bool = False

    @property
    def sentence(self) -> str:
        """Return name, evidence and cure in one line."""
        of = f" of {self.primal}" if self.primal else ""
        return f"{self.name}{of}: {self.evidence}: {self.cure}"
