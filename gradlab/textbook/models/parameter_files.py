"""Parameters on disk: NumPy's ``.npz``, written without pickle and read without trust."""

import os
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from math import prod
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from gradlab.node import Array
from gradlab.report.files import write_bytes_atomically

# The longest header of an array in a file, and the widest number, in bytes.
HEADER, WIDEST = 2**16, 32
# Up to so many bytes anything may be unpacked, and beyond that up to so many times its packed size.
UNSUSPICIOUS, MOST_PACKED = 2**26, 100

StrPath = str | os.PathLike[str]


class HasParameters(Protocol):
    """A model with named parameters."""

    @property
    def params(self) -> Mapping[str, Array]:
        """The parameters by name, changed in place."""


def save(path: StrPath, arrays: Mapping[str, Array]) -> None:
    """Write arrays by name as an ``.npz`` file, which `numpy.load` reads too.

    Parameters
    ----------
    path : path-like
        The file, under just this name: unlike `numpy.savez`, nothing is appended. Its folder is made.
    arrays : mapping of str to ndarray
        Numbers or booleans of any shape. The same arrays give the same bytes.

    Raises
    ------
    TypeError, ValueError
        If a name is no string or an array holds anything but numbers, such as Python objects.
    OSError
        If the file cannot be written.

    Notes
    -----
    An interruption leaves the old file as it was. Source of the format: NumPy Enhancement Proposal 1: a zip
    archive, not compressed, of one ``.npy`` file for each array.
    """
    given = _mapping("arrays", arrays)
    entries = [(_entry(name), _numbers(name, array)) for name, array in given.items()]

    def write(file: IO[bytes]) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for entry, array in entries:
                # ZipInfo's date is fixed; force_zip64, as the size of the entry is not known beforehand
                with archive.open(zipfile.ZipInfo(entry), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)

    write_bytes_atomically(Path(path), write)


def load(path: StrPath) -> dict[str, Array]:
    """Return the arrays of an ``.npz`` file by name, each with its shape and dtype.

    Parameters
    ----------
    path : path-like
        A file by `save` or `numpy.savez`, with or without compression.

    Raises
    ------
    ValueError
        If the file is cut, damaged or no ``.npz`` file, or holds anything but arrays of numbers. Python objects are
        never unpickled.
    OSError
        If the file cannot be read.
    """
    return _loaded(path, {})


def _loaded(path: StrPath, params: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays of a file, with no more unpacked than can belong to `params`, if there are any."""
    data = Path(path).read_bytes()
    with _archive(path, data) as archive:
        for entry in archive.infolist():
            if not entry.filename.endswith(".npy"):
                raise ValueError(
                    f"{path} has the entry {entry.filename!r}, which is no array: give a file by gradlab's save"
                )
        if params:
            _check_names(path, params, {name.removesuffix(".npy") for name in archive.namelist()})
        for entry in archive.infolist():
            _check_size(path, entry, params)
    return {
        entry.removesuffix(".npy"): _array(path, entry.removesuffix(".npy"), content)
        for entry, content in _entries(path, data).items()
    }


def save_model(model: HasParameters, path: StrPath) -> None:
    """Write the parameters of a model by name, as `save` does.

    Raises
    ------
    TypeError, ValueError, OSError
        As `save`, and if ``model.params`` is no mapping.
    """
    save(path, _params(model))


def load_model_parameters(model: HasParameters, path: StrPath) -> None:
    """Copy parameters from a file by `save_model` into those of a model, all of them or none.

    Parameters
    ----------
    model : object with params
        ``params`` maps names to arrays, which are changed in place.
    path : path-like

    Raises
    ------
    TypeError
        If ``model.params`` is no mapping.
    ValueError
        As `load`, and if the file lacks a parameter, has one too many, or has one of another shape, or of a dtype
        that the model's cannot keep exactly (float64 into float32; the other way round is right). The model is
        unchanged then.
    OSError
        If the file cannot be read.
    """
    params = _params(model)
    arrays = _loaded(path, params)
    _check_names(path, params, arrays.keys())
    for name, param in params.items():
        _check_fit(path, name, param, arrays[name])
    for name, param in params.items():
        param[...] = arrays[name]


def _entry(name: str) -> str:
    entry = f"{name}.npy"
    if not isinstance(name, str) or zipfile.ZipInfo(entry).filename != entry:
        raise ValueError(f"{name!r} cannot be the name of a saved array: give a string without null bytes")
    return entry


def _numbers(name: str, array: Array) -> Array:
    array = np.asarray(array)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{name!r} has dtype {array.dtype}, which is not saved: give an array of numbers")
    return array


def _entries(path: StrPath, data: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            entries = {entry: archive.read(entry) for entry in archive.namelist()}
        # zipfile does not notice if a damaged entry swallows the next, or two have one name
        if min(len(entries), 0xFFFF) != _stated_count(data):
            raise zipfile.BadZipFile("its end names another number of entries")
        return entries
    # a damaged file makes zipfile raise a dozen kinds of exceptions; those of the disk came before
    except Exception as error:
        raise ValueError(f"{path} is cut, damaged or no .npz file: give a file by gradlab's save") from error


def _stated_count(data: bytes) -> int:
    end = data.rfind(b"PK\x05\x06")  # the record that closes an archive
    return int.from_bytes(data[end + 10 : end + 12], "little")


def _array(path: StrPath, name: str, data: bytes) -> Array:
    try:
        shape, fortran, dtype, start = _header(data)
    except Exception as error:  # as above
        raise ValueError(f"{path} has no array under {name!r}: give a file by gradlab's save") from error
    if dtype.kind not in "biufc":
        raise ValueError(f"{path} has {name!r} with dtype {dtype}: save it anew as an array of numbers")
    if min(shape, default=0) < 0 or len(data) - start != prod(shape) * dtype.itemsize:
        raise ValueError(f"{path} has {name!r} with too few or too many bytes: save it anew")
    flat = np.frombuffer(data, dtype, offset=start)
    return flat.reshape(shape, order="F" if fortran else "C").copy(order="K")


def _header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    file, first, second = (
        BytesIO(data),
        np.lib.format.read_array_header_1_0,
        np.lib.format.read_array_header_2_0,
    )
    # version 3 is version 2 but for the names of fields, which arrays of numbers do not have
    read = {(1, 0): first, (2, 0): second, (3, 0): second}[np.lib.format.read_magic(file)]
    return *read(file), file.tell()


def _mapping(what: str, given: Any) -> Mapping[str, Array]:
    if not isinstance(given, Mapping):
        raise TypeError(f"{what} is a {type(given).__name__}: give a mapping of names to arrays")
    return given


def _params(model: HasParameters) -> Mapping[str, Array]:
    if not hasattr(model, "params"):
        raise TypeError(f"a {type(model).__name__} has no params: give a model that has")
    return _mapping("params", model.params)


@contextmanager
def _archive(path: StrPath, data: bytes) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(BytesIO(data))
    except Exception as error:  # as in _entries
        raise ValueError(f"{path} is cut, damaged or no .npz file: give a file by gradlab's save") from error
    with archive:
        yield archive


def _check_size(path: StrPath, entry: zipfile.ZipInfo, params: Mapping[str, Array]) -> None:
    """Raise ValueError if an entry says that it is larger than it can be, before it is unpacked."""
    name = entry.filename.removesuffix(".npy")
    if name in params:
        most = HEADER + WIDEST * np.size(params[name])
    else:
        most = max(UNSUSPICIOUS, MOST_PACKED * entry.compress_size)
    if entry.file_size > most:
        raise ValueError(
            f"{path} has {name!r} with {entry.file_size:,} bytes, packed in {entry.compress_size:,}, more than belongs "
            "there: give a file by gradlab's save"
        )


def _check_names(path: StrPath, params: Mapping[str, Array], arrays: Collection[str]) -> None:
    lacking = [name for name in params if name not in arrays]
    if lacking:
        raise ValueError(f"{path} lacks {lacking}: give a file that was saved from the same model")
    extra = [name for name in arrays if name not in params]
    if extra:
        raise ValueError(
            f"{path} has {extra}, which the model has not: give a file that was saved from the same model"
        )


def _check_fit(path: StrPath, name: str, param: Array, array: Array) -> None:
    if not isinstance(param, np.ndarray) or not param.flags.writeable:
        raise ValueError(f"the model's {name!r} cannot be changed in place: give it a writeable array")
    if array.shape != param.shape:
        raise ValueError(
            f"{path} has {name!r} of shape {array.shape}, the model of shape {param.shape}: "
            "make the model as it was when it was saved"
        )
    # NumPy calls int64 into float64 safe, which rounds above 2^53
    if array.dtype.kind != param.dtype.kind or not np.can_cast(array.dtype, param.dtype, "safe"):
        raise ValueError(
            f"{path} has {name!r} as {array.dtype}, which the model's {param.dtype} cannot keep exactly: "
            f"make the model with {array.dtype}, or load the file and convert its arrays"
        )
