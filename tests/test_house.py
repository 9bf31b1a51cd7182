"""What the plan of the house asks for and import-linter's contracts do not hold: CONTRIBUTING.md draws it."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import gradlab

PACKAGE = Path(gradlab.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
AT_THE_ROOT = {"__init__", "__main__", "cli", "node", "pytest_plugin", "sampling", "verdict"}


@cache
def tree(path):
    return ast.parse(path.read_text())


def module_of(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def folder_of(path):
    return ".".join(path.parent.relative_to(PACKAGE.parent).parts)


MODULES = {module_of(path): path for path in FILES}


def imports(path):
    """Yield the module and the names of every import from gradlab, wherever in a file it stands."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gradlab":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner, "") if inner in MODULES else (node.module, alias.name)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name in MODULES)


def private_imports():
    for path in FILES:
        for module, _ in imports(path):
            folder, _, name = module.rpartition(".")
            if name.startswith("_") and folder != folder_of(path):
                yield f"{module_of(path)} imports {module}"


def test_few_modules_lie_at_the_root():
    assert {path.stem for path in PACKAGE.glob("*.py")} == AT_THE_ROOT


def test_a_private_module_is_imported_in_its_own_folder_only():
    # import-linter lets the folders below have it too
    assert list(private_imports()) == []


def test_a_class_name_is_defined_once():
    defined = defaultdict(list)
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                defined[node.name].append(module_of(path))
    assert {name: places for name, places in defined.items() if len(places) > 1} == {}


def test_what_another_file_calls_says_what_it_does():
    wanted = {(module, name) for path in FILES for module, name in imports(path) if name}
    silent = [
        f"{module}.{node.name}"
        for module, path in MODULES.items()
        for node in tree(path).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and (module, node.name) in wanted
        and ast.get_docstring(node) is None
    ]
    # the docstring of a node's functions is their module's
    assert [name for name in silent if not name.startswith("gradlab.nodes.")] == []


def test_every_room_has_tests_of_its_own():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    tests = {path.name for path in Path(__file__).parent.iterdir() if path.is_dir()}
    assert rooms <= tests
