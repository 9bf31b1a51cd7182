"""The lookup of a target: from ``MODULE:OBJECT`` to the object."""

import difflib
import os
import pkgutil
import re
import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from types import FunctionType, ModuleType
from typing import Any

from gradlab.adapters.numpy_layer import LayerError
from gradlab.adapters.numpy_layer.forward_calls import forward_methods
from gradlab.adapters.numpy_layer.layer_error import error_text
from gradlab.adapters.numpy_layer.layer_run import backward_methods
from gradlab.adapters.numpy_layer.naming_conventions import is_cost
from gradlab.adapters.numpy_layer.number_places import follow, parse

_TARGET = re.compile(r"([A-Za-z]:[\\/][^:]*|[^:]*)(?::(.*))?", re.DOTALL)
_COMMAS = re.compile(r",(?![^\[]*\])")


def split(target: str) -> tuple[str, str]:
    """Return the module that ``MODULE:OBJECT`` or ``MODULE::OBJECT`` names, and the object, which may be empty."""
    found = _TARGET.fullmatch(target)
    module, name = (found[1], (found[2] or "").removeprefix(":")) if found else (target, "")
    if not module:
        raise LayerError(f"{target!r} names no module: write MODULE:OBJECT, such as layers:Affine")
    return module, name


def find(target: str) -> Any:
    """Return what ``MODULE:OBJECT`` names, a pair for ``MODULE:FORWARD,BACKWARD``, or a module.

    Raises
    ------
    LayerError
        If the module cannot be imported, or has no such object.
    """
    module_name, name = split(target)
    module = load_module(module_name)
    names = [part.strip() for part in _COMMAS.split(name)]
    if len(names) > 2:
        raise LayerError(f"{target} names {len(names)} objects: name two, MODULE:FORWARD,BACKWARD")
    if not name:
        return module
    found = tuple(_at(module, module_name, part) for part in names)
    return found if len(found) == 2 else found[0]


def load_module(name: str) -> ModuleType:
    """Return a module, imported by its name or from its file; raises LayerError if it cannot be."""
    try:
        is_file = name.endswith(".py") or "/" in name or os.sep in name
        return _from_file(name) if is_file else import_module(name)
    except LayerError:
        raise
    except ModuleNotFoundError as error:
        raise LayerError(_missing(name, error.name or "")) from error
    except SyntaxError as error:
        place = f" in {error.filename}, line {error.lineno}" if error.filename and error.lineno else ""
        raise LayerError(f"{name} cannot be imported, {error.msg}{place}: mend that") from error
    except SystemExit as error:
        cure = 'put that under if __name__ == "__main__"'
        raise LayerError(f"{name} calls sys.exit({error.code!r}) while it is imported: {cure}") from error
    except BaseException as error:
        last = extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}, line {last.lineno}"
        raise LayerError(
            f"{name} {error_text(error)}, in {place}, while it is imported: mend that"
        ) from error


def _from_file(name: str) -> ModuleType:
    """Return the module in a file, even if another module has the file's name."""
    path = Path(name).resolve()
    if not path.is_file():
        here = path.parent.glob("*.py") if path.parent.is_dir() else ()
        otherwise = "give the path to a Python file"
        raise LayerError(f"there is no file {name}: {_near(path.name, (p.name for p in here), otherwise)}")
    root, dotted = path.parent, path.stem
    while (root / "__init__.py").is_file():
        root, dotted = root.parent, f"{root.name}.{dotted}"
    sys.path.insert(0, str(root))
    top = dotted.partition(".")[0]
    if top not in sys.modules and top not in sys.stdlib_module_names:
        return import_module(dotted.removesuffix(".__init__"))
    spec = spec_from_file_location(f"{path.stem}_", path)
    if spec is None or spec.loader is None:
        raise LayerError(f"{name} is no Python file: give one whose name ends with .py")
    module = module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


def _missing(name: str, missing: str) -> str:
    """Return the message for a module that is not there, or that imports one that is not there."""
    if name != missing and not name.startswith(f"{missing}."):
        top = missing.partition(".")[0]
        return f"{name} imports {top}, which cannot be found: install it, or call gradlab where it can be imported"
    package, _, last = missing.rpartition(".")
    places = list(getattr(sys.modules.get(package), "__path__", [])) if package else [os.getcwd()]
    known = (module.name for module in pkgutil.iter_modules(places))
    otherwise = "name one that can be imported from here, or give the path to its file"
    return f"no module is named {missing}: {_near(last, known, otherwise)}"


def _at(module: ModuleType, module_name: str, name: str) -> Any:
    """Return the object at a path in a module."""
    try:
        path = parse(name)
    except ValueError as error:
        cure = "write it as Affine, net.layers[0] or LAYERS['affine']"
        raise LayerError(f"{name!r} is no path to an object: {cure}") from error
    value: Any = module
    for step in path:
        try:
            value = follow(value, (step,))
        except (AttributeError, KeyError, IndexError, TypeError) as error:
            kind, key = step
            known = dir(value) if kind != "item" else map(str, value) if isinstance(value, dict) else ()
            cure = _near(str(key), (n for n in known if not n.startswith("__")), "name one that is there")
            where = module_name if value is module else f"{type(value).__name__} in {module_name}"
            raise LayerError(f"{where} has no {key!r}: {cure}") from error
    return value


def _near(name: str, known: Iterable[str], otherwise: str) -> str:
    near = difflib.get_close_matches(name, sorted(known), n=2, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else otherwise


def layer_classes(module: ModuleType) -> list[str]:
    """Return the names of the classes that look like layers and that the module itself defines, in its order."""
    found: dict[int, str] = {}
    for name, value in list(vars(module).items()):
        if isinstance(value, type) and value.__module__ == module.__name__ and is_layer(value):
            found.setdefault(id(value), name)
    return list(found.values())


def function_targets(module: ModuleType) -> list[str]:
    """Return the pairs of functions that a module itself defines, ``NAME_forward,NAME_backward``, and its losses."""
    own = [
        name
        for name, value in vars(module).items()
        if isinstance(value, FunctionType) and value.__module__ == module.__name__
    ]
    pairs = {name: _counterpart(name) for name in own if _counterpart(name) in own}
    partners = set(pairs.values())
    losses = [name for name in own if is_cost(name) and name not in pairs and name not in partners]
    return [*(f"{name},{other}" for name, other in pairs.items()), *losses]


def _counterpart(name: str) -> str:
    """Return the name of the function that runs backwards what a function of this name runs forwards; empty if none."""
    for forward, backward in (("forward", "backward"), ("fprop", "bprop"), ("fwd", "bwd")):
        if forward in name.lower():
            at = name.lower().index(forward)
            here = name[at : at + len(forward)]
            there = (
                backward.capitalize() if here.istitle() else backward.upper() if here.isupper() else backward
            )
            return name[:at] + there + name[at + len(forward) :]
    return ""


def is_layer(value: Any) -> bool:
    """Return whether an object or a class has methods that look like a forward and a backward pass."""
    forwards = forward_methods(value, ())
    return any(backward_methods(value, name) for name in forwards)
