"""Edits that put something in: the way back from what people leave out, which no edit of a fault leads back to."""

import ast
from collections.abc import Callable, Iterator, Sequence

from gradlab.faults.syntax_nodes import changed, negative, number_in, shifted

Edit = Callable[[ast.AST], Iterator[ast.AST]]

REDUCTIONS = {"sum", "mean", "max", "min", "prod", "any", "all", "argmax", "argmin"}
AXES = ("0", "1", "-1", "None", "2", "(0, 1)", "(0, 2)", "(1, 2)", "(0, 2, 3)", "(0, 1, 2)")
# Of larger numbers no logarithm is tried.
MOST = 10_000
NUMBERS = ("0", "1", "2", "0.5", "-1", "3")


def parsed(text: str) -> ast.expr:
    """Return the syntax of an expression."""
    return ast.parse(text, mode="eval").body


def method_call(node: ast.expr, name: str, *args: ast.expr, **keywords: ast.expr) -> ast.Call:
    """Return the call of a method of what a node gives."""
    return ast.Call(
        ast.Attribute(node, name, ast.Load()),
        list(args),
        [ast.keyword(key, value) for key, value in keywords.items()],
    )


def is_value(node: ast.AST) -> bool:
    """Return whether a node is an expression that gives an array or a number, as far as its form says."""
    loads = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
    return loads and isinstance(
        node, ast.Name | ast.Attribute | ast.Subscript | ast.Call | ast.BinOp | ast.UnaryOp
    )


def minus_put(node: ast.AST) -> Iterator[ast.AST]:
    """Put a minus sign."""
    if is_value(node) and isinstance(node, ast.expr):
        yield ast.UnaryOp(ast.USub(), node)


def transposed(node: ast.AST) -> Iterator[ast.AST]:
    """Transpose an array."""
    if is_value(node) and isinstance(node, ast.expr):
        yield ast.Attribute(node, "T", ast.Load())
        yield method_call(node, "swapaxes", parsed("-1"), parsed("-2"))
        yield method_call(node, "reshape", parsed("-1"), parsed("1"))


def axes_summed(node: ast.AST) -> Iterator[ast.AST]:
    """Sum an array over an axis."""
    if not is_value(node) or not isinstance(node, ast.expr):
        return
    if not isinstance(node, ast.Call):
        # a call's value may be a sum that goes over other axes already
        for axis in AXES:
            yield method_call(node, "sum", axis=parsed(axis))
            yield method_call(node, "sum", axis=parsed(axis), keepdims=parsed("True"))
        return
    for axis in AXES:
        yield method_call(node, "sum", axis=parsed(axis))


def reduced_otherwise(node: ast.AST) -> Iterator[ast.AST]:
    """Have a reduction go over other axes, and keep them; or sum instead of taking the mean, and the reverse."""
    if not isinstance(node, ast.Call):
        return
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name not in REDUCTIONS:
        return
    rest = [keyword for keyword in node.keywords if keyword.arg != "axis"]
    numpy = getattr(getattr(node.func, "value", None), "id", "") in ("np", "numpy", "torch", "jnp")
    kept = node.args[:1] if numpy else []
    for axis in AXES:
        keywords = [ast.keyword("axis", parsed(axis)), *rest]
        yield changed(node, args=kept, keywords=keywords)
        if all(keyword.arg != "keepdims" for keyword in rest):
            keepdims = ast.keyword("keepdims", parsed("True"))
            yield changed(node, args=kept, keywords=[*keywords, keepdims])
    for other in ("sum", "mean"):
        if other != name and isinstance(node.func, ast.Attribute):
            yield changed(node, func=ast.Attribute(node.func.value, other, ast.Load()))


def bounds_dropped(node: ast.AST) -> Iterator[ast.AST]:
    """Have a slice or a loop begin at its beginning, end at its end, or go backwards."""
    if isinstance(node, ast.Slice):
        if node.lower is not None:
            yield changed(node, lower=None)
        if node.upper is not None:
            yield changed(node, upper=None)
        if node.step is None:
            yield changed(node, step=parsed("-1"))
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "range":
        if len(node.args) > 1:
            yield changed(node, args=node.args[1:2])
        yield ast.Call(ast.Name("reversed", ast.Load()), [node], [])


def slices_moved(node: ast.AST) -> Iterator[ast.AST]:
    """Have a slice begin, and end, one place further on, or one before."""
    if isinstance(node, ast.Slice) and (node.lower or node.upper):
        for by in (1, -1):
            lower = shifted(node.lower or ast.Constant(0), by) if node.lower or by > 0 else None
            upper = shifted(node.upper or ast.Constant(0), by) if node.upper or by < 0 else None
            yield changed(node, lower=_bound(lower), upper=_bound(upper))
    if isinstance(node, ast.Slice) and (node.lower is None) != (node.upper is None) and node.step is None:
        # the same number of places at the other end
        bound = node.lower or node.upper
        assert bound is not None
        yield changed(
            node, lower=negative(bound) if node.upper else None, upper=negative(bound) if node.lower else None
        )


def _bound(node: ast.expr | None) -> ast.expr | None:
    """Return a bound of a slice; None where it is 0, an end."""
    return None if node is None or number_in(node) == 0 else node


def moved_by_one(node: ast.AST) -> Iterator[ast.AST]:
    """Count one more, or one less."""
    if is_value(node) and isinstance(node, ast.Name | ast.Attribute | ast.Subscript | ast.Call):
        yield from (shifted(node, by) for by in (1, -1))


def squared(node: ast.AST) -> Iterator[ast.AST]:
    """Take the square."""
    if isinstance(node, ast.Name | ast.Attribute) and is_value(node):
        yield ast.BinOp(node, ast.Pow(), ast.Constant(2))


def terms_moved(node: ast.AST) -> Iterator[ast.AST]:
    """Add before a function, or a power, is taken instead of after it, and the reverse."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        for one, other in ((node.left, node.right), (node.right, node.left)):
            if isinstance(one, ast.Call) and len(one.args) == 1:
                yield changed(one, args=[ast.BinOp(one.args[0], ast.Add(), other)])
            if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Pow):
                yield changed(one, left=ast.BinOp(one.left, ast.Add(), other))
    inner = node.args[0] if isinstance(node, ast.Call) and len(node.args) == 1 else None
    inner = node.left if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) else inner
    if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Add):
        for one, other in ((inner.left, inner.right), (inner.right, inner.left)):
            alone = changed(node, args=[one]) if isinstance(node, ast.Call) else changed(node, left=one)
            assert isinstance(alone, ast.expr)
            yield ast.BinOp(alone, ast.Add(), other)


def turned_round(node: ast.AST) -> Iterator[ast.AST]:
    """Take an array from its end; of a running sum, what is added up from the end."""
    if is_value(node) and isinstance(node, ast.expr):
        back = parsed("x[::-1]").slice  # type: ignore[attr-defined]
        yield ast.Subscript(node, back, ast.Load())
        if (
            isinstance(node, ast.Call)
            and node.args
            and getattr(node.func, "attr", "") in ("cumsum", "cumprod")
        ):
            inner = changed(node, args=[ast.Subscript(node.args[0], back, ast.Load()), *node.args[1:]])
            yield ast.Subscript(inner, back, ast.Load())


def operators_changed(node: ast.AST) -> Iterator[ast.AST]:
    """Put any other arithmetic operator."""
    if isinstance(node, ast.BinOp):
        for op in (ast.Mult, ast.MatMult, ast.Div, ast.Add, ast.Sub, ast.Pow, ast.FloorDiv, ast.Mod):
            if not isinstance(node.op, op):
                yield changed(node, op=op())
        if isinstance(node.op, ast.Mult | ast.MatMult):
            yield ast.BinOp(node.right, ast.MatMult(), node.left)
    if isinstance(node, ast.AugAssign):
        for op in (ast.Add, ast.Sub, ast.Mult, ast.Div):
            if not isinstance(node.op, op):
                yield changed(node, op=op())


def accumulated(node: ast.AST) -> Iterator[ast.AST]:
    """Add up instead of writing over, also at indices that repeat."""
    target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
    single = isinstance(target, ast.Name | ast.Attribute | ast.Subscript)
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and single:
        for op in (ast.Add(), ast.Sub(), ast.Mult(), ast.Div()):
            yield ast.AugAssign(target, op, node.value)  # type: ignore[arg-type]
    indexed = isinstance(target, ast.Subscript) and not isinstance(target.slice, ast.Slice)
    if isinstance(node, ast.Assign | ast.AugAssign) and isinstance(target, ast.Subscript) and indexed:
        # a slice repeats nothing, and is written as it is
        yield ast.Expr(ast.Call(parsed("np.add.at"), [target.value, target.slice, node.value], []))


def numbers_changed(node: ast.AST) -> Iterator[ast.AST]:
    """Put another of the usual numbers."""
    if number_in(node) is not None:
        for text in NUMBERS:
            yield parsed(text)


def asks_for_identity(node: ast.Compare) -> bool:
    """Return whether a comparison tells what is there already from what is not yet: it has no other side."""
    return any(isinstance(op, ast.Is | ast.IsNot) for op in node.ops)


def conditions_negated(node: ast.AST) -> Iterator[ast.AST]:
    """Take the opposite of a condition, or of a mask, and a bound for its neighbour."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and not asks_for_identity(node):
        for op in (ast.Gt, ast.GtE, ast.Lt, ast.LtE, ast.Eq, ast.NotEq):
            if not isinstance(node.ops[0], op):
                yield changed(node, ops=[op()])
    if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
        yield ast.UnaryOp(ast.Invert(), node)
        yield ast.BinOp(ast.Constant(1), ast.Sub(), node)


def copied(node: ast.AST) -> Iterator[ast.AST]:
    """Copy an array."""
    if isinstance(node, ast.Name | ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Load):
        yield method_call(node, "copy")


def written_anew(node: ast.AST) -> Iterator[ast.AST]:
    """Make a new array instead of writing into one."""
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        left = ast.Name(node.target.id, ast.Load())
        yield ast.Assign([node.target], ast.BinOp(left, node.op, node.value))


def elements_exchanged(node: ast.AST) -> Iterator[ast.AST]:
    """Exchange two neighbours in a list, or in what is joined."""
    if isinstance(node, ast.List | ast.Tuple) and isinstance(node.ctx, ast.Load):
        for i in range(len(node.elts) - 1):
            one, other = node.elts[i : i + 2]
            yield changed(node, elts=[*node.elts[:i], other, one, *node.elts[i + 2 :]])


def parts_joined(node: ast.AST) -> Iterator[ast.AST]:
    """Make one array of several."""
    if isinstance(node, ast.Tuple | ast.List) and isinstance(node.ctx, ast.Load) and len(node.elts) > 1:
        for name in ("hstack", "stack", "concatenate"):
            yield ast.Call(parsed(f"np.{name}"), [node], [])


# few of each node, and many
LIKELY: tuple[Edit, ...] = (
    minus_put,
    accumulated,
    transposed,
    elements_exchanged,
    operators_changed,
    reduced_otherwise,
    written_anew,
    copied,
    parts_joined,
    terms_moved,
    slices_moved,
    turned_round,
)
OTHERS: tuple[Edit, ...] = (
    axes_summed,
    bounds_dropped,
    numbers_changed,
    conditions_negated,
    moved_by_one,
    squared,
)


def numbers_put(near: Sequence[ast.AST], names: Sequence[str]) -> Edit:
    """Return the edit that puts a number in scope, or one of the code nearby, in a number's place."""
    written = {number for node in near if (number := number_in(node)) is not None}
    numbers = {repr(number) for number in written} - set(NUMBERS)
    # a logarithm or a root of a number that stands there, or of its neighbour, may be written out in digits
    whole = sorted({k for n in written if 1 < n < MOST and n == int(n) for k in (int(n), int(n) + 1)})
    numbers |= {f"np.{function}({k})" for k in whole for function in ("log", "sqrt", "log2")}

    def edit(node: ast.AST) -> Iterator[ast.AST]:
        number = number_in(node)
        if number is not None:
            others = [parsed(text) for text in [*names, *sorted(numbers)] if text != ast.unparse(node)]
            yield from (negative(other) if number < 0 else other for other in others)

    return edit


def summands_put(names: Sequence[str]) -> Edit:
    """Return the edit that adds a small number in scope, which keeps a root or a denominator from being zero."""

    def edit(node: ast.AST) -> Iterator[ast.AST]:
        if is_value(node) and isinstance(node, ast.expr):
            for name in names:
                yield ast.BinOp(node, ast.Add(), parsed(name))

    return edit


def literals_put(near: Sequence[ast.AST]) -> Edit:
    """Return the edit that puts a list of numbers of the code nearby in the place of one of the same length."""
    lists = [node for node in near if isinstance(node, ast.List | ast.Tuple) and _holds_numbers(node)]

    def edit(node: ast.AST) -> Iterator[ast.AST]:
        if isinstance(node, ast.List | ast.Tuple) and _holds_numbers(node):
            for other in lists:
                if len(other.elts) == len(node.elts) and ast.dump(other) != ast.dump(node):
                    yield type(node)(other.elts, ast.Load())

    return edit


def _holds_numbers(node: ast.List | ast.Tuple) -> bool:
    return bool(node.elts) and all(
        number_in(part) is not None or (isinstance(part, ast.List | ast.Tuple) and _holds_numbers(part))
        for part in node.elts
    )


def masks_put(names: Sequence[str]) -> Edit:
    """Return the edit that puts a mask in scope in the place of a comparison."""

    def edit(node: ast.AST) -> Iterator[ast.AST]:
        if isinstance(node, ast.Compare) and not asks_for_identity(node):
            yield from map(parsed, names)

    return edit


def keywords_put(near: Sequence[ast.AST]) -> Edit:
    """Return the edit that gives a call the keywords that a call of the same function has nearby, or one less."""
    calls = [node for node in near if isinstance(node, ast.Call)]

    def edit(node: ast.AST) -> Iterator[ast.AST]:
        if isinstance(node, ast.Call):
            for k in node.keywords:
                yield changed(node, keywords=[other for other in node.keywords if other is not k])
            own = [ast.dump(k) for k in node.keywords]
            for other in calls:
                if (
                    ast.dump(other.func) == ast.dump(node.func)
                    and [ast.dump(k) for k in other.keywords] != own
                ):
                    yield changed(node, keywords=other.keywords)

    return edit


def rounds_joined(names: Sequence[str]) -> Edit:
    """Return the edit of what is computed in a loop: a factor or a term more, or what the round before left.

    A factor may be missing of one term of a sum.
    """

    def edit(node: ast.AST) -> Iterator[ast.AST]:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            return
        for name in names:
            other = ast.Name(name, ast.Load())
            for op in (ast.Mult(), ast.Div(), ast.Add(), ast.Sub()):
                yield changed(node, value=ast.BinOp(node.value, op, other))
            yield from (changed(node, value=value) for value in _with_factor(node.value, other))
        target = node.targets[0]
        if isinstance(target, ast.Name) and not any(
            isinstance(x, ast.Name) and x.id == target.id for x in ast.walk(node.value)
        ):
            before = ast.Name(target.id, ast.Load())
            terms = [ast.BinOp(ast.Name(name, ast.Load()), ast.Mult(), before) for name in names]
            for term in (before, *terms):
                yield changed(node, value=ast.BinOp(node.value, ast.Add(), term))

    return edit


def _with_factor(sums: ast.expr, factor: ast.expr) -> Iterator[ast.expr]:
    """Yield a sum with each of its terms multiplied by a factor; anything else is a sum of one."""
    if isinstance(sums, ast.BinOp) and isinstance(sums.op, ast.Add | ast.Sub):
        yield from (changed(sums, left=left) for left in _with_factor(sums.left, factor))
        yield from (changed(sums, right=right) for right in _with_factor(sums.right, factor))
    else:
        yield ast.BinOp(sums, ast.Mult(), factor)


def operands_put(names: Sequence[str]) -> Edit:
    """Return the edit that joins a value with a variable: a product, a matrix product, a sum, a shape, an index."""

    def edit(node: ast.AST) -> Iterator[ast.AST]:
        if not is_value(node) or not isinstance(node, ast.expr):
            return
        for name in names:
            other = ast.Name(name, ast.Load())
            for part in (other, parsed(f"{name}.T"), parsed(f"{name}.mT")):
                yield ast.BinOp(node, ast.MatMult(), part)
                yield ast.BinOp(part, ast.MatMult(), node)
            yield ast.BinOp(node, ast.Mult(), other)
            yield ast.BinOp(node, ast.Add(), other)
            yield method_call(node, "reshape", other)
            yield method_call(node, "reshape", parsed(f"{name}.shape"))
            yield ast.Subscript(node, other, ast.Load())

    return edit


def calls_put(near: Sequence[ast.AST], names: Sequence[str]) -> Edit:
    """Return the edit that wraps a value in a call which some code nearby makes of another.

    What it takes besides stays as it is, or, where that is one variable, is any of those in scope.
    """
    pool: dict[str, tuple[ast.Call, bool]] = {}

    def add(call: ast.Call, is_method: bool) -> None:
        rest = call.args if is_method else call.args[1:]
        key = ast.dump(ast.Tuple([call.func, *rest], ast.Load())) + str([ast.dump(k) for k in call.keywords])
        if is_method:
            key = call.func.attr + key.partition("attr=")[2] if isinstance(call.func, ast.Attribute) else key
        pool.setdefault(key, (call, is_method))

    for node in near:
        if not isinstance(node, ast.Call) or isinstance(node.func, ast.Call | ast.Subscript):
            continue
        own = isinstance(node.func, ast.Attribute) and not isinstance(node.func.value, ast.Name)
        variants = [node]
        rest = node.args if own else node.args[1:]
        first = [] if own else node.args[:1]
        if len(rest) == 1 and isinstance(rest[0], ast.Name):
            variants += [ast.Call(node.func, [*first, ast.Name(n, ast.Load())], node.keywords) for n in names]
        elif len(rest) == 1 and getattr(rest[0], "attr", "") == "shape":
            shapes = [parsed(f"{n}.shape") for n in names]
            variants += [ast.Call(node.func, [*first, shape], node.keywords) for shape in shapes]
        for call in variants:
            if call.args and not isinstance(call.args[0], ast.Starred):
                add(call, False)
            if isinstance(call.func, ast.Attribute):
                add(call, True)

    def edit(node: ast.AST) -> Iterator[ast.AST]:
        if not is_value(node) or not isinstance(node, ast.expr):
            return
        for call, is_method in pool.values():
            if is_method and isinstance(call.func, ast.Attribute):
                yield changed(call, func=ast.Attribute(node, call.func.attr, ast.Load()))
            else:
                yield changed(call, args=[node, *call.args[1:]])

    return edit
