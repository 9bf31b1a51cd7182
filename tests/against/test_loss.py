"""Every node of the family loss agrees with torch, on random shapes, targets and settings."""

import numpy as np
import pytest

from ._shapes import clear_of, some_shape, with_ties
from ._torch import F, compare, numbers, torch


def inside(rng, shape):
    """Return numbers from 0 to 1, neither of them reached: there torch cuts logarithms and slopes, the node doesn't."""
    x = rng.uniform(1e-3, 1 - 1e-3, shape)
    return x**3 if rng.integers(4) == 0 else x


def rows_of_probabilities(rng, shape):
    """Return rows that sum to 1, with no 0: at 0 log(y) in torch has no gradient but NaN, the node's is 0."""
    weights = inside(rng, shape)
    return weights / weights.sum(axis=-1, keepdims=True)


def errors(rng, function, **settings):
    """Return predictions and targets of one shape, both differentiated, some of them equal."""
    shape = some_shape(rng)
    return (with_ties(rng, shape), with_ties(rng, shape)), settings, function


def huber(rng):
    # at an error of delta both sides have the slope delta, and whole numbers often are that far apart
    delta = float(rng.integers(1, 3)) if rng.integers(2) else float(rng.uniform(0.1, 3))
    settings = {} if rng.integers(4) == 0 else {"delta": delta}
    return errors(rng, lambda y, t: F.huber_loss(y, t, **settings), **settings)


def binary(rng, draw, function):
    """Return yes or no for each element, or a number between."""
    shape = some_shape(rng)
    t = rng.uniform(0, 1, shape) if rng.integers(2) else rng.integers(0, 2, shape)
    target = torch.tensor(t, dtype=torch.float64)
    return (draw(rng, shape),), {"t": np.asarray(t)}, lambda y: function(y, target)


def hinge(rng):
    t = np.asarray(rng.choice([-1, 1], some_shape(rng)))
    # at the kink torch lets g pass, the node does not
    y = clear_of(rng, t.shape, -1, 1)
    target = torch.tensor(t)
    return (y,), {"t": t}, lambda y: F.margin_ranking_loss(y, torch.zeros_like(y), target, margin=1)


def categories(rng, draw, on_ids, on_rows, **settings):
    """Return class indices, one-hot rows, or rows of other numbers, whose sum need not be 1."""
    shape = some_shape(rng, 1)
    ids = np.asarray(rng.integers(0, shape[-1], shape[:-1]))
    rows = rng.uniform(0, 1, shape) * rng.integers(0, 2, shape) if rng.integers(2) else np.eye(shape[-1])[ids]
    x, t, function = draw(rng, shape), *((ids, on_ids) if rng.integers(2) else (rows, on_rows))
    target = torch.tensor(t)
    return (x,), {"t": t, **settings}, lambda x: function(x, target)


def classes_second(x):
    """Return `x` with its last axis where torch wants the classes; of a view torch's nll_loss has no backward."""
    return x.movedim(-1, 1).contiguous() if x.ndim > 2 else x


def row_count(x):
    return x.numel() // x.shape[-1]


def on_probabilities(rng, delta=None):
    shift = 0 if delta is None else delta
    return categories(
        rng,
        rows_of_probabilities,
        lambda y, t: F.nll_loss(classes_second(torch.log(y + shift)), t),
        lambda y, t: -torch.special.xlogy(t, y + shift).sum() / row_count(y),
        **({} if delta is None else {"delta": delta}),
    )


def softmax_with_loss(rng):
    return categories(
        rng,
        lambda rng, shape: numbers(rng, *shape),
        lambda x, t: F.cross_entropy(classes_second(x), t),
        lambda x, t: F.cross_entropy(classes_second(x), classes_second(t)),
    )


def cosine_loss(rng):
    shape = some_shape(rng, 1)
    y, t = numbers(rng, *shape), numbers(rng, *shape)
    return (y, t), {}, lambda y, t: (1 - F.cosine_similarity(y, t, dim=-1)).mean()


def kl_divergence(rng):
    shape = some_shape(rng, 1)
    p, q = rows_of_probabilities(rng, shape), rows_of_probabilities(rng, shape)
    # torch's own batchmean divides by the length of the first axis alone
    return (p, q), {}, lambda p, q: F.kl_div(torch.log(q), p, reduction="sum") / row_count(p)


def negative_sampling(rng):
    count, size, words, drawn = (int(n) for n in rng.integers((1, 1, 1, 0), 6))
    target, negatives = rng.integers(0, words, count), rng.integers(0, words, (count, drawn))
    right, wrong = torch.tensor(target), torch.tensor(negatives)

    def loss(h, W):
        wanted = (F.embedding(right, W) * h).sum(-1)
        unwanted = (F.embedding(wrong, W) * h[:, None]).sum(-1)
        return -(F.logsigmoid(wanted).sum() + F.logsigmoid(-unwanted).sum()) / count

    primals = numbers(rng, count, size), numbers(rng, words, size)
    return primals, {"target": target, "negatives": negatives}, loss


def ctc(rng):
    steps, count, classes, longest = (int(n) for n in rng.integers((1, 1, 2, 0), (13, 5, 6, 7)))
    blank = int(rng.integers(classes))
    # few classes, so that labels often repeat; some do not fit into their frames, and cost 0 on both sides
    labels = rng.choice([c for c in range(classes) if c != blank], (count, longest))
    settings = {
        "labels": labels,
        "label_lengths": rng.integers(0, longest + 3, count).clip(max=longest),
        "input_lengths": rng.integers(1, steps + 3, count).clip(max=steps),
    }
    labels[np.arange(longest) >= settings["label_lengths"][:, None]] = rng.choice([-1, blank, classes])
    theirs = [torch.tensor(settings[name]) for name in ("labels", "input_lengths", "label_lengths")]
    if blank or rng.integers(2):
        settings["blank"] = blank

    def loss(x):
        # torch's own mean divides each by the length of its labels
        each = F.ctc_loss(F.log_softmax(x, 2), *theirs, blank, reduction="none", zero_infinity=True)
        return each.mean()

    return (numbers(rng, steps, count, classes),), settings, loss


DRAWN = {
    "binary_cross_entropy": lambda rng: binary(rng, inside, F.binary_cross_entropy),
    "categorical_cross_entropy": on_probabilities,
    "cosine_loss": cosine_loss,
    "cross_entropy": lambda rng: on_probabilities(rng, delta=float(rng.choice([1e-7, 0.01, 0.5]))),
    "ctc": ctc,
    "hinge": hinge,
    "huber": huber,
    "kl_divergence": kl_divergence,
    "mean_absolute_error": lambda rng: errors(rng, F.l1_loss),
    "mean_squared_error": lambda rng: errors(rng, F.mse_loss),
    "negative_sampling": negative_sampling,
    "sigmoid_with_loss": lambda rng: binary(
        rng, lambda rng, shape: numbers(rng, *shape), F.binary_cross_entropy_with_logits
    ),
    "softmax_with_loss": softmax_with_loss,
    "sum_squares_error": lambda rng: errors(rng, lambda y, t: F.mse_loss(y, t, reduction="sum") / 2),
}


@pytest.mark.parametrize("name", DRAWN)
def test_as_torch(name):
    compare(name, DRAWN[name])
