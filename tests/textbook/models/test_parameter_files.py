"""Saving: what comes back, what an interruption leaves, and what is refused."""

import io
import os
import re
import subprocess
import sys
import warnings
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from gradlab.report.files import write_bytes_atomically
from gradlab.textbook.models import TwoLayerNet
from gradlab.textbook.models.parameter_files import load, load_model_parameters, save, save_model

RNG = np.random.default_rng(0)
ARRAYS = {
    "W1": RNG.standard_normal((3, 4)),
    "b1": RNG.standard_normal(4).astype(np.float32),
    "scale": np.array(-0.0),
    "special": np.array([np.nan, np.inf, -np.inf, 5e-324]),
    "none": np.zeros((0, 3)),
    "half": np.arange(3, dtype=np.float16),
    "steps": np.array([2**62 + 1, -1]),
    "mask": np.array([True, False]),
    "phase": np.array([1 + 2j]),
    "big endian": np.arange(3, dtype=">f8"),
    "fortran": np.asfortranarray(RNG.standard_normal((3, 4))),
    "strided": RNG.standard_normal((4, 6))[::2, ::-2],
    # names that np.savez or np.load would take for something else
    "file": np.ones(1),
    "allow_pickle": np.zeros(1),
    "a": np.ones(2),
    "a.npy": np.zeros(2),
    "block/0/gewicht \u00fc": np.ones(3),
    "": np.ones(1),
}


def same(found, expected):
    assert list(found) == list(expected)
    for name, a in expected.items():
        assert (found[name].dtype, found[name].shape) == (a.dtype, a.shape), name
        assert np.ascontiguousarray(found[name]).tobytes() == np.ascontiguousarray(a).tobytes(), name


def one_line(message):
    """Return a pattern that this text begins, and that stays within one line."""
    return f"(?s)^{re.escape(message)}[^\n]*$"


def test_arrays_come_back_to_the_bit(tmp_path):
    save(tmp_path / "a.npz", ARRAYS)
    found = load(str(tmp_path / "a.npz"))
    same(found, ARRAYS)
    for a in found.values():
        a[...] = 0  # writeable, and of no other array


def test_an_empty_mapping(tmp_path):
    save(tmp_path / "a.npz", {})
    assert load(tmp_path / "a.npz") == {}


@pytest.mark.parametrize("name", ["model", "model.weights", "model.npz", ".hidden"])
def test_the_name_is_kept_as_given(tmp_path, name):
    save(tmp_path / "new folder" / name, {"W": np.ones(2)})
    assert os.listdir(tmp_path / "new folder") == [name]
    assert list(load(tmp_path / "new folder" / name)) == ["W"]


def test_numpy_reads_it(tmp_path):
    plain = {name: a for name, a in ARRAYS.items() if name not in ("a.npy", "")}
    save(tmp_path / "a.npz", plain)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        same(dict(archive.items()), plain)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_numpys_files_are_read(tmp_path, write):
    plain = {name: a for name, a in ARRAYS.items() if name not in ("file", "allow_pickle")}
    write(tmp_path / "a.npz", **plain)
    same(load(tmp_path / "a.npz"), plain)


def test_the_same_arrays_give_the_same_bytes(tmp_path, monkeypatch):
    save(tmp_path / "a", ARRAYS)
    monkeypatch.setattr("time.time", lambda: 2e9)
    save(tmp_path / "b", ARRAYS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_new_file_has_the_rights_of_any_other(tmp_path):
    save(tmp_path / "a", ARRAYS)
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_writer_that_fails_half_way_leaves_the_old_file(tmp_path, error):
    def write(file):
        file.write(b"half")
        file.flush()
        raise error

    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(type(error)):
        write_bytes_atomically(tmp_path / "a", write)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]
    write_bytes_atomically(tmp_path / "a", lambda file: file.write(b"new"))
    assert (tmp_path / "a").read_bytes() == b"new"


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch, error):
    old, write_array, calls = {"W": np.ones(3), "b": np.zeros(3)}, np.lib.format.write_array, iter(range(9))
    save(tmp_path / "a", old)

    def fails_at_the_second(*args, **kwargs):
        write_array(*args, **kwargs)
        if next(calls):
            raise error

    monkeypatch.setattr(np.lib.format, "write_array", fails_at_the_second)
    with pytest.raises(type(error)):
        save(tmp_path / "a", {"W": np.zeros(3), "b": np.ones(3)})
    assert os.listdir(tmp_path) == ["a"]
    same(load(tmp_path / "a"), old)


def test_a_killed_save_leaves_the_old_file(tmp_path):
    save(tmp_path / "a", {"W": np.ones(3)})
    code = (
        "import os, sys, numpy as np; from gradlab.textbook.models.parameter_files import save; "
        "write = np.lib.format.write_array; "
        "np.lib.format.write_array = lambda *a, **k: (write(*a, **k), a[0]._fileobj.flush(), os._exit(9)); "
        "save(sys.argv[1], {'W': np.zeros(1000)})"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")]).returncode == 9
    same(load(tmp_path / "a"), {"W": np.ones(3)})


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        (
            {"W": np.array([None])},
            TypeError,
            "'W' has dtype object, which is not saved: give an array of numbers",
        ),
        ({"W": "text"}, TypeError, "'W' has dtype <U4, which is not saved: give"),
        ({"W": np.zeros(1, "f8,i4")}, TypeError, "'W' has dtype "),
        ({0: np.ones(1)}, ValueError, "0 cannot be the name of a saved array: give a string"),
        ({"W\0": np.ones(1)}, ValueError, r"'W\x00' cannot be the name of a saved array: give a string"),
        ([np.ones(1)], TypeError, "arrays is a list: give a mapping of names to arrays"),
    ],
)
def test_what_cannot_be_saved_leaves_the_old_file(tmp_path, arrays, error, message):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(error, match=one_line(message)):
        save(tmp_path / "a", arrays)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def refused(path, message=""):
    with pytest.raises(ValueError, match=one_line(f"{path} {message}")) as caught:
        load(path)
    assert ": " in str(caught.value).removeprefix(str(path))


def test_a_file_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    save(path, {"W": np.arange(3.0), "b": np.ones(2)})
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(path, "is cut, damaged or no .npz file: give a file by gradlab's save")


def loaded_or_refused(path):
    try:
        return load(path)
    except ValueError as error:
        return str(error)


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("bit", [0, 3, 5])
def test_a_flipped_bit_is_refused_or_harmless(tmp_path, write, bit):
    path, arrays = tmp_path / "a.npz", {"W": np.arange(3.0), "b": np.ones(2)}
    write(path, **arrays)
    whole, harmless = path.read_bytes(), 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        result = loaded_or_refused(path)
        if isinstance(result, str):
            assert re.match(one_line(f"{path} "), result)
        else:
            harmless += 1
            same(result, arrays)
    assert harmless < len(whole) / 2  # dates and the like


def _npy(array, **changed):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {**np.lib.format.header_data_from_array_1_0(array), **changed})
    return file.getvalue() + array.tobytes()


def _archive(path, **entries):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name.replace("_", "."), data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has no array under 'W'"),
        (b"not an array", "has no array under 'W'"),
        (_npy(np.ones(3))[:-1], "has 'W' with too few or too many bytes"),
        (_npy(np.ones(3)) + b"\0", "has 'W' with too few or too many bytes"),
        (_npy(np.ones(3))[:60], "has no array under 'W'"),
        (_npy(np.ones(3), shape=(10**15,)), "has 'W' with too few or too many bytes"),
        (_npy(np.ones(3), shape=(-3, -1)), "has 'W' with too few or too many bytes"),
        (_npy(np.ones(3), descr="nonsense"), "has no array under 'W'"),
        (_npy(np.ones(3), descr="|O"), "has 'W' with dtype object"),
        (_npy(np.ones(3), shape=(3,) * 5000), "has no array under 'W'"),
        (b"\x93NUMPY\x04" + _npy(np.ones(3))[7:], "has no array under 'W'"),
        (b"\x93NUMPY\x01\x00\x10\x00" + 16 * b"(", "has no array under 'W'"),
    ],
)
def test_a_whole_archive_of_no_arrays_is_refused(tmp_path, data, message):
    _archive(tmp_path / "a.npz", W_npy=data)
    refused(tmp_path / "a.npz", message)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format(tmp_path, version):
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy says that older ones cannot read it
        np.lib.format.write_array(file, np.arange(3.0), version=version)
    _archive(tmp_path / "a.npz", W_npy=file.getvalue())
    same(load(tmp_path / "a.npz"), {"W": np.arange(3.0)})


class Trap:
    def __reduce__(self):
        return os.mkdir, ("unpickled",)


def test_pickles_are_refused_and_not_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", W=np.array([Trap()], dtype=object))
    refused("a.npz", "has 'W' with dtype object: save it anew as an array of numbers")
    assert os.listdir() == ["a.npz"]


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    for data in (b"", b"some text", _npy(np.ones(3))):
        path.write_bytes(data)
        refused(path, "is cut, damaged or no .npz file: give a file by gradlab's save")
    _archive(path, readme_txt="hello")
    refused(path, "has the entry 'readme.txt', which is no array: give a file by gradlab's save")
    _archive(path, V_npy=_npy(np.ones(3)), W_npy=_npy(np.ones(3)))
    path.write_bytes(path.read_bytes().replace(b"V.npy", b"W.npy"))
    refused(path, "is cut, damaged or no .npz file")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz"):
        load(tmp_path / "nowhere.npz")


def test_a_model_comes_back(tmp_path):
    first, second = (TwoLayerNet(4, 6, 3, weight_init_std=0.5, rng=seed) for seed in (1, 2))
    x, arrays = RNG.standard_normal((5, 4)), dict(second.params)
    save_model(first, tmp_path / "net.npz")
    assert not np.array_equal(first.predict(x), second.predict(x))
    load_model_parameters(second, tmp_path / "net.npz")
    assert np.array_equal(first.predict(x), second.predict(x))
    assert all(second.params[name] is a for name, a in arrays.items())  # in place: the layers hold them


def plain(**params):
    return SimpleNamespace(params=params)


SMALL, LARGE = np.float32, np.float64


@pytest.mark.parametrize(
    ("saved", "own"), [(SMALL, LARGE), (">f8", LARGE), (np.float16, SMALL), ("i4", "i8")]
)
def test_dtypes_that_keep_every_number(tmp_path, saved, own):
    values = np.array([0, 1, -3, 2047]).astype(saved)
    model = plain(W=np.zeros(4, own))
    save_model(plain(W=values), tmp_path / "a")
    load_model_parameters(model, tmp_path / "a")
    assert model.params["W"].dtype == own
    assert np.array_equal(model.params["W"], values)


W, B = np.ones((2, 3)), np.ones(3)
FROZEN = np.ones(3)
FROZEN.flags.writeable = False
SAME = "give a file that was saved from the same model"


@pytest.mark.parametrize(
    ("saved", "b", "message"),
    [
        ({"W": W}, B, f"{{}} lacks ['b']: {SAME}"),
        ({"W": W, "b": B, "c": B}, B, f"{{}} has ['c'], which the model has not: {SAME}"),
        (
            {"W": W, "b": B[:, None]},
            B,
            "{} has 'b' of shape (3, 1), the model of shape (3,): make the model as it",
        ),
        (
            {"W": W, "b": np.array(1.0)},
            B,
            "{} has 'b' of shape (), the model of shape (3,): make the model as it",
        ),
        (
            {"W": W, "b": B},
            B.astype(SMALL),
            "{} has 'b' as float64, which the model's float32 cannot keep exactly: make the model with float64",
        ),
        (
            {"W": W, "b": np.arange(3)},
            B,
            "{} has 'b' as int64, which the model's float64 cannot keep exactly: ",
        ),
        (
            {"W": W, "b": B + 0j},
            B,
            "{} has 'b' as complex128, which the model's float64 cannot keep exactly: ",
        ),
        ({"W": W, "b": B > 0}, B, "{} has 'b' as bool, which the model's float64 cannot keep exactly: make"),
        ({"W": W, "b": B}, FROZEN, "the model's 'b' cannot be changed in place: give it a writeable array"),
        (
            {"W": W, "b": B},
            [1.0, 1.0, 1.0],
            "the model's 'b' cannot be changed in place: give it a writeable",
        ),
    ],
)
def test_what_does_not_fit_the_model_changes_nothing(tmp_path, saved, b, message):
    path = tmp_path / "a.npz"
    save(path, saved)
    model = plain(W=np.zeros((2, 3)), b=b)
    before = {name: np.array(p) for name, p in model.params.items()}
    with pytest.raises(ValueError, match=one_line(message.format(path))):
        load_model_parameters(model, path)
    same({name: np.array(p) for name, p in model.params.items()}, before)


def test_a_damaged_file_changes_nothing(tmp_path):
    path, model = tmp_path / "a.npz", plain(W=np.zeros(100), b=np.zeros(100))
    save(path, {"W": np.ones(100), "b": np.ones(100)})
    damaged = bytearray(path.read_bytes())
    damaged[-400] ^= 1  # among the numbers of b, the second
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="is cut, damaged"):
        load_model_parameters(model, path)
    assert not model.params["W"].any()
    assert not model.params["b"].any()


def test_what_is_no_model(tmp_path):
    with pytest.raises(TypeError, match=r"^a PosixPath has no params: give a model that has$"):
        save_model(tmp_path / "a", plain(W=W))
    with pytest.raises(TypeError, match=r"^params is a list: give a mapping of names to arrays$"):
        save_model(SimpleNamespace(params=[W]), tmp_path / "a")
    with pytest.raises(TypeError, match=r"^params is a list: give a mapping of names to arrays$"):
        load_model_parameters(SimpleNamespace(params=[W]), tmp_path / "a")
