"""The true faults among the operators that ``benchmarks/op_db.py`` accuses, each with its proof in a line."""

from fnmatch import fnmatchcase

from trust_judgements import proof_of_operator

# By library, operator, dtype and check; "*" stands for all. First those of first derivatives in reverse mode.
FAULTS: dict[tuple[str, str, str, str], str] = {}


def proof_of(library: str, subject: str, dtype: str, check: str) -> str:
    """Return the proof that an operator is at fault in what a check looks at, "" if there is none."""
    for pattern, proof in FAULTS.items():
        if all(map(fnmatchcase, (library, subject, dtype, check), pattern)):
            return proof
    return proof_of_operator(subject, check) if library == "torch" else ""
