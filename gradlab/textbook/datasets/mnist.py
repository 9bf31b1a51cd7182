"""MNIST: where its four files are looked for, how they are downloaded, and how they become arrays.

The search ends at the first place that is there: a directory named by the caller, the one named by the
variable GRADLAB_MNIST, the user's cache, a download into that cache. A place that the user named must be
good: nothing else is put in its stead.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradlab.textbook.datasets.idx import (
    SHA256,
    BadFileError,
    DatasetError,
    find_file,
    read_idx,
    read_mnist_file,
    spellings,
)

__all__ = ["DatasetError", "load_mnist", "read_idx"]

ENVIRONMENT_VARIABLE = "GRADLAB_MNIST"
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
CONNECT_TIMEOUT_S = 4.0
READ_TIMEOUT_S = 10.0

Pair = tuple[NDArray[Any], NDArray[Any]]


def load_mnist(
    normalize: bool = True,
    flatten: bool = True,
    one_hot_label: bool = False,
    *,
    data: str | os.PathLike[str] | None = None,
) -> tuple[Pair, Pair]:
    """Load MNIST, with the signature of the function of this name in "Deep Learning from Scratch".

    Parameters
    ----------
    normalize : bool
        True: pixels / 255 as float64 in [0, 1]. False: uint8 pixels in 0..255.
    flatten : bool
        True: images of shape (N, 784). False: (N, 1, 28, 28).
    one_hot_label : bool
        True: labels of shape (N, 10), float64. False: (N,), int64.
    data : path-like, optional
        A directory with the four files; by default the directory that GRADLAB_MNIST names, else the user's cache,
        which a download fills.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : pairs of ndarrays
        With N = 60,000 to train on and N = 10,000 to test with.

    Raises
    ------
    DatasetError
        If MNIST cannot be had. The embedded digits are never given in its stead.
    """
    source = chosen_source(data)
    if source == "digits":
        raise DatasetError(
            '"digits" names the embedded digits, which are not MNIST; load them by load_dataset'
        )
    (x_train, t_train), (x_test, t_test) = read_mnist(source)
    dtype = np.float64 if normalize else None
    return (
        (shape_images(x_train, flatten, dtype), shape_labels(t_train, one_hot_label)),
        (shape_images(x_test, flatten, dtype), shape_labels(t_test, one_hot_label)),
    )


def chosen_source(data: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """Return the source that the user named: `data`, else GRADLAB_MNIST; None where that is unset or empty too."""
    if data is None:
        return os.environ.get(ENVIRONMENT_VARIABLE) or None
    if data == "":
        raise DatasetError("the data directory is an empty string; name a directory, or leave it out")
    return data


def read_mnist(source: str | os.PathLike[str] | None) -> tuple[Pair, Pair]:
    """Read MNIST's uint8 arrays from the directory `source`; None means the cache or a download.

    Raises
    ------
    DatasetError
        If one of the four files is missing or is not MNIST's.
    """
    files = _read_cache() if source is None else _read_directory(Path(source))
    return (
        (files["train-images-idx3-ubyte"], files["train-labels-idx1-ubyte"]),
        (files["t10k-images-idx3-ubyte"], files["t10k-labels-idx1-ubyte"]),
    )


def shape_images(images: NDArray[np.uint8], flatten: bool, dtype: DTypeLike | None) -> NDArray[Any]:
    """Turn images (N, 28, 28) into (N, 784) or (N, 1, 28, 28), divided by 255 unless `dtype` is None."""
    shaped = images.reshape(len(images), -1) if flatten else images[:, None]
    if dtype is None:
        return shaped
    # The division in the wanted type: a float32 set then never takes up the memory of a float64 one.
    return np.asarray(np.divide(shaped, 255, dtype=dtype))


def shape_labels(labels: NDArray[Any], one_hot: bool, dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Turn labels (N,) into int64 (N,), or into one-hot rows (N, 10) of `dtype`."""
    if one_hot:
        return np.asarray(np.eye(10, dtype=dtype)[labels])
    return labels.astype(np.int64)


def cache_directory() -> Path:
    """Return the directory of the downloaded files, which need not exist. Needs pooch."""
    import pooch

    return Path(pooch.os_cache("gradlab")) / "mnist"


def _read_directory(directory: Path) -> dict[str, NDArray[np.uint8]]:
    if not os.path.isdir(directory):
        cure = f"let --data DIR or {ENVIRONMENT_VARIABLE} name the one that has MNIST's four files"
        raise DatasetError(f"{directory} is not a directory; {cure}")
    files = {}
    for name in SHA256:
        cure = f"get it from {MIRRORS[0]}{name}.gz"
        path = find_file(directory, name)
        if path is None:
            raise DatasetError(f"{directory} has no {name} (nor {name}.gz); {cure}")
        try:
            files[name] = read_mnist_file(path, name)
        except BadFileError as error:
            raise DatasetError(f"{error}; {cure}") from error
    return files


def _read_cache() -> dict[str, NDArray[np.uint8]]:
    try:
        directory = cache_directory()
    except ImportError as error:
        raise DatasetError(
            "no MNIST directory is named, and pooch, which would download the files, is not installed; "
            "pip install 'gradlab[mnist]' or pass --data DIR"
        ) from error
    files = {}
    for name in SHA256:
        path = find_file(directory, name)
        if path is None:
            continue
        try:
            files[name] = read_mnist_file(path, name)
        except BadFileError as error:
            print(f"gradlab: {error}; downloading it again", file=sys.stderr)
    missing = [name for name in SHA256 if name not in files]
    if missing:
        try:
            files |= _download(missing, directory)
        except OSError as error:
            problem = f"the cache {directory} cannot be written ({error.strerror})"
            raise DatasetError(f"{problem}; make it writable or pass --data DIR") from error
    return files


def _download(names: list[str], directory: Path) -> dict[str, NDArray[np.uint8]]:
    """Download the named files into `directory`: all of them, checked, or none."""
    from pooch import HTTPDownloader

    timeout = (CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
    fetch = HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=2**16, timeout=timeout)
    files: dict[str, NDArray[np.uint8]] = {}
    failures = []
    directory.mkdir(parents=True, exist_ok=True)
    # The scratch directory goes away on every way out of this block, an interrupt by the user included.
    with tempfile.TemporaryDirectory(prefix="download-", dir=directory) as scratch:
        for mirror in MIRRORS:
            host = urlsplit(mirror).netloc
            if not _answers(mirror):
                failures.append(f"{host}: no connection")
                continue
            for name in names:
                if name in files:
                    continue
                path = Path(scratch, f"{name}.gz")
                try:
                    fetch(f"{mirror}{name}.gz", str(path), None)
                    files[name] = read_mnist_file(path, name)
                except BadFileError as error:
                    failures.append(f"{host}: {str(error).replace(str(path), path.name)}")
                except OSError as error:  # which all errors of the HTTP client are
                    failures.append(f"{host}: {_reason(error)} for {path.name}")
                    break  # the next file would fare no better
        if len(files) < len(names):
            raise DatasetError(
                f"MNIST could not be downloaded ({'; '.join(failures)}); check the network or pass --data DIR"
            )
        for name in names:
            new = directory / f"{name}.gz"
            os.replace(Path(scratch, new.name), new)
            # A bad file under another spelling would be found first, and downloaded again, every time.
            for old in spellings(directory, name):
                if old != new:
                    old.unlink(missing_ok=True)
    return files


def _answers(mirror: str) -> bool:
    """Tell within `CONNECT_TIMEOUT_S` whether the mirror accepts a connection.

    The HTTP client's own timeout is for one address: a host with ten addresses behind a firewall that drops
    packets would take ten times as long, and the look-up of its name has no timeout at all.
    """
    url = urlsplit(mirror)
    host = url.hostname or ""
    if {url.scheme, "all"} & urllib.request.getproxies().keys() and not urllib.request.proxy_bypass(host):
        return True  # the proxy makes the connection, so there is nothing to be learnt from here
    connected = threading.Event()

    def connect() -> None:
        port = url.port or (443 if url.scheme == "https" else 80)
        with contextlib.suppress(OSError):
            socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S / 4).close()
            connected.set()

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT_TIMEOUT_S)
    return connected.is_set()


def _reason(error: OSError) -> str:
    """Say in a word or two why a download failed; the HTTP client's own messages fill several lines."""
    response = getattr(error, "response", None)
    return type(error).__name__ if response is None else f"HTTP status {response.status_code}"
