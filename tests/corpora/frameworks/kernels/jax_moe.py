"""Top-2 routing with gathers and scatters."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._entry import Call, Entry

ROW = "moe"
ALL = ("float32", "bfloat16", "float16")
LOW = ("bfloat16", "float16")
F32 = jnp.float32
ENTRIES: list[Entry] = []
DTYPES: dict[str, tuple[str, ...]] = {}


def entry(name, wrong, why, function, reference, inputs, dtypes=ALL):
    def make(dtype=getattr(jnp, dtypes[0])):
        return Call(function, inputs(dtype), reference=reference)

    DTYPES[name] = dtypes
    ENTRIES.append(Entry(name, ROW, wrong, why, make))


def mixture(x, gate, w):
    """x (tokens, d), gate (tokens, experts), w (experts, d, e)"""
    top, which = lax.top_k(gate, 2)
    p = jax.nn.softmax(top, axis=-1)
    share = (jax.nn.one_hot(which, gate.shape[1], dtype=x.dtype) * p[..., None]).sum(1)
    return sum(share[:, e, None] * (x @ w[e]) for e in range(len(w)))


def _routes(gate):
    top, which = lax.top_k(gate.astype(F32), 2)
    return jax.nn.softmax(top, axis=-1), which


def _slots(x, w, which):
    """each slot's expert output, as a masked product: (tokens, 2, e)"""
    hot = jax.nn.one_hot(which, len(w), dtype=F32)
    return jnp.einsum("tse,td,edf->tsf", hot, x.astype(F32), w.astype(F32))


def forward(x, gate, w):
    p, which = _routes(gate)
    return (p[..., None] * _slots(x, w, which)).sum(1).astype(x.dtype)


def dgate_right(p, which, dp, gate):
    d = p * (dp - (p * dp).sum(-1, keepdims=True))
    return jnp.zeros(gate.shape, F32).at[jnp.arange(len(gate))[:, None], which].add(d)


def dgate_constant_sum(p, which, dp, gate):
    """as if the weights were exp(gate) over a sum held constant"""
    return jnp.zeros(gate.shape, F32).at[jnp.arange(len(gate))[:, None], which].add(p * dp)


def dw_products(x, p, which, g, w):
    order = jnp.argsort(which.reshape(-1), stable=True)
    rows = x.astype(F32)[order // 2]
    grads = (p[..., None] * g.astype(F32)[:, None]).reshape(-1, g.shape[1])[order]
    hot = jax.nn.one_hot(which.reshape(-1)[order], len(w), dtype=F32)
    return jnp.einsum("se,sd,sf->edf", hot, rows, grads)


def dw_low(x, p, which, g, w):
    def step(total, token):
        xt, pt, wt, gt = token
        term = pt[:, None, None] * xt.astype(F32)[None, :, None] * gt.astype(F32)[None, None]
        return total.at[wt].add(term.astype(total.dtype)), None

    return lax.scan(step, jnp.zeros_like(w), (x, p, which, g))[0]


def dx_both(w, p, which, g):
    hot = jax.nn.one_hot(which, len(w), dtype=F32) * p[..., None]
    return jnp.einsum("tse,tf,edf->td", hot, g.astype(F32), w.astype(F32))


def dx_unweighted(w, p, which, g):
    return dx_both(w, jnp.ones_like(p), which, g)


def kernel(run=forward, dx=dx_both, dgate=dgate_right, dw=dw_products):
    @jax.custom_vjp
    def f(x, gate, w):
        return run(x, gate, w)

    def bwd(saved, g):
        x, gate, w = saved
        p, which = _routes(gate)
        dp = (_slots(x, w, which) * g.astype(F32)[:, None]).sum(-1)
        return (
            dx(w, p, which, g).astype(x.dtype),
            dgate(p, which, dp, gate).astype(gate.dtype),
            dw(x, p, which, g, w).astype(w.dtype),
        )

    f.defvjp(lambda *a: (f(*a), a), bwd)
    return f


def tokens(dtype, n=250, experts=5, d=8, out=6, mean=0.0, popular=False, seed=0):
    rng = np.random.default_rng(seed)
    order = rng.permuted(np.tile(np.arange(experts), (n, 1)), axis=1).astype(float)
    if popular:  # expert 1 is always the first
        order[:, 1] = experts
    gate = 0.5 * order + rng.uniform(0, 0.2, order.shape) - 1
    x = mean + rng.standard_normal((n, d))
    return (
        jnp.asarray(x, dtype),
        jnp.asarray(gate, dtype),
        jnp.asarray(0.4 * rng.standard_normal((experts, d, out)), dtype),
    )


entry(
    "jax_moe",
    False,
    "Products masked by one-hot routes in float32; experts that are not chosen have a gate gradient of exactly 0.",
    kernel(),
    mixture,
    tokens,
)


def scattered(add):
    def run(x, gate, w):
        p, which = _routes(gate)
        order = jnp.argsort(which.reshape(-1), stable=True)
        slots = (p[..., None] * _slots(x, w, which)).reshape(-1, w.shape[2])[order]
        out = jnp.zeros((len(x), w.shape[2]), F32).at[order // 2]
        return (out.add(slots) if add else out.set(slots)).astype(x.dtype)

    return run


entry(
    "jax_moe_scattered",
    False,
    "Sorted by expert and added back with a scatter: another order.",
    kernel(run=scattered(True)),
    mixture,
    lambda dtype: tokens(dtype, experts=7, seed=1),
)
entry(
    "jax_moe_scatter_set",
    True,
    "mathematically: output: .set in the scatter: one of a token's two experts overwrites the other.",
    kernel(run=scattered(False)),
    mixture,
    tokens,
)
entry(
    "jax_moe_gate_sum_held_constant",
    True,
    "mathematically: gate: the denominator of the two weights is held constant.",
    kernel(dgate=dgate_constant_sum),
    mixture,
    tokens,
)
entry(
    "jax_moe_weights_forgotten_in_backward",
    True,
    "mathematically: x: a missing factor, the experts' weights, in the gradient of the tokens.",
    kernel(dx=dx_unweighted),
    mixture,
    tokens,
)
entry(
    "jax_moe_expert_gradient_low_carry",
    True,
    "precision: bfloat16, float16: w: 1,200 tokens of one expert are added in a carry of the weights' dtype; clear with a cotangent of one sign.",
    kernel(dw=dw_low),
    mixture,
    lambda dtype: tokens(dtype, n=1200, experts=3, d=5, out=4, mean=2.0, popular=True, seed=2),
    LOW,
)
