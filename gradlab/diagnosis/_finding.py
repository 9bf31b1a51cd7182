"""A named explanation of a mismatch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A mistake that would explain what was seen.

    Attributes
    ----------
    name : str
        One of the stable names of `gradlab.diagnosis.NAMES`.
    primal : str
        The primal whose gradient is wrong; empty where it is the backward as a whole.
    confidence : float
        The share of the mismatch that it explains, from 0 to 1.
    evidence : str
        What was seen.
    cure : str
        What to change.
    """

    name: str
    primal: str
    confidence: float
    evidence: str
    cure: str

    @property
    def sentence(self) -> str:
        """Return name, evidence and cure in one line."""
        of = f" of {self.primal}" if self.primal else ""
        return f"{self.name}{of}: {self.evidence}: {self.cure}"
