"""The contract that torch's autograd has with whoever writes a backward: breaches of it, each on its own."""

import pytest

from gradlab import check_torch

from ._written import Square, names, save_square, slope, tensor, torch, warnings, written, wrong_checks

nn = torch.nn


def memory_order(ctx, g):
    # what a kernel does that takes its argument for contiguous
    end = g.untyped_storage().size() // g.element_size()
    flat = g.as_strided((end - g.storage_offset(),), (1,))
    return slope(ctx, flat.repeat(g.numel())[: g.numel()].reshape(g.shape))


def test_a_cotangent_that_is_taken_for_contiguous():
    report = check_torch(written(save_square, memory_order), tensor(2, 3))
    assert names(report)[0] == "assumes-contiguous"
    assert wrong_checks(report) == {"any_layout"}


def test_a_cotangent_that_must_be_contiguous_is_an_error_and_primals_that_must_are_a_warning():
    backward = written(save_square, lambda ctx, g: slope(ctx, g.view(-1).view(g.shape)))
    assert wrong_checks(check_torch(backward, tensor(2, 3))) == {"any_layout"}
    report = check_torch(lambda x: x.view(-1), tensor(2, 3))
    assert report.ok
    assert warnings(report) == {"any_layout"}


def test_a_context_kept_on_the_class():
    def forward(ctx, x):
        Kept.x = x
        return x**2

    Kept = written(forward, lambda ctx, g: 2 * Kept.x * g)
    report = check_torch(Kept, tensor(2, 3))
    assert (report.ok, names(report)[0]) == (False, "stale-residuals")


def test_a_second_backward():
    def forward(ctx, x):
        ctx.x = x.clone()
        return x**2

    def backward(ctx, g):
        d = 2 * ctx.x * g
        ctx.x *= 2
        return d

    assert "repeatable" in wrong_checks(check_torch(written(forward, backward), tensor(2, 3)))


def test_random_numbers_drawn_in_backward():
    noisy = written(save_square, lambda ctx, g: slope(ctx, g) * (1 + torch.rand(())))
    assert names(check_torch(noisy, tensor(2, 3)))[0] == "nondeterministic"


def test_last_bits_that_differ_are_a_warning_unless_strict():
    calls = []

    def backward(ctx, g):
        calls.append(0)
        return slope(ctx, g) * (1 + len(calls) % 2 * 1e-14)

    report = check_torch(written(save_square, backward), tensor(2, 3), explore=False)
    assert report.ok
    assert "repeatable" in warnings(report)
    assert not check_torch(written(save_square, backward), tensor(2, 3), strict=True, explore=False).ok


def test_random_numbers_drawn_in_forward_are_held():
    def dropped(x):
        return x * (torch.rand_like(x) > 0.5)

    state = torch.random.get_rng_state()
    for dtype in (torch.float64, torch.float32):
        assert check_torch(dropped, tensor(3, 4, dtype=dtype)).ok
        assert check_torch(nn.Dropout(0.5), tensor(3, 4, dtype=dtype)).ok
    assert torch.equal(state, torch.random.get_rng_state())


def write_into(which):
    def forward(ctx, x):
        ctx.save_for_backward(x.clone())
        y = x**2
        if which == "x":
            x.data.mul_(2)
        return y

    def backward(ctx, g):
        d = slope(ctx, g)
        if which == "g":
            g.mul_(2)
        return d

    return written(forward, backward)


@pytest.mark.parametrize(
    "which, what", [("x", "forward writes into x"), ("g", "backward writes into the cotangent")]
)
def test_what_is_written_into(which, what):
    report = check_torch(write_into(which), tensor(2, 3))
    row = next(row for row in report.rows if row.check == "leaves_arguments_unchanged")
    assert (row.verdict, row.note) == ("warning", f"{what}: write into a copy")
    assert "mutates-argument" in names(report)
    assert not check_torch(write_into(which), tensor(2, 3), strict=True).ok


def test_a_function_that_works_in_place():
    report = check_torch(nn.ReLU(inplace=True), tensor(2, 3))
    assert report.ok
    assert "leaves_arguments_unchanged" in warnings(report)


def test_saved_tensors_that_torch_does_not_watch():
    def forward(ctx, x):
        ctx.x = x
        return x**2

    report = check_torch(written(forward, lambda ctx, g: 2 * ctx.x * g), tensor(2, 3))
    assert report.ok
    assert warnings(report) == {"saves_for_backward"}
    assert "saves_for_backward" not in warnings(check_torch(Square, tensor(2, 3)))


def test_a_gradient_of_another_dtype():
    double = written(save_square, lambda ctx, g: slope(ctx, g).double())
    report = check_torch(double, tensor(2, 3, dtype=torch.float32))
    assert report.ok
    assert names(report)[0] == "wrong-dtype"


def test_a_shape_that_torch_reduces_in_silence():
    def forward(ctx, x, b):
        return x + b

    added = written(forward, lambda ctx, g: (g, g))
    x, b = tensor(2, 3), tensor(3)
    assert names(check_torch(added, x, b))[0] == "missing-broadcast-sum"
    # not a leaf, but the engine reduces it all the same
    report = check_torch(lambda x, b: added.apply(x, 2 * b), x, b)
    assert not report.ok
    assert "Written returned (2, 3) for an input of shape (3,)" in report.faults[0].sentence


def test_a_gradient_that_is_forgotten():
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x * w

    forgotten = written(forward, lambda ctx, g: (g * ctx.saved_tensors[1], None))
    report = check_torch(forgotten, tensor(2, 3), tensor(2, 3, seed=1))
    assert (names(report)[0], report.faults[0].primal) == ("zero-gradient", "w")
    row = next(row for row in report.rows if row.verdict == "wrong")
    assert row.note.endswith("no gradient of w came back, which counts as zero")


def test_an_output_that_nobody_used():
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        return x**2, x**3

    def both(ctx, g, h):
        (x,) = ctx.saved_tensors
        return 2 * x * g + 3 * x**2 * h

    def either(ctx, g, h):
        return both(ctx, *(0 if part is None else part for part in (g, h)))

    assert wrong_checks(check_torch(written(forward, both), tensor(2, 3))) == {"unused_outputs"}
    assert check_torch(written(forward, either), tensor(2, 3)).ok


def test_second_derivatives():
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    def untracked(ctx, x):
        y = torch.exp(x)
        ctx.save_for_backward(y.clone())
        return y

    def backward(ctx, g):
        return ctx.saved_tensors[0] * g

    x = tensor(2, 3)
    assert not check_torch(written(forward, backward), x).faults
    silent = check_torch(written(untracked, backward), x)
    assert silent.ok
    assert warnings(silent) == {"second_derivative"}
    loud = check_torch(written(untracked, torch.autograd.function.once_differentiable(backward)), x)
    assert not loud.faults
    assert any("says so" in row.note for row in loud.rows)
    assert not check_torch(written(untracked, backward), x, strict=True).ok


def test_a_gradient_kept_in_a_buffer():
    room = torch.empty(2, 3, dtype=torch.float64)

    def backward(ctx, g):
        return room.copy_(slope(ctx, g)) if g.shape == room.shape and g.dtype == room.dtype else slope(ctx, g)

    report = check_torch(written(save_square, backward), tensor(2, 3), explore=False)
    assert "aliases-memory" in names(report)
    # a cotangent that is handed on, and one gradient for both, is torch's own custom
    assert not check_torch(lambda x, y: x + y, tensor(2, 3), tensor(2, 3, seed=1)).faults


def test_what_differentiates_inside():
    def force(x):
        return torch.autograd.grad((x**3).sum(), x, create_graph=True)[0]

    assert check_torch(force, tensor(2, 3)).ok
    assert check_torch(force, tensor(2, 3, dtype=torch.float32)).ok
