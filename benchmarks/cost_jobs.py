"""Calls that may hang or crash, each timed in a worker process, so that a benchmark outlives them.

A module of jobs has a function ``job(name, **settings)`` that returns how many elements are checked, and the ways to
do it: what is called, by name. The worker calls the ways in turn and tells of each call in a line of JSON. Where one
call takes too long, or the process dies, a new worker goes on with the next job. What a first call loads is nobody's
cost: a worker calls the module's function ``warm_up()`` before all else.
"""

import contextlib
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import shorten
from time import perf_counter
from typing import Any

from tqdm import tqdm

from gradlab.report import Report
from gradlab.verdict import Verdict

Ways = Mapping[str, Callable[[], object]]

GRADLAB = "gradlab"
ROUNDS, SLOW = 3, 1.0  # a call is repeated so often, unless it takes longer than this
LONGEST = 400  # characters of a sentence in a report
STARTING = 120.0  # seconds in which a worker must have loaded what it needs
THREADS = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass
class Measured:
    """What a worker told of one job.

    Attributes
    ----------
    name : str
    elements : int
        How many elements were checked.
    seconds : dict
        The best time of each way.
    told : dict
        What came of the last call of each way: see `outcome_of`.
    running : str
        The way that was called last.
    raised : str
        The exception that ended the job.
    failed : str
        Why the job has no end: a crash, or too much time.
    """

    name: str
    elements: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: str = ""
    raised: str = ""
    failed: str = ""

    def ratio(self, peer: str) -> float | None:
        """Return gradlab's time over a peer's; None if one of them has none."""
        if not {GRADLAB, peer} <= self.seconds.keys():
            return None
        return self.seconds[GRADLAB] / self.seconds[peer]


def measure(
    module: str, names: Sequence[str], patience: float, unit: str, **settings: Any
) -> Iterator[Measured]:
    """Yield what workers tell of each job of a module, in their order; a call ends after `patience` seconds.

    The settings are those of the module's function `job`.
    """
    with tqdm(total=len(names), unit=unit, leave=False, disable=None) as bar:
        waiting = list(names)
        while waiting:
            # a worker that dies has spent the first job that it did not finish
            for found in one_worker(module, list(waiting), patience, settings):
                waiting.pop(0)
                bar.update()
                yield found


def one_worker(
    module: str, names: Sequence[str], patience: float, settings: Mapping[str, Any]
) -> Iterator[Measured]:
    """Yield what one worker tells, up to the job that it does not survive."""
    order = {"module": module, "names": list(names), "settings": dict(settings)}
    with tempfile.TemporaryFile() as errors, subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, **THREADS, "JAX_PLATFORMS": "cpu"},
        start_new_session=True,
        text=True,
    ) as worker:  # fmt: skip
        try:
            assert worker.stdin is not None
            worker.stdin.write(json.dumps(order))
            worker.stdin.close()
            done, found = 0, Measured(names[0])
            for message in messages_of(worker, patience):
                add(message, found)
                if message.get("done"):
                    yield found
                    done += 1
                    if done == len(names):
                        return
                    found = Measured(names[done])
            found.failed = end_of(worker, patience, errors)
            yield found
        finally:
            # with the processes that it may have started
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)


def messages_of(worker: subprocess.Popen[str], patience: float) -> Iterator[dict[str, Any]]:
    """Yield what a worker says, until it has ended or said nothing for too long."""
    said: queue.Queue[str] = queue.Queue()

    def listen() -> None:
        for line in worker.stdout or ():
            said.put(line)
        said.put("")

    threading.Thread(target=listen, daemon=True).start()
    wait = STARTING
    with contextlib.suppress(queue.Empty):
        while line := said.get(timeout=wait):
            yield json.loads(line)
            wait = patience


def add(message: Mapping[str, Any], found: Measured) -> None:
    found.elements = message.get("elements", found.elements)
    found.raised = message.get("raised", found.raised)
    found.running = message.get("begins", found.running)
    if "seconds" in message:
        way = message["way"]
        found.seconds[way] = min(message["seconds"], found.seconds.get(way, float("inf")))
        found.told[way] = message["told"]


def end_of(worker: subprocess.Popen[str], patience: float, errors: Any) -> str:
    """Return why a worker says no more."""
    try:
        # its output may end a moment before it does
        status = worker.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return f"killed after {patience:g} s"
    if status < 0:
        return f"crashed: {signal.Signals(-status).name}"
    errors.seek(0)
    *_, last = errors.read().decode(errors="replace").strip().splitlines() or [f"exit status {status}"]
    return f"crashed: {last}"


def outcome_of(result: object) -> dict[str, Any]:
    """Return what is worth telling of a result: of a report its verdicts and names, of a peer its yes or no."""
    if isinstance(result, Report):
        sentences: dict[Verdict, list[str]] = {verdict: [] for verdict in Verdict}
        for row in result.rows:
            sentences[row.verdict].append(row.sentence())
        return {
            "ok": result.ok,
            "accused": sentences[Verdict.WRONG],
            "undecided": sentences[Verdict.INCONCLUSIVE],
            "warned": sentences[Verdict.WARNING],
            "named": [fault.sentence for fault in result.faults if fault.confidence],
        }
    return {"ok": result} if isinstance(result, bool) else {}


def evenly_chosen(names: Sequence[str], limit: int | None) -> Sequence[str]:
    """Return at most so many names, one in every so many; all if there is no limit."""
    return names[:: -(-len(names) // limit)] if limit else names


def verdict_of(found: Measured) -> str:
    """Return what gradlab said: right, accused, undecided, refused, or not ended."""
    if found.failed:
        return "not ended"
    if found.raised:
        return "refused"
    return next((kind for kind in ("accused", "undecided") if found.told[GRADLAB][kind]), "right")


def first_sentence(found: Measured) -> list[str]:
    """Return the first of the rows that are not all right, cut off, or why there are none; empty if it is right."""
    if found.failed or found.raised:
        return [f"{found.running or 'before any call'}: {found.failed or found.raised}"]
    told = found.told[GRADLAB]
    return [cut(sentence) for kind in ("accused", "undecided") for sentence in told[kind]][:1]


def cut(sentence: str) -> str:
    """Return a sentence as long as a reader of many wants it."""
    return shorten(sentence, LONGEST, placeholder=" ...")


def gradchecks(fn: Callable[..., Any], inputs: Sequence[Any], modes: Sequence[str], **more: Any) -> Ways:
    """Return torch's gradcheck of a function in some of its modes, slow and fast."""
    from torch.autograd import gradcheck

    return {
        f"gradcheck, {mode}": lambda mode=mode: gradcheck(fn, tuple(inputs), fast_mode=mode == "fast", **more)
        for mode in modes
    }


def warm_up_torch() -> None:
    """Load what the first check and the first gradcheck load."""
    import torch

    from gradlab import check_torch

    x = torch.linspace(0.1, 1.0, 4, dtype=torch.float64).reshape(2, 2).requires_grad_()
    for call in gradchecks(torch.sin, [x], ("slow", "fast")).values():
        call()
    check_torch(torch.sin, x)


def serve() -> None:
    """Do the jobs that stdin names, and tell of each call on stdout."""
    order = json.load(sys.stdin)
    # what a job prints must not get among the lines
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")

    def say(**message: Any) -> None:
        print(json.dumps(message), file=lines)

    module = importlib.import_module(order["module"])
    module.warm_up()
    say(ready=True)
    for name in order["names"]:
        try:
            call_in_turn(*module.job(name, **order["settings"]), say)
        except Exception as error:
            say(raised=cut(f"{type(error).__name__}: {error}"))
        say(done=True)


def call_in_turn(elements: int, ways: Ways, say: Callable[..., None]) -> None:
    """Call each way several times; the first that raises ends the job."""
    say(elements=elements)
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for way, call in ways.items():
            if best.get(way, 0.0) > SLOW:
                continue
            say(begins=way)
            start = perf_counter()
            result = call()
            taken = perf_counter() - start
            best[way] = min(taken, best.get(way, taken))
            say(way=way, seconds=taken, told=outcome_of(result))


if __name__ == "__main__":
    serve()
