"""How far long work has come: a bar on a terminal or in a notebook, and a line every ten seconds in a pipe."""

import sys
from collections.abc import Iterable
from typing import Any

# Who reads a log wants to know that it goes on, and not more.
SECONDS = 10.0


def with_progress(items: Iterable[Any], progress: bool, unit: str, total: int | None = None) -> Iterable[Any]:
    """Return the items, and show on stderr how many have been taken, if `progress`."""
    return progress_bar(total, unit, items) if progress else items


def progress_bar(
    total: int | None,
    unit: str,
    items: Iterable[Any] | None = None,
    *,
    shown: bool = True,
    title: str | None = None,
) -> Any:
    """Return tqdm's bar: a picture where somebody looks on, and lines where what is printed is kept."""
    bar = _notebook_bar() or _bar_of_stderr()

    class Unwatched(bar):  # type: ignore[misc, valid-type] # tqdm loads where a bar is wanted
        monitor_interval = 0  # no thread: what a checked function changes is put back where no other one runs

    # without that thread, only an update draws: each is to look at the clock
    return Unwatched(
        items, desc=title, total=total, unit=f" {unit}", leave=False, disable=not shown, miniters=1
    )


def _bar_of_stderr() -> Any:
    from tqdm import tqdm

    return tqdm if sys.stderr.isatty() else _lines_of(tqdm)


def _notebook_bar() -> Any:
    """Return tqdm's bar for notebooks; None outside of them."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or "IPKernelApp" not in shell.config:
        return None
    from tqdm.auto import tqdm

    return tqdm


def _lines_of(bar: Any) -> Any:
    """Return a class of bars that print a line every ten seconds, and none before."""

    class Lines(bar):  # type: ignore[misc] # tqdm loads where a bar is wanted
        def __init__(self, *arguments: Any, **keywords: Any) -> None:
            self.next_s = SECONDS
            super().__init__(*arguments, mininterval=SECONDS, **keywords)

        def display(self, msg: str | None = None, pos: int | None = None) -> bool:
            elapsed = self.format_dict["elapsed"]
            if elapsed >= self.next_s:
                self.next_s = elapsed + SECONDS  # a change of the title asks for a look as well
                of = f" of {self.total}" if self.total else ""
                about = f"{self.desc.removesuffix(': ')}: " if self.desc else ""
                self.fp.write(f"gradlab: {about}{self.n}{of}{self.unit}s in {elapsed:.0f} s\n")
                self.fp.flush()
            return True

        def clear(self, nolock: bool = False) -> None:
            """Leave what is printed: nothing is drawn over it."""

        def close(self) -> None:
            self.disable = True  # nothing is to be wiped off

    return Lines
