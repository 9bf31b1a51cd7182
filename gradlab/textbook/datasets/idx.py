"""The IDX file format, and how MNIST's four files are told apart: by the SHA-256 of their content.

The gzip containers in circulation differ from one another while their content does not, so a file is judged
by its decompressed content, never by its size or the hash of its container.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

# SHA-256 of each file's decompressed content.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

_GZIP_MAGIC = b"\x1f\x8b"
_UBYTE = 0x08
_LONGEST_HEADER = 4 + 4 * 255


class DatasetError(ValueError):
    """A data set cannot be had, or is not what it claims to be: one line, which ends with the cure."""


class BadFileError(Exception):
    """What is wrong with a file, in one line without a cure, since the cure depends on where the file lies."""


def read_idx(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, gzipped or not (told by the content, not by the name).

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    ndarray of uint8
        Of the shape that the file's header gives, for example (60000, 28, 28).

    Raises
    ------
    DatasetError
        If the file cannot be read, is no IDX file of unsigned bytes, is truncated or has bytes left over.
    """
    try:
        return _parse(_content(Path(path)), Path(path))
    except BadFileError as error:
        raise DatasetError(f"{error}; get a good copy of the file") from error


def read_mnist_file(path: Path, name: str) -> NDArray[np.uint8]:
    """Read the IDX file at `path` if it is MNIST's file `name`, a key of `SHA256`.

    Raises
    ------
    BadFileError
        If the file is another. One of MNIST's other files under this name is recognised.
    """
    content = _content(path)
    digest = hashlib.sha256(content).hexdigest()
    if digest == SHA256[name]:
        return _parse(content, path)

    for other, known in SHA256.items():
        if digest == known:
            raise BadFileError(
                f"{path} is {other} under a wrong name (by its SHA-256): the files were swapped or misnamed"
            )
    shape = _parse(content, path).shape
    dimensions = 3 if "images" in name else 1
    if len(shape) != dimensions:
        held = {1: "labels", 3: "images"}.get(len(shape), "neither images nor labels")
        raise BadFileError(f"{path} is mislabelled: it holds {held}, an array of shape {shape}")
    raise BadFileError(
        f"{path} is a sound IDX file of shape {shape}, but its SHA-256 is not that of MNIST's {name}"
    )


def find_file(folder: Path, name: str) -> Path | None:
    """Return the file `name` in `folder`, in whichever spelling it has there, or None."""
    # os.path.isfile, for Path.is_file raises an error in a folder that may not be searched.
    return next((path for path in spellings(folder, name) if os.path.isfile(path)), None)


def spellings(folder: Path, name: str) -> list[Path]:
    """Return the paths under which the file `name` goes; the unpacked ones first, being quicker to read."""
    # Some archives have train-images.idx3-ubyte where the original has train-images-idx3-ubyte.
    dotted = name.replace("-idx", ".idx")
    return [folder / spelling for spelling in (name, dotted, f"{name}.gz", f"{dotted}.gz")]


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadFileError(f"{path} cannot be read ({error.strerror})") from error
    if not raw.startswith(_GZIP_MAGIC):
        return raw
    try:
        return _unpacked(raw)
    except EOFError as error:
        raise BadFileError(f"{path} is truncated: its gzip stream breaks off") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise BadFileError(f"{path} is corrupt: its gzip stream does not decompress") from error


def _unpacked(raw: bytes) -> bytes:
    """Return what a gzip file holds: no more than its own header says, which is looked at first."""
    with gzip.open(io.BytesIO(raw)) as file:
        start = file.read(4)
        if len(start) < 4 or not _is_idx(start):
            return start + file.read(_LONGEST_HEADER)
        start += file.read(4 * start[3])
        if len(start) < 4 + 4 * start[3]:
            return start
        # a byte more than there are elements, so that a surplus shows
        return start + file.read(math.prod(_shape(start)) + 1)


def _is_idx(content: bytes) -> bool:
    return content[:2] == b"\x00\x00" and content[2] == _UBYTE and content[3] > 0


def _shape(content: bytes) -> tuple[int, ...]:
    # each dimension in four bytes, the highest byte first
    return tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, 4 + 4 * content[3], 4))


def _parse(content: bytes, path: Path) -> NDArray[np.uint8]:
    # The header: two zero bytes, the type of the elements, the number of dimensions, then the dimensions.
    if len(content) < 4:
        raise BadFileError(f"{path} is truncated: {len(content)} bytes are too few for an IDX file")
    if not _is_idx(content):
        raise BadFileError(f"{path} is no IDX file of unsigned bytes (it begins with 0x{content[:4].hex()})")
    header = 4 + 4 * content[3]
    if len(content) < header:
        raise BadFileError(f"{path} is truncated: it breaks off within its header")
    shape = _shape(content)
    surplus = len(content) - header - math.prod(shape)
    if surplus < 0:
        raise BadFileError(
            f"{path} is truncated: {-surplus} bytes of its {math.prod(shape)} elements are missing"
        )
    if surplus > 0:
        raise BadFileError(f"{path} is corrupt: further bytes follow its {math.prod(shape)} elements")
    try:
        # A copy, for an array on top of bytes cannot be written to.
        return np.frombuffer(content, np.uint8, offset=header).reshape(shape).copy()
    except ValueError as error:  # a header of a hundred dimensions, say
        raise BadFileError(f"{path} is corrupt: no array has the shape in its header") from error
