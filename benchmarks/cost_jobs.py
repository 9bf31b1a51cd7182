"""Calls that may hang or crash, each timed in a worker process, so that a benchmark outlives them.

A module of jobs has a function ``job(name, **settings)`` that returns how many elements are checked, and the ways to
do it: what is called, by name. A worker takes one job after the other, calls the ways in turn and tells of each call in
a line of JSON. Where one call takes too long, or the process dies, a new worker goes on. What a first call loads is
nobody's cost: a worker calls the module's function ``warm_up()`` before all else.
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
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import shorten
from time import perf_counter
from typing import IO, Any

from tqdm import tqdm

from gradlab.report import Report, Row
from gradlab.verdict import Verdict

Ways = Mapping[str, Callable[[], object]]

GRADLAB = "gradlab"
CRASHED, KILLED = "crashed", "killed"
ROUNDS, SLOW = 3, 1.0  # a call is repeated so often, unless it takes longer than this
LONGEST = 400  # characters of a sentence in a report
TOLD = ("verdict", "check", "sample", "primal", "worst_index", "analytic", "numerical", "note")
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
    ended : dict
        Of ways that are asked apart, why one has no result: an exception, a crash, or too much time.
    damaged_by : str
        The job before this one in its worker, if the worker crashed in a peer here and a fresh one did not.
    """

    name: str
    elements: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    running: str = ""
    raised: str = ""
    failed: str = ""
    ended: dict[str, str] = field(default_factory=dict)
    damaged_by: str = ""

    def ratio(self, peer: str) -> float | None:
        """Return gradlab's time over a peer's; None if one of them has none."""
        if not {GRADLAB, peer} <= self.seconds.keys():
            return None
        return self.seconds[GRADLAB] / self.seconds[peer]


@dataclass(eq=False)
class Worker:
    """A process that does jobs, and the lines that it says; "" is the last."""

    process: subprocess.Popen[str]
    errors: IO[bytes]
    said: queue.Queue[str] = field(default_factory=queue.Queue)
    ready: bool = False

    def end(self) -> None:
        """End it, with the processes that it may have started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@dataclass(eq=False)
class Crew:
    """The jobs that wait, what each worker is told first, and the workers; no new one comes once it is stopped."""

    order: Mapping[str, Any]
    patience: float
    waiting: deque[str]
    workers: list[Worker] = field(default_factory=list)
    stopped: bool = False

    def stop(self) -> None:
        """End every worker, and leave the rest undone."""
        self.stopped = True
        for worker in list(self.workers):
            worker.end()


def measure(
    module: str,
    names: Sequence[str],
    patience: float,
    unit: str,
    workers: int = 1,
    apart: bool = False,
    **settings: Any,
) -> Generator[Measured, None, None]:
    """Yield what workers tell of each job of a module; a call ends after `patience` seconds.

    One worker does them in their order, several as they come to it. Ways are called in turn several times, and the
    first that raises or dies ends the job; `apart`, each is called once, whatever becomes of the others. The settings
    are those of the module's function `job`.
    """
    crew = Crew({"module": module, "settings": settings, "apart": apart}, patience, deque(names))
    found: queue.Queue[Measured | BaseException | None] = queue.Queue()

    def work() -> None:
        try:
            for each in one_after_another(crew):
                found.put(each)
            found.put(None)
        except BaseException as error:
            found.put(error)

    threads = [threading.Thread(target=work) for _ in range(min(workers, len(names)))]
    with tqdm(total=len(names), unit=unit, leave=False, disable=None) as bar:
        try:
            for thread in threads:
                thread.start()
            running = len(threads)
            while running:
                each = found.get()
                if isinstance(each, BaseException):
                    raise each
                if each is None:
                    running -= 1
                else:
                    bar.update()
                    yield each
        finally:
            crew.stop()
            for thread in threads:
                thread.join()


def one_after_another(crew: Crew) -> Iterator[Measured]:
    """Yield what one worker, and those that take its place when it dies, tell of the jobs that they take."""
    worker: Worker | None = None
    before = ""
    while not crew.stopped:
        try:
            found = Measured(crew.waiting.popleft())
        except IndexError:
            return
        while not crew.stopped:
            worker = worker or started(crew)
            why = asked(worker, found, crew.patience)
            if not why:
                break
            worker.end()
            worker = None
            if not crew.order["apart"] or not found.running:
                found.failed = why
                break
            innocent = before and found.running != GRADLAB and not found.damaged_by
            if why.startswith(CRASHED) and innocent:
                # a check that has damaged the memory may kill the next one: a fresh worker knows which it was
                found.damaged_by = before
                continue
            # the ways that were not called yet are those of the next worker
            found.ended[found.running], found.running, before = why, "", ""
        if any(why.startswith(CRASHED) for way, why in found.ended.items() if way != GRADLAB):
            found.damaged_by = ""
        if not crew.stopped:
            yield found
        before = found.name if worker else ""


def started(crew: Crew) -> Worker:
    """Return a new worker, which has been told what its jobs are."""
    errors = tempfile.TemporaryFile()  # noqa: SIM115  (it lives as long as the worker)
    process = subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**os.environ, **THREADS, "JAX_PLATFORMS": "cpu"},
        start_new_session=True,
        text=True,
    )
    worker = Worker(process, errors)
    crew.workers.append(worker)
    if crew.stopped:
        worker.end()

    def listen() -> None:
        for line in process.stdout or ():
            worker.said.put(line)
        worker.said.put("")

    threading.Thread(target=listen, daemon=True).start()
    tell(worker, crew.order)
    return worker


def tell(worker: Worker, message: Mapping[str, Any]) -> None:
    """Send a worker a line; that one is dead already is seen by what it does not say."""
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(message), file=worker.process.stdin, flush=True)


def asked(worker: Worker, found: Measured, patience: float) -> str:
    """Let a worker do a job and add what it tells; return why there is no end of it, "" if there is one."""
    tell(worker, {"name": found.name, "without": [*found.told, *found.ended]})
    while True:
        try:
            line = worker.said.get(timeout=patience if worker.ready else STARTING)
        except queue.Empty:
            return f"{KILLED} after {patience:g} s"
        if not line:
            return end_of(worker, patience)
        message = json.loads(line)
        worker.ready = True
        add(message, found)
        if message.get("done"):
            return ""


def add(message: Mapping[str, Any], found: Measured) -> None:
    found.elements = message.get("elements", found.elements)
    found.raised = message.get("raised", found.raised)
    found.running = message.get("begins", found.running)
    found.ended.update(message.get("ended", {}))
    if "seconds" in message:
        way = message["way"]
        found.seconds[way] = min(message["seconds"], found.seconds.get(way, float("inf")))
        found.told.setdefault(way, {}).update(message.get("told", {}))


def end_of(worker: Worker, patience: float) -> str:
    """Return why a worker says no more."""
    try:
        # its output may end a moment before it does
        status = worker.process.wait(timeout=1)
    except subprocess.TimeoutExpired:
        return f"{KILLED} after {patience:g} s"
    if status < 0:
        return f"{CRASHED}: {signal.Signals(-status).name}"
    worker.errors.seek(0)
    *_, last = worker.errors.read().decode(errors="replace").strip().splitlines() or [f"exit status {status}"]
    return f"{CRASHED}: {last}"


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
            "rows": [told_row(row) for row in result.rows if row.verdict not in (Verdict.PASS, Verdict.KINK)],
        }
    return {"ok": result} if isinstance(result, bool) else {}


def told_row(row: Row) -> dict[str, Any]:
    """Return what is worth telling of a row that is not all right."""
    return {name: getattr(row, name) for name in TOLD} | {"sentence": row.sentence()}


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
    """Do the jobs that stdin names, a line each, and tell of each call on stdout."""
    order = json.loads(sys.stdin.readline())
    # what a job prints must not get among the lines
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")

    def say(**message: Any) -> None:
        print(json.dumps(message), file=lines)

    module = importlib.import_module(order["module"])
    module.warm_up()
    say(ready=True)
    call = call_apart if order["apart"] else call_in_turn
    for line in sys.stdin:
        asked_for = json.loads(line)
        try:
            elements, ways = module.job(asked_for["name"], **order["settings"])
            call(elements, ways, say, asked_for["without"])
        except Exception as error:
            say(raised=cut(f"{type(error).__name__}: {error}"))
        say(done=True)


def call_in_turn(elements: int, ways: Ways, say: Callable[..., None], without: Collection[str]) -> None:
    """Call each way several times; the first that raises ends the job."""
    say(elements=elements)
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for way, call in ways.items():
            if best.get(way, 0.0) > SLOW or way in without:
                continue
            say(begins=way)
            start = perf_counter()
            result = call()
            taken = perf_counter() - start
            best[way] = min(taken, best.get(way, taken))
            say(way=way, seconds=taken, told=outcome_of(result))


def call_apart(elements: int, ways: Ways, say: Callable[..., None], without: Collection[str]) -> None:
    """Call each way once; one that raises ends itself alone."""
    say(elements=elements)
    for way, call in ways.items():
        if way in without:
            continue
        say(begins=way)
        start = perf_counter()
        try:
            result = call()
        except Exception as error:
            told = cut(f"{type(error).__name__}: {error}")
            say(ended={way: told}, way=way, seconds=perf_counter() - start)
            continue
        say(way=way, seconds=perf_counter() - start, told=outcome_of(result))


if __name__ == "__main__":
    serve()
