"""Each case of the corpus in a process of its own: what gradlab says of it, and what it leaves changed."""

import json
import linecache
import multiprocessing
import os
import random
import re
import signal
import sys
import threading
import time
import warnings

import numpy as np

# In seconds; a check has ten, and may overdraw them for the verdict at the given point.
TIMEOUT = 45.0
# So begin the notes on what cannot be compared at all.
BREACH = re.compile(
    r"(forward|backward) returned |forward's output is |the gradient of \w+ is |a gradient is "
)
KINDS = {"vjp": "check_vjp", "gradient": "check_gradient", "layer": "check_layer"}


def outcome_of(case, timeout=TIMEOUT):
    """Return what became of a case: `said`, `changed`, `seconds`, `note`."""
    receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_run, args=(case, sender))
    start = time.monotonic()
    child.start()
    sender.close()
    try:
        if not receiver.poll(timeout):
            return {"said": "hangs", "changed": [], "seconds": timeout, "note": ""}
        told = json.loads(receiver.recv())
    except EOFError:
        child.join()
        told = {"said": f"dies ({child.exitcode})", "changed": [], "note": ""}
    finally:
        child.kill()
        child.join()
        receiver.close()
    return {"seconds": round(time.monotonic() - start, 2), **told}


def judged(case, outcome):
    """Return what is wrong with an outcome, empty for nothing; and whether the case was decided as it should be."""
    said = outcome["said"]
    if said in ("hangs", "traceback") or said.startswith("dies"):
        return said, False
    if case.truth == "right":
        return ("right called wrong" if said == "wrong" else ""), said == "right"
    if case.truth == "wrong":
        return ("wrong called right" if said == "right" else ""), said == "wrong"
    return ("unusable called right" if said == "right" and not case.may_refuse else ""), said != "right"


def state():
    """Return what a check must leave as it was, by name."""
    return {
        "numpy.random": str(np.random.get_state(legacy=False)),  # noqa: NPY002 # the corpus draws from it
        "random": str(hash(random.getstate())),
        "errstate": str(np.geterr()),
        "filters": str(list(warnings.filters)),
        "stdout": str(id(sys.stdout)),
        "stderr": str(id(sys.stderr)),
        "cwd": _folder(),
        "handlers": str([signal.getsignal(s) for s in (signal.SIGINT, signal.SIGALRM, signal.SIGTERM)]),
        "timer": str(signal.getitimer(signal.ITIMER_REAL)),
        "threads": str(sorted(t.name for t in threading.enumerate())),
        "recursion": str(sys.getrecursionlimit()),
        "hook": str(id(sys.unraisablehook)),
        "print options": str(np.get_printoptions()),
    }


def _folder():
    try:
        return os.getcwd()
    except OSError:
        return ""


def _run(case, sender):
    import gradlab

    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    warnings.simplefilter("ignore")  # that of matrices is deprecated is their own matter
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 # the corpus draws from it
    made, told = case.make(), {}
    before = state()
    try:
        if case.kind == "vjp":
            functions, rest = made[:3], made[3:]
            report = gradlab.check_vjp(*functions, settings=rest[0] if rest else None, strict=False)
        else:
            report = getattr(gradlab, KINDS[case.kind])(*made)
        wrong = [row for row in report.rows if str(row.verdict) == "wrong"]
        refused = bool(wrong) and all(row.analytic is None and BREACH.match(row.note) for row in wrong)
        said = "right" if report.ok else "refused" if refused else "wrong" if wrong else "undecided"
        str(report), report.to_markdown(), report.to_json()
        note = next((f"{r.check}: {r.note}" for r in report.rows if not r.verdict.ok), "")
        told = {"said": said, "note": note}
    except (KeyboardInterrupt, SystemExit) as stop:
        told = {"said": f"stops ({type(stop).__name__})", "note": ""}
    except BaseException as error:
        told = {"said": "refused" if is_own(error) else "traceback", "note": told_of(error)}
    after = state()
    told["changed"] = [name for name in before if before[name] != after[name]]
    sender.send(json.dumps(told))
    sender.close()
    os._exit(0)


def is_own(error):
    """Return whether gradlab raised an exception by itself, and did not let one through."""
    if type(error).__str__ not in (Exception.__str__, BaseException.__str__, KeyError.__str__):
        return False
    traceback = error.__traceback__
    while traceback.tb_next:
        traceback = traceback.tb_next
    code = traceback.tb_frame.f_code
    name = str(traceback.tb_frame.f_globals.get("__name__"))
    line = linecache.getline(code.co_filename, traceback.tb_lineno)
    block = "".join(linecache.getlines(code.co_filename)[traceback.tb_lineno - 4 : traceback.tb_lineno])
    return name.startswith("gradlab.") and ("raise " in line or "raise " in block)


def told_of(error):
    try:
        tail, traceback = [], error.__traceback__
        while traceback:
            tail.append(f"{os.path.basename(traceback.tb_frame.f_code.co_filename)}:{traceback.tb_lineno}")
            traceback = traceback.tb_next
        return f"{type(error).__name__}: {str(error)[:200]} [{' '.join(tail[-6:])}]"
    except BaseException:
        return type(error).__name__
