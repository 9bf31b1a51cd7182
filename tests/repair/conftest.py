"""What is found here must not depend on what else the machine does."""

import pytest

from gradlab.running import mending


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the search for a repair as long as it takes."""
    monkeypatch.setattr(mending, "MOST_SECONDS", 60.0)
