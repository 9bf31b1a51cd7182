"""What is raised where a layer cannot be checked: one line, which ends with the cure."""


class LayerError(ValueError):
    """A layer, or the call for it, from which nothing can be checked; the message ends with the cure."""


def error_text(error: BaseException) -> str:
    """Return an exception in one line."""
    text = " ".join(str(error).split())
    if isinstance(error, LayerError):
        return text
    return f"raised {type(error).__name__}: {text}" if text else f"raised {type(error).__name__}"
