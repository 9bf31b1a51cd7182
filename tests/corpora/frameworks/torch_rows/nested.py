"""Row "nested": inputs and outputs in tuples, lists, dicts and dataclasses, with None and integers between."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd import Function

from .._entry import Call, Entry

ROW = "nested"


def p(seed, *shape, positive=False):
    t = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (t.abs() + 0.3 if positive else t).requires_grad_()


class LayerFn(Function):
    @staticmethod
    def forward(ctx, x, w, b):
        ctx.save_for_backward(x, w, b)
        return torch.tanh(x @ w + b)

    @staticmethod
    def backward(ctx, g):
        x, w, b = ctx.saved_tensors
        s = g * (1 - torch.tanh(x @ w + b) ** 2)
        return s @ w.mT, x.mT @ s, s.sum(0)


def mlp(params, x, skip=None):
    for w, b in params["layers"]:
        x = LayerFn.apply(x, w, b)
    if params["scale"] is not None:
        x = x * params["scale"]
    return {"out": x, "n_layers": len(params["layers"]), "skip": skip}


def make_mlp():
    params = {"layers": [(p(1, 3, 4), p(2, 4)), (p(3, 4, 2), p(4, 2))], "scale": None, "seed": 17}
    return Call(mlp, (params, p(5, 6, 3)))


@dataclass
class Body:
    position: torch.Tensor
    velocity: torch.Tensor
    mass: float
    label: Any = None


class Kick(Function):
    """One leapfrog step in the field -k x of a spring."""

    @staticmethod
    def forward(ctx, x, v, k, mass, dt):
        ctx.mass, ctx.dt = mass, dt
        half = v - 0.5 * dt * k * x / mass
        new = x + dt * half
        ctx.save_for_backward(x, v, k)
        return new, half - 0.5 * dt * k * new / mass

    @staticmethod
    def backward(ctx, gx, gv):
        x, v, k = ctx.saved_tensors
        h = 0.5 * ctx.dt / ctx.mass
        half = v - h * k * x
        new = x + ctx.dt * half
        gnew = gx - h * k * gv
        ghalf = gv + ctx.dt * gnew
        gk = -(h * new * gv).sum() - (h * x * ghalf).sum()
        return gnew - h * k * ghalf, ghalf, gk, None, None


def step(bodies, k, dt):
    out = []
    for b in bodies:
        x, v = Kick.apply(b.position, b.velocity, k, b.mass, dt)
        out.append(Body(x, v, b.mass, b.label))
    return out


def make_step():
    k = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    return Call(step, ([Body(p(6, 3), p(7, 3), 1.5, "a"), Body(p(8, 3), p(9, 3), 0.7)], k, 0.1))


class TiedProduct(Function):
    @staticmethod
    def forward(ctx, x, enc, dec):
        ctx.save_for_backward(x, enc, dec)
        return (x @ enc) @ dec.mT

    @staticmethod
    def backward(ctx, g):
        x, enc, dec = ctx.saved_tensors
        gh = g @ dec
        return gh @ enc.mT, x.mT @ gh, g.mT @ (x @ enc)


def autoencode(batch, weights):
    y = TiedProduct.apply(batch["x"], weights["encoder"], weights["decoder"])
    return y, ("residual", y - batch["x"], 0)


def make_tied():
    w = p(10, 5, 2)
    return Call(
        autoencode, ({"x": p(11, 3, 5), "mask": None}, {"encoder": w, "decoder": w})
    )  # one leaf in two places


Gaussian = namedtuple("Gaussian", "mean logvar")


class KL(Function):
    @staticmethod
    def forward(ctx, m0, l0, m1, l1):
        ctx.save_for_backward(m0, l0, m1, l1)
        return 0.5 * (l1 - l0 + (l0 - l1).exp() + (m0 - m1) ** 2 * (-l1).exp() - 1).sum()

    @staticmethod
    def backward(ctx, g):
        m0, l0, m1, l1 = ctx.saved_tensors
        r, d, q = (l0 - l1).exp(), m0 - m1, (-l1).exp()
        return g * d * q, g * 0.5 * (r - 1), -g * d * q, g * 0.5 * (1 - r - d * d * q)


def kl(q, prior):
    (first, second) = q, prior
    return OrderedDict(
        kl=KL.apply(*first, *second), dims=first.mean.numel(), free=[None, (torch.tensor([0.5, 2.0]),)]
    )


def make_kl():
    frozen = Gaussian(p(14, 4), p(15, 4).detach())  # one leaf in the middle requires no gradient
    return Call(kl, (Gaussian(p(12, 4), p(13, 4)), frozen))


class ScaleShift(Function):
    @staticmethod
    def forward(ctx, x, gamma, beta):
        ctx.save_for_backward(x, gamma)
        return x * gamma + beta

    @staticmethod
    def backward(ctx, g):
        x, gamma = ctx.saved_tensors
        return g * gamma, g.sum(0), (g * x).sum(0)  # gamma's and beta's are swapped


def film(x, cond):
    return (ScaleShift.apply(x, cond["gamma"], cond["beta"]), cond["id"])


def make_film():
    return Call(film, (p(21, 5, 3), {"beta": p(22, 3), "gamma": p(23, 3), "id": 4}))


class Head(Function):
    """Three biased heads in one call; arguments in a flat row"""

    @staticmethod
    def forward(ctx, x, *wb):
        ctx.save_for_backward(x, *wb)
        return tuple(x @ w + b for w, b in zip(wb[::2], wb[1::2]))

    @staticmethod
    def backward(ctx, *gs):
        x, *wb = ctx.saved_tensors
        out = []
        gx = 0
        for i, (w, g) in enumerate(zip(wb[::2], gs)):
            gx = gx + g @ w.mT
            out += [x.mT @ g, g.sum(0) if i != 2 else g.mean(0)]  # the last head's bias gets the mean
        return gx, *out


def heads(x, tree):
    a, (b, _none), c = tree
    ya, yb, yc = Head.apply(x, *a, *b["wb"], *c)
    return {"a": ya, "rest": [yb, {"c": yc}]}


def make_heads():
    tree = [(p(24, 3, 2), p(25, 2)), ({"wb": (p(26, 3, 2), p(27, 2))}, None), [p(28, 3, 1), p(29, 1)]]
    return Call(heads, (p(30, 4, 3), tree))


@dataclass
class Lens:
    focal: torch.Tensor
    aberration: torch.Tensor
    glass: str = "BK7"


@dataclass
class Ray:
    height: torch.Tensor
    angle: torch.Tensor


class Refract(Function):
    @staticmethod
    def forward(ctx, h, a, f, c):
        ctx.save_for_backward(h, f, c)
        return h.clone(), a - h / f + c * h**3

    @staticmethod
    def backward(ctx, gh, ga):
        h, f, c = ctx.saved_tensors
        to_f = -(ga * h / f**2).sum()  # the sign: d(-h/f)/df = + h/f^2
        return gh + ga * (-1 / f + 3 * c * h**2), ga, to_f, (ga * h**3).sum()


def trace(ray, lenses, gaps):
    for lens, gap in zip(lenses, gaps):
        h, a = Refract.apply(ray.height, ray.angle, lens.focal, lens.aberration)
        ray = Ray(h + gap * a, a)
    return ray


def make_trace():
    s = lambda x: torch.tensor(x, dtype=torch.float64, requires_grad=True)
    lenses = (Lens(s(1.8), s(0.05)), Lens(s(-2.5), s(-0.02), "SF11"))
    return Call(trace, (Ray(p(31, 6), p(32, 6)), lenses, (1, 2)))


class CellFn(Function):
    """LSTM-like cell without gates for the output: (h, c)"""

    @staticmethod
    def forward(ctx, x, c, wi, wf):
        ctx.save_for_backward(x, c, wi, wf)
        i, f = torch.sigmoid(x * wi), torch.sigmoid(x * wf)
        new = f * c + i * x
        return torch.tanh(new), new

    @staticmethod
    def backward(ctx, gh, gc):
        x, c, wi, wf = ctx.saved_tensors
        i, f = torch.sigmoid(x * wi), torch.sigmoid(x * wf)
        new = f * c + i * x
        g = gh * (1 - torch.tanh(new) ** 2) + gc
        gi, gf = g * x * i * (1 - i), g * c * f * (1 - f)
        # wf's gradient takes the new state's cotangent of h alone: gc is dropped on the way
        gf_h = gh * (1 - torch.tanh(new) ** 2) * c * f * (1 - f)
        return g * i + gi * wi + gf * wf, g * f, (gi * x).sum(0), (gf_h * x).sum(0)


def cell(inputs, state, params):
    h, c = CellFn.apply(inputs, state["c"], params["gates"][0], params["gates"][1])
    return h, {"c": c, "t": state["t"] + 1, "h": None}


def make_cell():
    return Call(
        cell, (p(33, 4, 3), {"c": p(34, 4, 3), "t": 0}, {"gates": [p(35, 3), p(36, 3)], "name": "cell0"})
    )


ENTRIES = [
    Entry(
        "ne_mlp_dict",
        ROW,
        False,
        "right; parameters in a dict of a list of tuples with None and integers, output a dict with an integer and None",
        make_mlp,
    ),
    Entry(
        "ne_bodies_dataclass",
        ROW,
        False,
        "right; a list of dataclasses with tensors, floats and strings, in and out",
        make_step,
    ),
    Entry(
        "ne_tied_leaf",
        ROW,
        False,
        "right; the same tensor stands at two places of the input, its gradient is the sum of both uses",
        make_tied,
    ),
    Entry(
        "ne_kl_namedtuple",
        ROW,
        False,
        "right; namedtuples, of which one leaf requires no gradient; a constant tensor among the outputs",
        make_kl,
    ),
    Entry(
        "ne_film_swapped",
        ROW,
        True,
        "the gradients of gamma and beta, of the same shape, are swapped",
        make_film,
    ),
    Entry(
        "ne_heads_bias_mean",
        ROW,
        True,
        "the bias of the third head gets the batch's mean in place of its sum; the five other leaves are right",
        make_heads,
    ),
    Entry(
        "ne_lens_sign", ROW, True, "the gradient of the lenses' focal length has the wrong sign", make_trace
    ),
    Entry(
        "ne_cell_dropped",
        ROW,
        True,
        "the gradient of the second gate's weight leaves out what comes from the nested output 'c'",
        make_cell,
    ),
]
