"""Functions and modules of torch, in every precision: what is found in them, and what is left alone."""

import pytest

from gradlab import Verdict, check_torch

from ._written import Square, names, save_square, slope, tensor, torch, written

nn = torch.nn


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("function", [Square, Square.apply, lambda x: Square.apply(x) + x])
def test_a_right_function_passes(function, dtype):
    report = check_torch(function, tensor(2, 3, dtype=dtype))
    assert report.ok
    assert not report.faults


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_a_wrong_factor_is_named(dtype):
    report = check_torch(written(save_square, lambda ctx, g: 1.25 * slope(ctx, g)), tensor(2, 3, dtype=dtype))
    assert (report.ok, names(report)[0], report.faults[0].primal) == (False, "constant-factor", "x")


def test_float32_is_judged_by_a_float64_reference():
    rows = check_torch(Square, tensor(2, 3, dtype=torch.float32), explore=False).rows
    row = next(row for row in rows if row.check == "matches_numerical")
    assert row.dtype == "float32"
    assert 0 < row.reference_error < 1e-12
    assert 0 < row.absolute_error < 1e-6


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_itself_runs_and_is_judged(dtype):
    seen = set()

    def backward(ctx, g):
        seen.add(g.dtype)
        return slope(ctx, g) * (1.5 if g.dtype == dtype else 1)

    report = check_torch(written(save_square, backward), tensor(2, 3, dtype=dtype))
    assert {dtype, torch.float64} <= seen
    wrong = [row for row in report.rows if row.verdict == "wrong"]
    assert [(row.sample, row.dtype) for row in wrong] == [(f"given, in {_name(dtype)}", _name(dtype))]


def _name(dtype):
    return str(dtype).removeprefix("torch.")


def test_bfloat16_rounding_is_no_mistake():
    right, wrong = (written(save_square, lambda ctx, g, c=c: c * slope(ctx, g)) for c in (1.01, 1.5))
    x = tensor(3, 4, dtype=torch.bfloat16)
    # the first is wrong all the same, and in float64 that is told
    assert not check_torch(right, x, checks=["matches_numerical"]).ok
    assert check_torch(right, x, checks=["matches_numerical"]).rows[-1].verdict == "pass"
    assert check_torch(wrong, x, checks=["matches_numerical"]).rows[-1].verdict == "wrong"


def only(dtype, factor=2):
    def forward(ctx, x):
        if x.dtype != dtype:
            raise TypeError("not in this precision")
        ctx.save_for_backward(x)
        return x**2

    return written(forward, lambda ctx, g: factor * ctx.saved_tensors[0] * g)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_what_takes_one_precision_alone_is_evaluated_in_it(dtype):
    x = tensor(2, 3, dtype=dtype)
    assert check_torch(only(dtype), x).ok
    assert not check_torch(only(dtype, 3), x).ok


def test_what_casts_inside_is_right_in_the_precision_that_it_casts_to():
    report = check_torch(lambda x: (x.float() ** 2).to(x.dtype), tensor(2, 3, dtype=torch.float32))
    assert report.ok


def test_a_weight_of_float32_that_is_closed_over():
    weight = tensor(3, 2, dtype=torch.float32)
    assert check_torch(lambda x: x @ weight, tensor(4, 3, dtype=torch.float32)).ok


class Tied(nn.Module):
    def __init__(self, factor=1.0):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.again = self.layer
        self.norm = nn.BatchNorm1d(3)
        self.factor = factor

    def forward(self, x, *, shift=0.0):
        y = self.again(torch.tanh(self.layer(x)))
        scaled = written(lambda ctx, y: y * 1, lambda ctx, g: self.factor * g)
        return {"y": self.norm(scaled.apply(y)) + shift, "where": x.argmax(1)}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_module_has_each_parameter_once_and_stays_as_it_was(dtype):
    with torch.random.fork_rng(devices=[]):
        # with some weights float32 is too coarse for what follows a batch norm
        torch.manual_seed(0)
        module = Tied().to(dtype)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    x = tensor(4, 3, dtype=dtype)
    report = check_torch(module, x, settings={"shift": 1.0}, explore=False)
    assert report.ok
    found = [row.primal for row in report.rows if row.check == "matches_numerical"]
    assert found == ["x", "layer.weight", "layer.bias", "norm.weight", "norm.bias"]
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not x.requires_grad
    assert all(p.grad is None for p in module.parameters())


def test_a_wrong_module_has_its_parameters_named():
    report = check_torch(Tied(1.5).double(), tensor(4, 3), explore=False)
    wrong = {row.primal for row in report.rows if row.check == "matches_numerical" and row.verdict == "wrong"}
    # the bias before a batch norm has no gradient, and what comes after is right
    assert {"x", "layer.weight"} <= wrong
    assert not wrong & {"norm.weight", "norm.bias"}


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(1, dtype=torch.float64))

    def forward(self, x):
        self.count += 1
        return x * self.count


def test_buffers_start_from_the_same_in_every_evaluation():
    assert not check_torch(Counting(), tensor(2, 3), explore=False).faults


def test_tensors_in_nested_arguments():
    def function(x, pair, *rest, scale):
        return [pair["a"] * x, (pair["b"][0] * rest[0] * scale,)]

    pair = {"a": tensor(3, seed=1), "b": [tensor(3, seed=2)]}
    report = check_torch(function, tensor(3), pair, tensor(3, seed=3), settings={"scale": tensor(3, seed=4)})
    assert report.ok
    found = [row.primal for row in report.rows if row.check == "matches_numerical"]
    assert found == ["x", "pair['a']", "pair['b'][0]", "rest0"]


def test_integers_are_passed_on_and_keep_every_shape_as_it_is():
    seen = set()

    def loss(x, labels, weighted):
        seen.add((labels.dtype, weighted.dtype, len(labels)))
        return torch.nn.functional.cross_entropy(x, labels, reduction="none") * weighted

    labels, weighted = torch.tensor([0, 2, 1]), torch.tensor([True, False, True])
    assert check_torch(loss, tensor(3, 4), labels, weighted).ok
    assert {entry[:2] for entry in seen} == {(torch.int64, torch.bool)}
    # compiled code may take an integer for a place, and read there whatever the shapes are
    assert {batch for *_, batch in seen} == {3}


def test_large_tensors_are_checked_along_directions():
    def backward(ctx, g):
        d = slope(ctx, g)
        d[7, 11] *= 1.5
        return d

    x = tensor(200, 100)
    assert "element" in next(row.note for row in check_torch(Square, x, explore=False).rows)
    report = check_torch(written(save_square, backward), x, checks=["matches_numerical"], explore=False)
    assert report.rows[0].worst_index == (7, 11)
    assert check_torch(Square, tensor(3, 4), full_below=5, explore=False).rows[0].evaluations < 100


def test_a_wrong_one_in_half_precision_is_found_along_directions():
    def backward(ctx, g):
        return slope(ctx, g) * (1.5 if g.dtype == torch.bfloat16 else 1)

    x = tensor(40, 50, dtype=torch.bfloat16)
    for factor, ok in ((backward, False), (slope, True)):
        report = check_torch(written(save_square, factor), x, full_below=100, explore=False)
        assert report.ok == ok


def test_everything_is_made_on_the_devices_of_the_given_tensors():
    from dataclasses import replace

    from gradlab.adapters.torch.call import call_of

    seen = []

    def function(x, i):
        seen.extend([x.device.type, i.device.type])
        return x[i]

    call = call_of(function, (tensor(3), torch.tensor([0, 1])), {}, None, 0)
    # no other device is here, but one that holds no numbers will do to see that nothing is fetched from it
    meta = torch.device("meta")
    leaf, held = call.leaves[0], next(iter(call.held.items()))
    away = replace(
        call,
        leaves=(replace(leaf, home=(leaf.home[0], meta)),),
        held={held[0]: replace(held[1], home=(held[1].home[0], meta))},
    )
    tensors, settings = away.tensors([leaf.value], None), away.settings({}, None)
    assert {t.device for t in (*tensors, *settings.values())} == {meta}
    away.function(tensors[0], next(iter(settings.values())))
    assert seen == ["meta", "meta"]


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_where_nothing_is_recorded_it_is_recorded_all_the_same(mode):
    with mode():
        assert check_torch(Square, tensor(2, 3), explore=False).ok
        assert not torch.is_grad_enabled()


@pytest.mark.parametrize("setup", [False, True])
def test_a_function_in_either_style_has_its_arguments_named(setup):
    def save(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    def in_one(ctx, x, weight):
        save(ctx, (x, weight), None)
        return x * weight

    def backward(ctx, g):
        x, weight = ctx.saved_tensors
        return g * weight, -g * x

    function = written(in_one, backward)
    if setup:
        function = written(lambda x, weight: x * weight, backward)
        function.setup_context = staticmethod(save)
    fault = check_torch(function, tensor(2, 3), tensor(2, 3, seed=1), explore=False).faults[0]
    assert (fault.name, fault.primal) == ("sign-flipped", "weight")


def test_a_backward_that_is_inherited_is_looked_at_too():
    base = written(None, lambda ctx, g: (g, g))
    child = type("Child", (base,), {"forward": staticmethod(lambda ctx, x, b: x + b)})
    assert names(check_torch(child, tensor(2, 3), tensor(3)))[0] == "missing-broadcast-sum"
    assert base.__dict__["backward"] is not None


def test_only_the_checks_that_are_asked_for():
    report = check_torch(Square, tensor(2, 3), checks=["second_derivative"])
    assert {row.check for row in report.rows} == {"second_derivative"}
    with pytest.raises(ValueError, match=r"no check is named 'nonsense'.*saves_for_backward"):
        check_torch(Square, tensor(2, 3), checks=["nonsense"])


def raises(x):
    raise RuntimeError("no such kernel\nand much more")


BAD = {
    "no floats": (lambda x: x, (torch.tensor([1, 2]),), "is given no tensor of floats"),
    "no tensor": (lambda x: x, (1.0,), "is given no tensor of floats"),
    "raises": (raises, (tensor(2),), "raises raised RuntimeError: no such kernel: "),
    "returns None": (lambda x: None, (tensor(2),), "returned None, nothing to differentiate: return tensors"),
    "returns integers": (lambda x: x.argmax(), (tensor(2),), "nothing to differentiate: return tensors"),
    "no function": (3, (tensor(2),), "fn is int, which is no function: pass a function"),
    "a class": (nn.Linear, (tensor(2),), "which is no function: pass a function"),
    "a sparse argument of a module": (
        nn.Linear(2, 2).double(),
        (tensor(2, 2).to_sparse(),),
        "coo tensor: pass it dense",
    ),
    "meta": (torch.abs, (tensor(2).to("meta"),), "on the device 'meta' and holds no numbers: pass it"),
    "float8": (torch.abs, (tensor(2).to(torch.float8_e5m2),), "cannot be differentiated: pass it as"),
    "lazy": (nn.LazyLinear(2), (tensor(2, 3),), "parameters without a shape as yet: call it once"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_gets_one_line(kind):
    function, tensors, message = BAD[kind]
    with pytest.raises((TypeError, ValueError)) as caught:
        check_torch(function, *tensors)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options, message",
    [({"seed": -1}, "seed"), ({"full_below": -1}, "full_below"), ({"method": "complex-step"}, "method")],
)
def test_bad_options_get_one_line(options, message):
    with pytest.raises(ValueError, match=message):
        check_torch(Square, tensor(2), **options)


@pytest.mark.parametrize("size, threads", [(10, 1), (2**17, 3)])
def test_small_tensors_are_computed_in_one_thread_and_the_setting_is_put_back(size, threads):
    seen = set()

    def noting(x):
        seen.add(torch.get_num_threads())
        return (x**2).sum()

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert check_torch(noting, torch.ones(size, dtype=torch.float64), explore=False).ok
        assert seen == {threads}
        assert torch.get_num_threads() == 3
        with pytest.raises(ValueError, match="raised"):
            check_torch(lambda x: x.no_such_method(), torch.ones(2))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_an_overflow_far_out_is_a_warning_and_an_error_where_all_is_asked_for():
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.sigmoid(x)

    def backward(ctx, g):
        e = torch.exp(ctx.saved_tensors[0])
        return g * e / (1 + e) ** 2

    x = tensor(3)
    assert check_torch(written(forward, backward), x, checks=["finite_where_expected"]).ok
    report = check_torch(written(forward, backward), x, checks=["finite_where_expected"], explore="all")
    assert report.rows[0].verdict is Verdict.WRONG
