"""Tracebacks that end in the user's own code."""

from types import TracebackType


def leave_own_frames_out(error: BaseException) -> None:
    """Take the frames of gradlab's modules out of the tracebacks of an exception and of the exceptions before it.

    There stays the line of a test that called a check, and below it the lines of the user's that the check called.
    The tracebacks are changed in place.
    """
    met: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        each = left.pop()
        if each is not None and id(each) not in met:
            met.add(id(each))
            each.__traceback__ = _without_own(each.__traceback__)
            left += [each.__cause__, each.__context__]


def _without_own(traceback: TracebackType | None) -> TracebackType | None:
    kept = []
    while traceback is not None:
        if str(traceback.tb_frame.f_globals.get("__name__")).partition(".")[0] != "gradlab":
            kept.append(traceback)
        traceback = traceback.tb_next
    for entry, following in zip(kept, [*kept[1:], None], strict=False):  # kept may be empty
        entry.tb_next = following
    return kept[0] if kept else None
