"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def mnist_folder() -> str:
    folder = os.environ.get("GRADLAB_MNIST")
    if not folder:
        pytest.skip("needs the real MNIST: set GRADLAB_MNIST to the folder with its four files")
    return folder
