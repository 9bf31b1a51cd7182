"""MNIST: the file format, the search order, the verification, and the download from a server on localhost."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import gradlab.textbook.datasets as datasets
from gradlab.textbook.datasets import (
    DatasetError,
    idx,
    load_dataset,
    load_mnist,
    make_digits,
    mnist,
    read_idx,
)

REAL = os.environ.get("GRADLAB_MNIST", "")
NAMES = list(idx.SHA256)
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = NAMES

needs_mnist = pytest.mark.skipif(not REAL, reason="set GRADLAB_MNIST to a directory with MNIST's four files")
real_cache_directory = mnist.cache_directory


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test away from the user's cache and variable, and from the network."""
    directory = tmp_path / "cache"
    monkeypatch.setattr(mnist, "cache_directory", lambda: directory)
    monkeypatch.setattr(mnist, "MIRRORS", ("http://127.0.0.1:9/",))
    monkeypatch.delenv("GRADLAB_MNIST", raising=False)
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1,localhost")
    return directory


@pytest.fixture
def arrays(monkeypatch: pytest.MonkeyPatch) -> dict[str, NDArray[np.uint8]]:
    """A small set in MNIST's form, whose hashes are made the expected ones."""
    rng = np.random.default_rng(3)
    made = {
        TRAIN_IMAGES: rng.integers(0, 256, (20, 28, 28), dtype=np.uint8),
        TRAIN_LABELS: rng.integers(0, 10, 20, dtype=np.uint8),
        TEST_IMAGES: rng.integers(0, 256, (7, 28, 28), dtype=np.uint8),
        TEST_LABELS: rng.integers(0, 10, 7, dtype=np.uint8),
    }
    for name, array in made.items():
        monkeypatch.setitem(idx.SHA256, name, hashlib.sha256(idx_bytes(array)).hexdigest())
    return made


@pytest.fixture
def directory(tmp_path: Path, arrays: dict[str, NDArray[np.uint8]]) -> Path:
    """The small set's files, gzipped."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name, array in arrays.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array)))
    return folder


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the embedded digits few, where a test only asks whether they are taken."""
    monkeypatch.setattr(datasets, "embedded_digits", lambda: (make_digits(20, 1), make_digits(10, 2)))


class Mirror:
    """A server on localhost. `bodies` maps a path to what is sent; `cut` drops that many bytes at the end."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.cut: dict[str, int] = {}
        self.asked: list[str] = []
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked.append(self.path)
                body = mirror.bodies.get(self.path)
                if body is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) - mirror.cut.get(self.path, 0)])

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def url(self, folder: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/{folder}/"

    def serve(self, folder: str, arrays: dict[str, NDArray[np.uint8]]) -> None:
        for name, array in arrays.items():
            self.bodies[f"/{folder}/{name}.gz"] = gzip.compress(idx_bytes(array), compresslevel=1)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def mirror(arrays: dict[str, NDArray[np.uint8]], monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """Two mirrors, /one/ and /two/, the second in good order, the first without any file."""
    pytest.importorskip("pooch", reason="pip install 'gradlab[mnist]'")
    server = Mirror()
    server.serve("two", arrays)
    monkeypatch.setattr(mnist, "MIRRORS", (server.url("one"), server.url("two")))
    yield server
    server.stop()


def error_of(call: Any, *args: Any, **options: Any) -> str:
    """Return the message of the DatasetError that the call must raise; it must be one line."""
    with pytest.raises(DatasetError) as caught:
        call(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (0, 28, 28)])
@pytest.mark.parametrize("zipped", [False, True])
def test_read_idx_gives_the_array_of_the_file(tmp_path: Path, shape: tuple[int, ...], zipped: bool) -> None:
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    content = idx_bytes(array)
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content) if zipped else content)
    read = read_idx(path)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array, strict=True)
    assert read.flags.writeable


GOOD = idx_bytes(np.arange(100, dtype=np.uint8).reshape(4, 5, 5))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "truncated"),
        (GOOD[:3], "truncated"),
        (GOOD[:9], "breaks off within its header"),
        (GOOD[:-1], "truncated: 1 bytes of its 100 elements are missing"),
        (GOOD + b"ab", "corrupt: further bytes follow its 100 elements"),
        (b"\x00\x00\x0d" + GOOD[3:], "no IDX file of unsigned bytes"),
        (b"\x01" + GOOD[1:], "no IDX file of unsigned bytes"),
        (b"\x00\x00\x08\x00" + GOOD[4:], "no IDX file of unsigned bytes"),
        (b"\x00\x00\x08\xc8" + b"\x00\x00\x00\x01" * 200 + b"x", "corrupt: no array"),
        (gzip.compress(GOOD)[:-20], "truncated: its gzip stream breaks off"),
        (gzip.compress(GOOD)[:-8] + bytes(8), "corrupt: its gzip stream"),
    ],
)
def test_read_idx_says_what_is_wrong_with_a_file(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "some-file"
    path.write_bytes(content)
    message = error_of(read_idx, path)
    assert str(path) in message
    assert problem in message
    assert message.endswith("; get a good copy of the file")


def test_read_idx_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    message = error_of(read_idx, tmp_path / "none")
    assert "none cannot be read (No such file or directory)" in message


@settings(deadline=None)
@given(head=st.sampled_from([b"", b"\x1f\x8b", b"\x1f\x8b\x08\x00", b"\x00\x00\x08"]), tail=st.binary())
def test_read_idx_raises_nothing_but_a_dataset_error(
    tmp_path_factory: pytest.TempPathFactory, head: bytes, tail: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "random-bytes"
    path.write_bytes(head + tail)
    with contextlib.suppress(DatasetError):
        read_idx(path)


def test_a_named_directory_gives_its_arrays(directory: Path, arrays: dict[str, NDArray[np.uint8]]) -> None:
    data = load_dataset(directory)
    assert data.name == "MNIST"
    for x, images in ((data.x_train, TRAIN_IMAGES), (data.x_test, TEST_IMAGES)):
        np.testing.assert_array_equal(x, arrays[images].reshape(-1, 784) / 255.0, strict=True)
    for t, labels in ((data.t_train, TRAIN_LABELS), (data.t_test, TEST_LABELS)):
        np.testing.assert_array_equal(t, arrays[labels].astype(np.int64), strict=True)


def test_shapes_and_types_on_request(directory: Path, arrays: dict[str, NDArray[np.uint8]]) -> None:
    data = load_dataset(str(directory), one_hot=True, flatten=False, dtype=np.float32)
    assert data.x_train.shape == (20, 1, 28, 28)
    assert data.x_test.shape == (7, 1, 28, 28)
    assert data.x_train.dtype == data.t_train.dtype == np.float32
    expected = arrays[TRAIN_IMAGES].astype(np.float32) / np.float32(255)
    np.testing.assert_array_equal(data.x_train[:, 0], expected)
    assert data.t_train.shape == (20, 10)
    assert data.t_test.shape == (7, 10)
    np.testing.assert_array_equal(data.t_train.sum(axis=1), 1.0)
    np.testing.assert_array_equal(data.t_train.argmax(axis=1), arrays[TRAIN_LABELS])


def test_integer_pixels_are_refused(directory: Path) -> None:
    assert error_of(load_dataset, directory, dtype=np.uint8).endswith("; pass np.float64 or np.float32")


def test_load_mnist_is_the_textbooks(directory: Path, arrays: dict[str, NDArray[np.uint8]]) -> None:
    (x_train, t_train), (x_test, t_test) = load_mnist(data=directory)
    np.testing.assert_array_equal(x_train, arrays[TRAIN_IMAGES].reshape(20, 784) / 255.0, strict=True)
    np.testing.assert_array_equal(t_test, arrays[TEST_LABELS].astype(np.int64), strict=True)

    (x_train, t_train), (x_test, t_test) = load_mnist(False, False, True, data=directory)
    np.testing.assert_array_equal(x_test, arrays[TEST_IMAGES][:, None], strict=True)
    assert t_train.shape == (20, 10)
    assert t_train.dtype == np.float64
    np.testing.assert_array_equal(t_test.argmax(axis=1), arrays[TEST_LABELS])


@pytest.mark.parametrize("spelling", ["{}", "{}.gz", "dotted", "dotted.gz"])
def test_spellings_of_the_file_names(
    tmp_path: Path, arrays: dict[str, NDArray[np.uint8]], spelling: str
) -> None:
    folder = tmp_path / "spelt"
    folder.mkdir()
    for name, array in arrays.items():
        spelt = spelling.format(name).replace("dotted", name.replace("-idx", ".idx"))
        content = idx_bytes(array)
        (folder / spelt).write_bytes(gzip.compress(content) if spelt.endswith("gz") else content)
    assert len(load_dataset(folder).x_train) == 20


def test_the_variable_names_a_directory_and_data_comes_before_it(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADLAB_MNIST", str(directory))
    assert load_dataset().name == "MNIST"
    assert len(load_mnist()[0][0]) == 20
    assert load_dataset("digits").name == "embedded digits"

    monkeypatch.setenv("GRADLAB_MNIST", str(tmp_path / "absent"))
    assert load_dataset(directory).name == "MNIST"
    message = error_of(load_dataset)
    assert str(tmp_path / "absent") in message
    assert "GRADLAB_MNIST" in message


def test_the_variable_can_ask_for_the_digits(
    monkeypatch: pytest.MonkeyPatch, few_digits: None, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRADLAB_MNIST", "digits")
    assert load_dataset().name == "embedded digits"
    assert capsys.readouterr().err == ""
    assert error_of(load_mnist).endswith("; load them by load_dataset")


def test_an_empty_variable_counts_as_unset(
    directory: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.rename(cache)
    monkeypatch.setenv("GRADLAB_MNIST", "")
    assert load_dataset().name == "MNIST"


def test_an_empty_directory_name_is_refused() -> None:
    assert "empty string" in error_of(load_dataset, "")


def test_a_named_directory_never_falls_back(directory: Path, cache: Path) -> None:
    cache.mkdir()
    for path in directory.iterdir():
        (cache / path.name).write_bytes(path.read_bytes())
    (directory / f"{TEST_LABELS}.gz").unlink()
    message = error_of(load_dataset, directory)
    assert f"{directory} has no {TEST_LABELS}" in message
    assert message.endswith(f"; get it from {mnist.MIRRORS[0]}{TEST_LABELS}.gz")


def test_another_container_of_the_same_content_is_accepted(
    directory: Path, arrays: dict[str, NDArray[np.uint8]]
) -> None:
    path = directory / f"{TRAIN_IMAGES}.gz"
    path.write_bytes(gzip.compress(idx_bytes(arrays[TRAIN_IMAGES]), compresslevel=0, mtime=5))
    assert len(load_dataset(directory).x_train) == 20


def test_swapped_files_are_recognised(directory: Path) -> None:
    train, test, spare = (directory / name for name in (f"{TRAIN_IMAGES}.gz", f"{TEST_IMAGES}.gz", "spare"))
    train.rename(spare)
    test.rename(train)
    spare.rename(test)
    message = error_of(load_dataset, directory)
    assert f"{train} is {TEST_IMAGES} under a wrong name" in message
    assert "swapped" in message
    assert message.endswith(f"; get it from {mnist.MIRRORS[0]}{TRAIN_IMAGES}.gz")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (idx_bytes(np.zeros(20, np.uint8)), "mislabelled: it holds labels"),
        (idx_bytes(np.zeros((20, 28, 28), np.uint8)), f"not that of MNIST's {TRAIN_IMAGES}"),
        (GOOD[:-5], "truncated: 5 bytes"),
        (gzip.compress(GOOD)[:-20], "truncated: its gzip stream breaks off"),
        (b"<html>not found</html>", "no IDX file"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(directory: Path, content: bytes, problem: str) -> None:
    path = directory / f"{TRAIN_IMAGES}.gz"
    path.write_bytes(content)
    message = error_of(load_dataset, directory)
    assert message.startswith(str(path))
    assert problem in message
    assert message.endswith(f"; get it from {mnist.MIRRORS[0]}{TRAIN_IMAGES}.gz")


def test_one_changed_pixel_is_noticed(directory: Path, arrays: dict[str, NDArray[np.uint8]]) -> None:
    changed = arrays[TEST_IMAGES].copy()
    changed[3, 14, 14] ^= 1
    (directory / f"{TEST_IMAGES}.gz").write_bytes(gzip.compress(idx_bytes(changed)))
    assert "SHA-256" in error_of(load_mnist, data=directory)


def test_without_pooch_the_digits_are_taken_and_a_line_says_why(
    monkeypatch: pytest.MonkeyPatch, few_digits: None, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mnist, "cache_directory", real_cache_directory)
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert load_dataset().name == "embedded digits"
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "using the embedded digits" in line
    assert line.endswith("; pip install 'gradlab[mnist]' or pass --data DIR\n")
    assert "pip install 'gradlab[mnist]'" in error_of(load_mnist)


def test_pooch_and_what_it_needs_are_imported_late() -> None:
    code = "import sys, gradlab.textbook.datasets; print({'pooch', 'requests', 'tqdm'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_cache_lies_in_the_users_cache_directory() -> None:
    pooch = pytest.importorskip("pooch", reason="pip install 'gradlab[mnist]'")
    assert real_cache_directory() == Path(pooch.os_cache("gradlab")) / "mnist"


def test_a_full_cache_asks_no_server(directory: Path, cache: Path, mirror: Mirror) -> None:
    directory.rename(cache)
    cache.chmod(0o500)
    try:
        assert load_dataset().name == "MNIST"
    finally:
        cache.chmod(0o700)  # or pytest could not clear it away
    assert mirror.asked == []


def test_the_second_mirror_serves_where_the_first_fails(
    cache: Path,
    mirror: Mirror,
    arrays: dict[str, NDArray[np.uint8]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    data = load_dataset()
    assert data.name == "MNIST"
    np.testing.assert_array_equal(data.x_train, arrays[TRAIN_IMAGES].reshape(20, 784) / 255.0)
    assert mirror.asked == [f"/one/{TRAIN_IMAGES}.gz", *(f"/two/{name}.gz" for name in NAMES)]
    assert sorted(path.name for path in cache.iterdir()) == sorted(f"{name}.gz" for name in NAMES)
    assert capfd.readouterr().err == ""

    load_mnist()
    assert len(mirror.asked) == 5, "the second time, the files come from the cache"


def test_the_second_mirror_serves_where_the_first_accepts_no_connection(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", ("http://127.0.0.1:9/", mirror.url("two")))
    assert load_dataset().name == "MNIST"


def test_a_truncated_download_is_not_kept(
    cache: Path, mirror: Mirror, arrays: dict[str, NDArray[np.uint8]]
) -> None:
    mirror.serve("one", arrays)
    mirror.cut = {f"/one/{TEST_IMAGES}.gz": 100, f"/two/{TEST_IMAGES}.gz": 100}
    message = error_of(load_mnist)
    assert message.startswith("MNIST could not be downloaded")
    assert message.count(f"for {TEST_IMAGES}.gz") == 2, "both mirrors were tried"
    assert message.endswith("; check the network or pass --data DIR")
    assert list(cache.iterdir()) == []

    mirror.cut = {f"/one/{TEST_IMAGES}.gz": 100}
    assert len(load_mnist()[1][0]) == 7


def test_wrong_content_is_not_kept_and_comes_from_the_next_mirror(
    cache: Path, mirror: Mirror, arrays: dict[str, NDArray[np.uint8]]
) -> None:
    wrong = arrays | {TRAIN_LABELS: arrays[TRAIN_LABELS] ^ np.uint8(1)}
    mirror.serve("one", wrong)
    (_, t_train), _ = load_mnist()
    np.testing.assert_array_equal(t_train, arrays[TRAIN_LABELS])
    assert [path for path in mirror.asked if path.startswith("/two")] == [f"/two/{TRAIN_LABELS}.gz"]
    np.testing.assert_array_equal(read_idx(cache / f"{TRAIN_LABELS}.gz"), arrays[TRAIN_LABELS])


def test_swapped_files_on_all_mirrors(
    cache: Path, mirror: Mirror, arrays: dict[str, NDArray[np.uint8]]
) -> None:
    swapped = arrays | {TRAIN_IMAGES: arrays[TEST_IMAGES], TEST_IMAGES: arrays[TRAIN_IMAGES]}
    mirror.serve("one", swapped)
    mirror.serve("two", swapped)
    message = error_of(load_mnist)
    assert f": {TRAIN_IMAGES}.gz is {TEST_IMAGES} under a wrong name" in message
    assert list(cache.iterdir()) == []


def test_when_all_mirrors_fail_the_digits_are_taken_and_a_line_says_why(
    cache: Path, mirror: Mirror, few_digits: None, capfd: pytest.CaptureFixture[str]
) -> None:
    mirror.bodies = {}
    assert load_dataset().name == "embedded digits"
    line = capfd.readouterr().err
    assert line.count("\n") == 1
    assert line.startswith("gradlab: using the embedded digits: MNIST could not be downloaded (127.0.0.1:")
    assert line.count(f"HTTP status 404 for {TRAIN_IMAGES}.gz") == 2
    assert line.endswith("; check the network or pass --data DIR\n")
    assert list(cache.iterdir()) == []


def test_a_network_that_swallows_packets_costs_seconds(
    mirror: Mirror, few_digits: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    released = threading.Event()

    def hang(*args: Any, **options: Any) -> socket.socket:
        released.wait(20)
        raise TimeoutError

    monkeypatch.setattr(mnist, "CONNECT_TIMEOUT_S", 0.2)
    monkeypatch.setattr(socket, "create_connection", hang)
    start = time.perf_counter()
    assert load_dataset().name == "embedded digits"
    assert time.perf_counter() - start < 5
    released.set()
    assert capsys.readouterr().err.count("no connection") == 2
    assert mirror.asked == []


def test_a_corrupt_file_in_the_cache_is_reported_and_downloaded_again(
    directory: Path, cache: Path, mirror: Mirror, capfd: pytest.CaptureFixture[str]
) -> None:
    directory.rename(cache)
    corrupt = cache / TEST_LABELS  # not gzipped, so found before the good copy which the download brings
    corrupt.write_bytes(b"\x00\x00\x08\x01")
    assert load_dataset().name == "MNIST"
    line = capfd.readouterr().err
    assert line == f"gradlab: {corrupt} is truncated: it breaks off within its header; downloading it again\n"
    assert mirror.asked == [f"/one/{TEST_LABELS}.gz", f"/two/{TEST_LABELS}.gz"]

    assert load_dataset().name == "MNIST"
    assert capfd.readouterr().err == ""
    assert len(mirror.asked) == 2


def test_an_interrupted_download_leaves_nothing(
    cache: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pooch

    whole = pooch.HTTPDownloader.__call__
    seen: list[Path] = []

    def interrupted(self: Any, url: str, output_file: str, *rest: Any) -> None:
        if TEST_IMAGES not in url:
            whole(self, url, output_file, *rest)
            return
        Path(output_file).write_bytes(b"half a fi")
        seen.extend(path for path in cache.rglob("*") if path.is_file())
        raise KeyboardInterrupt

    monkeypatch.setattr(mnist, "MIRRORS", (mirror.url("two"),))
    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_dataset()
    assert len(seen) == 3, "two files whole and one half were there when the interrupt came"
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_made(cache: Path, mirror: Mirror) -> None:
    cache.write_text("a file where the directory should be")
    message = error_of(load_mnist)
    assert f"the cache {cache} cannot be written (File exists)" in message
    assert message.endswith("; make it writable or pass --data DIR")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_progress_bar_on_a_terminal_only(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    assert load_dataset().name == "MNIST"
    assert ("100%" in capsys.readouterr().err) == terminal


def test_the_mirrors_are_asked_over_https_and_the_hashes_are_mnists() -> None:
    code = (
        "from gradlab.textbook.datasets import idx, mnist\n"
        "print(*mnist.MIRRORS)\n"
        "print(*(f'{name}={digest[:8]}' for name, digest in idx.SHA256.items()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    mirrors, hashes = done.stdout.splitlines()
    assert len(mirrors.split()) == 2
    assert all(url.startswith("https://") and url.endswith("/") for url in mirrors.split())
    assert hashes.split() == [
        "train-images-idx3-ubyte=ba891046",
        "train-labels-idx1-ubyte=65a50cbb",
        "t10k-images-idx3-ubyte=0fa7898d",
        "t10k-labels-idx1-ubyte=ff7bcfd4",
    ]


@pytest.mark.mnist
@needs_mnist
def test_the_real_mnist() -> None:
    data = load_dataset(REAL)
    assert data.name == "MNIST"
    assert data.x_train.shape == (60_000, 784)
    assert data.x_test.shape == (10_000, 784)
    assert data.x_train.dtype == np.float64
    assert data.x_train.min() == 0.0
    assert data.x_train.max() == 1.0
    assert data.t_train[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert data.t_test[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    # The mean and the standard deviation that the literature normalises with.
    assert data.x_train.mean() == pytest.approx(0.1307, abs=5e-5)
    assert data.x_train.std() == pytest.approx(0.3081, abs=5e-5)


@pytest.mark.mnist
@needs_mnist
@pytest.mark.parametrize("kind", ["images-idx3", "labels-idx1"])
def test_the_real_train_and_test_files_exchanged(tmp_path: Path, kind: str) -> None:
    for name in NAMES:
        source = idx.find_file(Path(REAL), name)
        assert source is not None
        other = {"train": "t10k", "t10k": "train"}[name.split("-")[0]]
        link = name.replace(name.split("-")[0], other) if kind in name else name
        (tmp_path / link).symlink_to(source.resolve())
    message = error_of(load_dataset, tmp_path)
    assert f"train-{kind}-ubyte is t10k-{kind}-ubyte under a wrong name" in message
