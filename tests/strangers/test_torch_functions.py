"""Functions of torch in the forms that strangers write them in: right ones are not accused, wrong ones are found."""

import numpy as np
import pytest

from gradlab import check_torch

torch = pytest.importorskip("torch", reason="check_torch is for torch: pip install torch")
functional, nn = torch.nn.functional, torch.nn


def tensor(*shape, seed=0, dtype=torch.float64):
    return torch.as_tensor(np.random.default_rng([46, seed]).standard_normal(shape)).to(dtype)


def written(forward, backward):
    """Return an autograd Function of a forward(ctx, x, ...) and a backward(ctx, g, ...)."""
    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type("Written", (torch.autograd.Function,), methods)


def wrongs(report):
    return [row for row in report.rows if row.verdict == "wrong"]


def assert_not_accused(function, *tensors, **more):
    report = check_torch(function, *tensors, **more)
    report.raise_if_failed()
    assert not wrongs(report)
    return report


def times(function, factor):
    """Return a function whose values are right, and whose gradient is so many times as large."""
    scaled = written(lambda ctx, y: y * 1, lambda ctx, g: factor * g)
    return lambda *tensors: scaled.apply(function(*tensors))


X = tensor(3, 4)
TIES = torch.tensor([[1.0, 1.0, 0.0, 2.0]], dtype=torch.float64)
MASK = torch.tensor([[True, False, False, True], [True] * 4, [False, True, True, True]])


def gathered(x, places, keep):
    return x[:, places] * keep


RIGHT = {
    "a number": (lambda x: x * x, (tensor(),)),
    "an array of one": (lambda x: x * x, (tensor(1),)),
    "a scale of one element": (lambda x, s: x * s, (X, tensor(1, seed=1))),
    "one output": (nn.Linear(4, 1).double(), (X,)),
    "a sum that keeps its axis": (lambda x: x.sum(dim=0, keepdim=True), (tensor(2),)),
    "a transposed input": (lambda x: x * x, (X.t(),)),
    "an expanded input": (lambda x: x * x, (X[:1].expand(3, 4),)),
    "every second element": (lambda x: x * x, (tensor(6, 8)[::2, ::2],)),
    "nested arguments and outputs": (
        lambda q: {"y": q["a"] * q["b"][0], "z": (q["b"][1].sum(), 3)},
        ({"a": X, "b": [X + 1, tensor(2)]},),
    ),
    "None beside a tensor": (lambda x: (x * 2, None), (X,)),
    "integers and booleans": (
        gathered,
        (X, torch.tensor([0, 2, 2]), torch.tensor([True, False, True])),
    ),
    "an embedding": (
        lambda w, i: functional.embedding(i, w),
        (tensor(5, 3), torch.tensor([[1, 1], [4, 0]])),
    ),
    "dropout": (nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).double(), (X,)),
    "a batch norm": (nn.BatchNorm1d(4).double(), (X,)),
    "a batch norm's other mode": (nn.BatchNorm1d(4).double().eval(), (X,)),
    "noise": (lambda x: x * torch.rand_like(x), (X,)),
    "relu at 0": (torch.relu, (torch.tensor([-1.0, 0.0, 2.0]),)),
    "clamp at its ends": (lambda x: x.clamp(-1, 1), (torch.tensor([-1.0, 1.0, 0.3]),)),
    "abs at 0": (torch.abs, (torch.tensor([0.0, 1.0]),)),
    "a norm at 0": (lambda x: x.norm(), (torch.zeros(3),)),
    "max at ties": (lambda x: x.max(-1).values, (TIES,)),
    "amax at ties": (lambda x: x.amax(-1), (TIES,)),
    "sort at ties": (lambda x: x.sort(-1).values, (TIES,)),
    "topk at ties": (lambda x: x.topk(2, -1).values, (TIES,)),
    "the median": (lambda x: x.median(), (tensor(5),)),
    "the median of what is no NaN": (lambda x: x.nanmedian(), (tensor(5),)),
    "the largest so far": (lambda x: x.cummax(-1).values, (tensor(5),)),
    "attention": (
        lambda q, k, v: functional.scaled_dot_product_attention(q, k, v, is_causal=True),
        tuple(tensor(1, 1, 3, 2, seed=seed) for seed in range(3)),
    ),
    "in place on a clone": (lambda x: x.clone().mul_(2).add_(x), (X,)),
    "a huge scale": (lambda x: x * 1e30, (X,)),
    "a tiny scale": (lambda x: x * 1e-30, (X,)),
    "two precisions": (lambda a, b: a.double() * b, (X.float(), X)),
    "nothing but outputs without elements": (lambda x: x[:0] * 2, (tensor(2),)),
    "the memory itself": (lambda x: torch.as_strided(x, (2, 2), (1, 2), 0), (tensor(8),)),
    "images of classes": (
        lambda x: functional.nll_loss(x, torch.zeros(2, 2, 2, dtype=torch.int64)),
        (tensor(2, 3, 2, 2),),
    ),
    "a matrix made symmetric": (lambda x: torch.linalg.eigvalsh(x + x.T), (X[:, :3],)),
    "one made positive definite": (
        lambda x: torch.linalg.cholesky(x @ x.T + torch.eye(3, dtype=x.dtype)),
        (X,),
    ),
    "singular values": (torch.linalg.svdvals, (tensor(3, 2),)),
    "a condition number": (torch.linalg.cond, (tensor(3, 3),)),
    "a decomposition": (torch.linalg.qr, (tensor(3, 3),)),
    "recomputed": (
        lambda x: torch.utils.checkpoint.checkpoint(lambda v: v.sin().exp(), x, use_reentrant=False),
        (X,),
    ),
    "mapped over a batch": (lambda a, b: torch.func.vmap(torch.dot)(a, b), (X, X + 1)),
    "a recurrent net": (nn.LSTM(3, 2).double(), (tensor(3, 1, 3),)),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", RIGHT)
def test_what_torch_itself_differentiates_is_not_accused(name):
    function, tensors = RIGHT[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert_not_accused(function, *tensors, name=name)


# Of which the value is one tensor, and the gradient not zero.
SCALED = [
    "a number",
    "one output",
    "an expanded input",
    "integers and booleans",
    "an embedding",
    "a batch norm",
    "max at ties",
    "the median",
    "in place on a clone",
    "a tiny scale",
    "two precisions",
    "images of classes",
    "one made positive definite",
    "recomputed",
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SCALED)
def test_the_same_with_another_factor_is_found(name):
    function, tensors = RIGHT[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        report = check_torch(times(function, 1.01), *tensors, name=name, explore=False)
    assert any(row.check == "matches_numerical" for row in wrongs(report))


WRONG = {
    "a path that is cut": lambda x: x * x.detach(),
    "a detour through NumPy": lambda x: torch.tensor(x.detach().numpy() * 2),
    "a number taken out": lambda x: x * x.sum().item(),
    "a gradient reversal": written(lambda ctx, x: x.view_as(x), lambda ctx, g: -g),
    "rounding that is passed straight through": lambda x: x + (x.round() - x).detach(),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_only_looks_like_a_gradient_is_found(name):
    assert wrongs(check_torch(WRONG[name], X, name=name, explore=False))


def test_a_row_that_is_masked_out_whole_is_not_passed():
    assert not check_torch(lambda x: x.masked_fill(MASK, float("-inf")).softmax(-1), X).ok
    kept = MASK & ~MASK.all(dim=1, keepdim=True)
    assert_not_accused(lambda x: x.masked_fill(kept, float("-inf")).softmax(-1), X)


def test_a_hook_that_clips_the_gradient():
    def clipped(x):
        y = x * 1
        if y.requires_grad:
            y.register_hook(lambda g: g.clamp(-0.1, 0.1))
        return y * 3

    assert wrongs(check_torch(clipped, X, explore=False))


def test_a_generator_of_its_own_gives_another_function_every_time():
    generator = torch.Generator().manual_seed(0)
    assert not check_torch(lambda x: x * torch.rand(x.shape, generator=generator), X, explore=False).ok


def largest(factor=2.0):
    def forward(ctx, x, factor_, flag, option=None):
        value, place = x.max(-1)
        ctx.mark_non_differentiable(place)
        ctx.save_for_backward(place)
        ctx.shape = x.shape
        return value * 2, place

    def backward(ctx, g, _):
        (place,) = ctx.saved_tensors
        d = torch.zeros(ctx.shape, dtype=g.dtype).scatter(-1, place[..., None], factor * g[..., None])
        return d, None, None, None

    return written(forward, backward)


def test_integers_out_and_plain_values_in():
    assert_not_accused(largest(), X, 2, True, None)
    assert wrongs(check_torch(largest(3.0), X, 2, True, None))


def test_cotangents_that_are_not_made_of_nothing():
    def forward(ctx, a, b):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(a, b)
        return a * b, a + b

    def careless(ctx, g, h):
        a, b = ctx.saved_tensors
        return g * b + h, g * a + h

    def careful(ctx, g, h):
        return careless(ctx, 0 if g is None else g, 0 if h is None else h)

    assert_not_accused(written(forward, careful), X, X + 1)
    assert wrongs(check_torch(written(forward, careless), X, X + 1))


def test_a_table_beside_a_tensor_that_requires_gradients():
    def forward(ctx, x, table):
        ctx.save_for_backward(table)
        return x * table

    only_x = written(forward, lambda ctx, g: (g * ctx.saved_tensors[0], None))
    assert_not_accused(only_x, X.clone().requires_grad_(), tensor(3, 4, seed=1))


def fused(by_first=False):
    """Return a linear layer under a cross entropy that ignores a label, its backward by tokens or by the first."""

    def forward(ctx, x, w, b, labels, ignored=-100):
        logits, keep = x @ w.T + b, labels != ignored
        at = labels.clamp(min=0)
        losses = logits.logsumexp(-1) - logits.gather(1, at[:, None])[:, 0]
        d = (logits.softmax(-1) - functional.one_hot(at, w.shape[0]).to(x.dtype)) * keep[:, None]
        ctx.save_for_backward(x, w, d)
        return torch.where(keep, losses, torch.zeros_like(losses))

    def backward(ctx, g):
        x, w, d = ctx.saved_tensors
        d = d * (g[0] if by_first else g[:, None])
        return d @ w, d.T @ x, d.sum(0), None, None

    return written(forward, torch.autograd.function.once_differentiable(backward))


@pytest.mark.parametrize("first", [1, -100])
def test_a_loss_for_each_token_that_is_scaled_by_the_first_cotangent(first):
    labels = torch.tensor([first, -100, 3, 2, 2])
    tensors = (tensor(5, 3, dtype=torch.float32), tensor(4, 3, seed=1, dtype=torch.float32))
    tensors += (tensor(4, seed=2, dtype=torch.float32),)
    only = {"explore": False, "max_seconds": None}
    assert_not_accused(fused(), *tensors, labels)
    assert wrongs(check_torch(fused(by_first=True), *tensors, labels, **only))


def quantiser(rounds, masked=True):
    """Return a quantiser with a learned step: its estimator is right for the rounded values where nothing is."""

    def forward(ctx, w, step):
        ctx.save_for_backward(w, step)
        v = (w / step).clamp(-4, 3)
        return (torch.round(v) if rounds else v) * step

    def backward(ctx, g):
        w, step = ctx.saved_tensors
        v = w / step
        low, high = v < -4, v > 3
        inner = torch.round(v) - v if rounds else torch.zeros_like(v)
        d_step = (torch.where(low, -4.0, torch.where(high, 3.0, inner)) * g).sum().reshape(step.shape)
        return g * ~(low | high) if masked else g, d_step

    return written(forward, backward)


def test_a_quantiser_is_right_for_its_surrogate_and_wrong_for_what_it_computes():
    w, step = 2 * tensor(8), torch.tensor([0.4], dtype=torch.float64)
    assert_not_accused(quantiser(rounds=False), w, step)
    for rounds, masked in ((True, True), (True, False), (False, False)):
        assert wrongs(check_torch(quantiser(rounds, masked), w, step, explore=False))


def gray(blue=0.11):
    def backward(ctx, g):
        return g[..., None] * torch.tensor([0.3, 0.59, blue], dtype=g.dtype)

    forward = lambda ctx, p: 0.3 * p[..., 0] + 0.59 * p[..., 1] + 0.11 * p[..., 2]
    return written(forward, backward)


def test_colours_have_three_channels():
    assert_not_accused(gray(), tensor(5, 3))
    assert wrongs(check_torch(gray(0.12), tensor(5, 3)))


def test_one_of_very_many_elements():
    def save(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    def backward(ctx, g, wrong=1.0):
        d = 3 * ctx.saved_tensors[0] ** 2 * g
        d.view(-1)[12345:12346] *= wrong
        return d

    x = tensor(200, 200)
    assert_not_accused(written(save, backward), x, explore=False)
    found = check_torch(written(save, lambda ctx, g: backward(ctx, g, 1.5)), x, explore=False)
    assert [row.worst_index for row in wrongs(found) if row.check == "matches_numerical"] == [(61, 145)]


def test_labels_in_a_closure_are_labels_too():
    def reads(x):
        seen.add(tuple(x.shape))
        return x[torch.arange(3), labels] ** 2

    seen, labels = set(), torch.tensor([1, 3, 0])
    assert_not_accused(reads, X)


def test_a_function_whose_closure_holds_places_keeps_its_shapes():
    # as the losses do that are given labels, torch's own of which read them unchecked
    def reads(x):
        seen.add(tuple(x.shape))
        return x[..., labels] if x.shape[-1] > 3 else x.new_zeros((*x.shape[:-1], 3))

    seen, labels = set(), torch.tensor([1, 3, 0])
    assert check_torch(reads, X).ok
    assert {shape[-1] for shape in seen} == {4}


def test_an_embedding_with_a_sparse_gradient():
    assert_not_accused(nn.Embedding(5, 3, sparse=True).double(), torch.tensor([1, 1, 4]))


@pytest.mark.xfail(strict=True, reason="an infinite slope at the edge of a domain is left undecided")
def test_a_root_at_zero():
    assert_not_accused(torch.sqrt, torch.tensor([0.0, 1.0]))


def test_the_two_largest_of_three_equal_ones():
    for seed in range(4):
        # with other cotangents, of which not all tell it
        assert_not_accused(lambda x: x.topk(2, -1).values, torch.tensor([[1.0, 1.0, 0.0, 1.0]]), seed=seed)


@pytest.mark.parametrize("name", ["eigvalsh", "cholesky"])
def test_a_matrix_that_is_given_as_symmetric_stays_symmetric(name):
    assert_not_accused(getattr(torch.linalg, name), X @ X.T + torch.eye(3, dtype=torch.float64))


@pytest.mark.parametrize("seed", range(3))
def test_an_lu_factor_with_a_tie_of_pivots(seed):
    # moved to one side another row is the pivot, and all outputs change: those that do not jump change their slope
    at = torch.tensor([[0.0], [-1.0], [0.0], [0.0], [0.0], [-1.0]], dtype=torch.float64)
    assert_not_accused(lambda a: torch.linalg.lu_factor(a)[0], at, seed=seed)


def test_what_has_no_derivative_is_refused_with_a_line():
    with pytest.raises(TypeError, match="torch has no derivative of igamma") as caught:
        check_torch(torch.igamma, X[0].abs(), X[1].abs())
    assert "\n" not in str(caught.value)
    # of a derivative by hand, what it raises is told as its fault
    unfinished = written(lambda ctx, x: x * 2, lambda ctx, g: later())
    assert "raised NotImplementedError" in check_torch(unfinished, X).rows[0].note


def later():
    raise NotImplementedError("later")


def test_a_sign_of_two_numbers_that_are_made_zero():
    at = (torch.tensor(1.5, dtype=torch.float64), torch.tensor(-0.5, dtype=torch.float64))
    assert_not_accused(torch.copysign, *at)


def test_weights_of_less_precision_than_what_they_weigh():
    x, w = tensor(4, 5), torch.rand(5, generator=torch.Generator().manual_seed(1), dtype=torch.float32)
    assert_not_accused(lambda x, w: (x * w).sum(1) / w.sum(), x, w)


STEEP = torch.tensor([-4.076012721760325, 1.0], dtype=torch.float64)


def test_a_smooth_function_with_a_little_rounding_is_decided():
    check_torch(lambda x: torch.polygamma(1, x), STEEP, explore=False).raise_if_failed()


def test_an_undecided_gradient_has_no_likely_mistake():
    report = check_torch(lambda x: torch.polygamma(1, x), STEEP, explore=False)
    undecided = [fault for fault in report.faults if "inconclusive" in fault.sentence]
    assert not [fault.name for fault in undecided if fault.confidence]


def test_a_staircase_finer_than_any_step():
    at = torch.tensor([0.71234, -1.9], dtype=torch.float64)
    assert not wrongs(check_torch(lambda x: torch.round(x, decimals=3), at))


def test_a_wrong_derivative_of_the_forward_mode():
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(x):
            return x**2

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return 2 * ctx.saved_tensors[0] * g

        @staticmethod
        def jvp(ctx, t):
            return 3 * ctx.saved_tensors[0] * t

    assert not check_torch(Square, tensor(3)).ok


def test_a_backward_that_cannot_be_batched():
    def backward(ctx, g):
        return torch.zeros_like(g) if float(g.abs().sum()) == 0 else 2 * ctx.saved_tensors[0] * g

    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    report = check_torch(written(forward, backward), tensor(3))
    # torch says so aloud, and nobody asked for batches
    assert report.ok
    assert any("and it says so" in row.note for row in report.rows if row.check == "batched")
