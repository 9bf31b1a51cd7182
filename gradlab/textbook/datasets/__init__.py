"""The data sets: MNIST where it can be had, else digits that are drawn on the spot."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradlab.textbook.datasets.digits import SIDE, embedded_digits, make_digits
from gradlab.textbook.datasets.idx import DatasetError, read_idx
from gradlab.textbook.datasets.mnist import chosen_source, load_mnist, read_mnist, shape_images, shape_labels

__all__ = ["Dataset", "DatasetError", "load_dataset", "load_mnist", "make_digits", "read_idx"]


@dataclass(frozen=True)
class Dataset:
    """Images of digits and their labels.

    Attributes
    ----------
    name : str
        "MNIST" or "embedded digits", for the titles of tables and plots.
    x_train, x_test : ndarray, shape (N, 784) or (N, 1, 28, 28), float64 unless another type was asked for
        Pixels in [0, 1], background 0.
    t_train, t_test : ndarray, shape (N,), int64, or one-hot (N, 10), of the pixels' type
        Labels 0 to 9.
    """

    name: str
    x_train: NDArray[Any]
    t_train: NDArray[Any]
    x_test: NDArray[Any]
    t_test: NDArray[Any]


def load_dataset(
    data: str | os.PathLike[str] | None = None,
    *,
    one_hot: bool = False,
    flatten: bool = True,
    dtype: DTypeLike = np.float64,
) -> Dataset:
    """Load MNIST or the embedded digits.

    Parameters
    ----------
    data : str or path-like, optional
        The word "digits" for the embedded digits (a directory of that name is "./digits"), or a directory
        with MNIST's four files. By default the value of the variable GRADLAB_MNIST; where that is unset, MNIST
        comes from the user's cache or from a download, and if neither can be had, the embedded digits are
        taken and a line on stderr says why.
    one_hot : bool
        Labels of shape (N, 10) instead of (N,).
    flatten : bool
        Images of shape (N, 784); if False, (N, 1, 28, 28).
    dtype : floating-point dtype
        The type of the pixels and of one-hot labels.

    Returns
    -------
    Dataset
        60,000 + 10,000 images if its name is "MNIST", 10,000 + 2,000 if it is "embedded digits".

    Raises
    ------
    DatasetError
        If a directory was named, by `data` or by GRADLAB_MNIST, which has not all four files in good order,
        or if `dtype` is not a floating-point one.
    """
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise DatasetError(f"pixels in [0, 1] do not fit the type {dtype}; pass np.float64 or np.float32")
    source = chosen_source(data)
    if source != "digits":
        try:
            (x_train, t_train), (x_test, t_test) = read_mnist(source)
        except DatasetError as error:
            if source is not None:
                raise
            print(f"gradlab: using the embedded digits: {error}", file=sys.stderr)
        else:
            return Dataset(
                "MNIST",
                shape_images(x_train, flatten, dtype),
                shape_labels(t_train, one_hot, dtype),
                shape_images(x_test, flatten, dtype),
                shape_labels(t_test, one_hot, dtype),
            )
    return _digits(one_hot, flatten, dtype)


def _digits(one_hot: bool, flatten: bool, dtype: DTypeLike) -> Dataset:
    (x_train, t_train), (x_test, t_test) = embedded_digits()
    shape = (-1, SIDE * SIDE) if flatten else (-1, 1, SIDE, SIDE)
    return Dataset(
        "embedded digits",
        x_train.reshape(shape).astype(dtype, copy=False),
        shape_labels(t_train, one_hot, dtype),
        x_test.reshape(shape).astype(dtype, copy=False),
        shape_labels(t_test, one_hot, dtype),
    )
