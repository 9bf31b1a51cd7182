"""Kernels and operators on an accelerator: ``python benchmarks/on_gpu.py``.

The kernels of the corpus beside their references, and fifty of torch's operators beside gradcheck, all on the device;
where there is none, it says so. The exit status is 1 if a right one is accused or a wrong one passes. ``--device cpu``
runs the same where there is no other.
"""

import argparse
import importlib
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from cost_jobs import evenly_chosen
from cost_operators import database, is_differentiated, samples_of
from torch.autograd import gradcheck
from tqdm import tqdm
from trust_judgements import proof_of_operator

from gradlab import check_torch
from gradlab.report.envelope import environment
from gradlab.report.numbers import seconds
from gradlab.report.pages import made_by
from gradlab.report.tables import table

CORPUS = Path(__file__).parents[1] / "tests" / "corpora" / "frameworks" / "kernels"
OPERATORS, ELEMENTS = 50, 400


def main() -> int:
    parser = argparse.ArgumentParser(description="Check kernels and operators on an accelerator.")
    parser.add_argument("--device", default="cuda", help="(default: cuda)")
    options = parser.parse_args()
    if torch.device(options.device).type == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device that torch can use here: nothing was run.")
        return 0
    warnings.simplefilter("ignore")
    where = torch.cuda.get_device_name() if options.device.startswith("cuda") else options.device
    command = " ".join(["python benchmarks/on_gpu.py", *sys.argv[1:]])
    print(f"# On {where}\n\n{made_by(command, environment(torch=torch.__version__))}\n")
    kernels = [said_of_kernel(*kernel, options.device) for kernel in tqdm(list(each_kernel()), disable=None)]
    names = evenly_chosen(list(database()), OPERATORS)
    operators = [said_of_operator(name, options.device) for name in tqdm(names, disable=None)]
    print(section("Kernels beside their references", kernels))
    print(section("Operators beside gradcheck", operators))
    return int(any(is_missed(*said[1:3]) for said in (*kernels, *operators)))


def each_kernel() -> Iterator[tuple[Any, str]]:
    """Yield the kernels of the corpus, each with the precisions that its author speaks of."""
    for path in sorted(CORPUS.glob("torch_*.py")):
        module = importlib.import_module(f"tests.corpora.frameworks.kernels.{path.stem}")
        for entry in module.ENTRIES:
            for dtype in module.DTYPES[entry.name]:
                yield entry, dtype


def said_of_kernel(entry: Any, dtype: str, device: str) -> tuple[str, str, str, float]:
    """Return a kernel's name, whether it is wrong, what was said, and the seconds that this took."""
    call = entry.make(getattr(torch, dtype))
    inputs = [moved(x, device) for x in call.inputs]
    settings = {name: moved(x, device) for name, x in call.settings.items()}
    run, reference = (partial(on_device, function, device) for function in (call.function, call.reference))
    start = perf_counter()
    try:
        report = check_torch(run, *inputs, settings=settings, reference=reference, name=entry.name)
        said = "right" if report.ok else "wrong"
    except Exception as error:
        said = f"refused: {type(error).__name__}: {str(error).splitlines()[0]}"
    return f"{entry.name}, {dtype}", "wrong" if entry.wrong else "right", said, perf_counter() - start


def moved(x: Any, device: str) -> Any:
    """Return an input on the device; it requires a gradient if it did."""
    if not isinstance(x, torch.Tensor):
        return x
    return x.detach().to(device).requires_grad_(x.requires_grad)


def on_device(function: Any, device: str, *args: Any, **settings: Any) -> Any:
    """Return what a function returns where its new tensors are made on the device."""
    with torch.device(device):
        return function(*args, **settings)


def said_of_operator(name: str, device: str) -> tuple[str, str, str, float]:
    """Return the same of an operator at its first small sample; what gradcheck says counts as the truth."""
    op = database()[name]
    if torch.float64 not in op.supported_backward_dtypes(device):
        return name, "not there", "not asked", 0.0
    samples = (
        (fn, tensors)
        for fn, tensors in samples_of(op, is_differentiated, device=device)
        if sum(tensor.numel() for tensor in tensors) <= ELEMENTS
    )
    for fn, tensors in islice(samples, 1):
        start = perf_counter()
        try:
            gradcheck(fn, tuple(tensors), nondet_tol=op.gradcheck_nondet_tol, check_batched_grad=False)
            truth = "right"
        except Exception:
            truth = "not passed by gradcheck"
        try:
            report = check_torch(fn, *tensors, name=name, nondet_tol=op.gradcheck_nondet_tol or None)
            said = "right" if report.ok else f"wrong: {report.faults[0].sentence}"
        except Exception as error:
            said = f"refused: {type(error).__name__}: {str(error).splitlines()[0]}"
        truth = "wrong" if proof_of_operator(name) and said.startswith("wrong") else truth
        return name, truth, said, perf_counter() - start
    return name, "not there", "not asked", 0.0


def is_missed(truth: str, said: str) -> bool:
    """Return whether a right one is not passed, or a wrong one not rejected."""
    return truth in ("right", "wrong") and not said.startswith(truth)


def section(title: str, found: list[tuple[str, str, str, float]]) -> str:
    """Return what was said, counted, and one by one where it was said otherwise."""
    counted = Counter((truth, said.partition(":")[0]) for _, truth, said, _ in found)
    lines = [(truth, said, f"{count}") for (truth, said), count in sorted(counted.items())]
    missed = [f"- {name}: {truth}, said: {said}" for name, truth, said, _ in found if is_missed(truth, said)]
    took = sum(spent for *_, spent in found)
    parts = [
        f"## {title}",
        table(("is", "said", "how many"), lines, "github"),
        f"It took {seconds(took)}.",
        "\n".join(missed) or "Nothing was said otherwise.",
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.exit(main())
