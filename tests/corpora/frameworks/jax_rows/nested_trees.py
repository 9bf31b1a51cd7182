"""Row "nested": inputs and outputs as pytrees.  x64 is switched on here, by jax.config."""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._entry import Call, Entry

jax.config.update("jax_enable_x64", True)

ROW = "nested"


class Body(NamedTuple):
    position: Any
    steps: Any
    velocity: Any


@jax.tree_util.register_dataclass
@dataclass
class NormParameters:
    scale: Any
    shift: Any
    extra: Any = None
    kind: str = field(default="layer", metadata={"static": True})


@jax.tree_util.register_dataclass
@dataclass
class Camera:
    pose: dict
    sensor: tuple
    model: str = field(default="pinhole", metadata={"static": True})


@jax.tree_util.register_pytree_node_class
class Interval:
    """A pytree class written by hand: bounds as leaves, a name as auxiliary data."""

    def __init__(self, low, high, name="x"):
        self.low, self.high, self.name = low, high, name

    def tree_flatten(self):
        return (self.low, self.high), self.name

    @classmethod
    def tree_unflatten(cls, name, leaves):
        return cls(*leaves, name)


def two_equal_layers():
    """Two layers of one shape in a list: their weights' gradients are swapped."""

    @jax.custom_vjp
    def net(params, x):
        for layer in params:
            x = jnp.tanh(x @ layer["w"] + layer["b"])
        return x

    def fwd(params, x):
        h = [x]
        for layer in params:
            h.append(jnp.tanh(h[-1] @ layer["w"] + layer["b"]))
        return h[-1], (params, h)

    def bwd(saved, g):
        params, h = saved
        ws, bs = [], []
        for k in range(len(params) - 1, -1, -1):
            g = g * (1 - h[k + 1] ** 2)
            ws.append(h[k].T @ g)
            bs.insert(0, g.sum(0))
            g = g @ params[k]["w"].T
        return [{"w": w, "b": b} for w, b in zip(ws, bs)], g

    net.defvjp(fwd, bwd)
    r = np.random.default_rng(100)
    params = [
        {"w": jnp.asarray(r.normal(0, 0.5, (4, 4))), "b": jnp.asarray(r.normal(0, 0.1, 4))} for _ in range(2)
    ]
    return Call(net, (params, jnp.asarray(r.normal(size=(3, 4)))))


def leapfrog_body():
    """One kick of a body, given and returned as a NamedTuple with an integer in between."""

    @jax.custom_vjp
    def advance(body, dt):
        new = body.position + dt * body.velocity
        return Body(new, body.steps + 1, body.velocity - dt * jnp.sin(new))

    def fwd(body, dt):
        out = advance(body, dt)
        return out, (out.position, body.velocity, dt)

    def bwd(saved, ct):
        new, velocity, dt = saved
        g_new = ct.position - dt * jnp.cos(new) * ct.velocity
        g_dt = jnp.sum(g_new * velocity) - jnp.sum(ct.velocity * jnp.sin(new))
        return Body(g_new, None, ct.velocity + g_new), g_dt  # dt * g_new

    advance.defvjp(fwd, bwd)
    r = np.random.default_rng(101)
    return Call(
        advance,
        (Body(jnp.asarray(r.normal(size=5)), jnp.array(3), jnp.asarray(r.normal(size=5))), jnp.array(0.1)),
    )


def norm_dataclass():
    """A dataclass with a None and a string: scale and shift swapped."""

    @jax.custom_vjp
    def norm(p, x):
        z = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return z * p.scale + p.shift

    def fwd(p, x):
        s = jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return norm(p, x), (p, (x - x.mean(-1, keepdims=True)) / s, s)

    def bwd(saved, g):
        p, z, s = saved
        gz = g * p.scale
        gx = (gz - gz.mean(-1, keepdims=True) - z * (gz * z).mean(-1, keepdims=True)) / s
        return NormParameters(g.sum(0), (g * z).sum(0), None, p.kind), gx

    norm.defvjp(fwd, bwd)
    r = np.random.default_rng(102)
    p = NormParameters(jnp.asarray(r.uniform(0.5, 2, 6)), jnp.asarray(r.normal(size=6)), None, "layer")
    return Call(norm, (p, jnp.asarray(r.normal(size=(4, 6)))))


def dictionary_order():
    """Gradients computed in the order of insertion, joined with the keys in the order of the leaves (sorted)."""

    @jax.custom_vjp
    def rational(coefficients):
        c = coefficients
        x = jnp.linspace(-1, 1, 9)
        return (c["slope"] * x + c["offset"]) / (1 + c["bend"] ** 2 * x**2)

    def bwd(c, g):
        x = jnp.linspace(-1, 1, 9)
        q = 1 + c["bend"] ** 2 * x**2
        top = c["slope"] * x + c["offset"]
        grads = [jnp.sum(g * x / q), jnp.sum(g / q), jnp.sum(-g * top / q**2 * 2 * c["bend"] * x**2)]
        return (dict(zip(sorted(c), grads)),)

    rational.defvjp(lambda c: (rational(c), c), bwd)
    return Call(rational, ({"slope": jnp.array(0.8), "offset": jnp.array(-0.3), "bend": jnp.array(1.4)},))


def outputs_in_a_tree():
    """Outputs in a tree; the cotangent of one leaf is taken for another's of the same shape."""

    @jax.custom_jvp
    def stresses(strain):
        e, s = strain["normal"], strain["shear"]
        trace = e.sum(-1, keepdims=True)
        return {
            "normal": 2 * e + 0.7 * trace,
            "shear": (3.0 * s, None),
            "energy": jnp.sum(e * e + s * s, -1) + 0.35 * trace[..., 0] ** 2,
        }

    @stresses.defjvp
    def _(primals, tangents):
        (strain,), (d,) = primals, tangents
        e, s = strain["normal"], strain["shear"]
        trace, dtrace = e.sum(-1, keepdims=True), d["normal"].sum(-1, keepdims=True)
        energy = jnp.sum(2 * e * d["normal"] + 2 * s * d["normal"], -1) + 0.7 * (trace * dtrace)[..., 0]
        return stresses(strain), {
            "normal": 2 * d["normal"] + 0.7 * dtrace,
            "shear": (3.0 * d["shear"], None),
            "energy": energy,
        }

    r = np.random.default_rng(104)
    return Call(
        stresses,
        ({"normal": jnp.asarray(r.normal(size=(4, 3))), "shear": jnp.asarray(r.normal(size=(4, 3)))},),
    )


def camera_projection():
    """A dataclass that holds a dict and a tuple with an integer and a None; points in a list of arrays of various lengths."""

    @jax.custom_vjp
    def project(camera, clouds):
        focal, _, _ = camera.sensor
        R, t = camera.pose["R"], camera.pose["t"]
        return [focal * (q[:, :2] / q[:, 2:]) for q in (c @ R.T + t for c in clouds)]

    def fwd(camera, clouds):
        return project(camera, clouds), (camera, clouds)

    def bwd(saved, cts):
        camera, clouds = saved
        focal, _, _ = camera.sensor
        R, t = camera.pose["R"], camera.pose["t"]
        g_focal, gR, gt, gc = 0.0, jnp.zeros_like(R), jnp.zeros_like(t), []
        for c, g in zip(clouds, cts):
            q = c @ R.T + t
            uv = q[:, :2] / q[:, 2:]
            g_focal = g_focal + jnp.sum(g * uv)
            gq = jnp.concatenate(
                [focal * g / q[:, 2:], -focal * jnp.sum(g * uv, -1, keepdims=True) / q[:, 2:]], -1
            )
            gR, gt = gR + gq.T @ c, gt + gq.sum(0)
            gc.append(gq @ R)
        return Camera({"R": gR, "t": gt}, (g_focal, None, None), camera.model), gc

    project.defvjp(fwd, bwd)
    r = np.random.default_rng(110)
    camera = Camera(
        {"t": jnp.array([0.1, -0.2, 5.0]), "R": jnp.eye(3) + 0.1 * jnp.asarray(r.normal(size=(3, 3)))},
        (jnp.array(1.3), 640, None),
    )
    return Call(project, (camera, [jnp.asarray(r.normal(size=(n, 3))) for n in (1, 4, 2)]))


def body_with_python_integer():
    """A NamedTuple with a Python int, nested in a tuple; the number of steps is a static setting."""

    @jax.custom_vjp
    def drift(state):
        body, (drag, wind) = state
        v = body.velocity * jnp.exp(-drag)
        return Body(body.position + v + wind, body.steps + 1, v)

    def fwd(state):
        return drift(state), state

    def bwd(state, ct):
        body, (drag, wind) = state
        e = jnp.exp(-drag)
        gv = ct.velocity + ct.position
        return ((Body(ct.position, None, gv * e), (-jnp.sum(gv * body.velocity * e), jnp.sum(ct.position))),)

    drift.defvjp(fwd, bwd)

    def function(state, steps):
        body, rest = state
        for _ in range(steps):
            body = drift((body, rest))
        return {"end": body.position, "speed": body.velocity, "left": None, "steps": steps}

    r = np.random.default_rng(111)
    start = Body(jnp.asarray(r.normal(size=(2, 3))), 0, jnp.asarray(r.normal(size=(2, 3))))
    return Call(function, ((start, (jnp.array(0.2), jnp.array(-0.4))),), {"steps": 3})


def hollow_tree():
    """Empty containers, a leaf of size nought, None, and an OrderedDict whose order is not the alphabet's."""

    @jax.custom_vjp
    def gather(tree):
        return tree["z"] * tree["a"][1], tree["empty"][0].sum() + tree["a"][1] ** 2

    def bwd(tree, cts):
        g, h = cts
        by_a = jnp.sum(g * tree["z"]) + 2 * h * tree["a"][1]
        out = OrderedDict(
            z=g * tree["a"][1], a=((), by_a, None), empty=[jnp.full_like(tree["empty"][0], h), {}]
        )
        return (out,)

    gather.defvjp(lambda t: (gather(t), t), bwd)
    tree = OrderedDict(
        z=jnp.array([1.0, -2.0, 0.5]), a=((), jnp.array(0.7), None), empty=[jnp.zeros((0, 3)), {}]
    )
    return Call(gather, (tree,))


def the_same_array_twice():
    """One array object in two places: each place has its own gradient."""

    @jax.custom_vjp
    def tied(params):
        return jnp.sin(params["encode"]) @ params["decode"].T

    def bwd(params, g):
        return (
            {
                "encode": (g @ params["decode"]) * jnp.cos(params["encode"]),
                "decode": g.T @ jnp.sin(params["encode"]),
            },
        )

    tied.defvjp(lambda p: (tied(p), p), bwd)
    shared = jnp.asarray(np.random.default_rng(113).normal(size=(3, 3)))
    return Call(tied, ({"encode": shared, "decode": shared},))


def interval_arithmetic():
    """A pytree class of its own for input and output; custom_jvp."""

    @jax.custom_jvp
    def times(a, b):
        p = jnp.stack([a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high])
        return Interval(p.min(0), p.max(0), a.name + b.name)

    @times.defjvp
    def _(primals, tangents):
        (a, b), (da, db) = primals, tangents
        p = jnp.stack([a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high])
        d = jnp.stack(
            [
                da.low * b.low + a.low * db.low,
                da.low * b.high + a.low * db.high,
                da.high * b.low + a.high * db.low,
                da.high * b.high + a.high * db.high,
            ]
        )
        out = times(a, b)
        low = jnp.take_along_axis(d, p.argmin(0)[None], 0)[0]
        high = jnp.take_along_axis(d, p.argmax(0)[None], 0)[0]
        return out, Interval(low, high, out.name)

    a = Interval(jnp.array([0.5, -2.0, -3.0]), jnp.array([1.0, 1.5, -1.0]), "u")
    b = Interval(jnp.array([-1.0, 0.3, -2.0]), jnp.array([2.0, 0.9, 0.4]), "v")
    return Call(times, (a, b))


ENTRIES = [
    Entry(
        "two_equal_layers",
        ROW,
        True,
        "the gradients of the two weight matrices (of one shape) are swapped",
        two_equal_layers,
    ),
    Entry(
        "leapfrog_body", ROW, True, "the gradient of the velocity leaf lacks dt in one term", leapfrog_body
    ),
    Entry(
        "norm_dataclass",
        ROW,
        True,
        "the gradients of scale and shift (of one shape) are swapped in the dataclass",
        norm_dataclass,
    ),
    Entry(
        "dictionary_order",
        ROW,
        True,
        "gradients in the order slope, offset, bend are joined with the sorted keys bend, offset, slope",
        dictionary_order,
    ),
    Entry(
        "outputs_in_a_tree",
        ROW,
        True,
        "in the tangent of one output leaf (energy) the tangent of 'normal' stands where that of 'shear' should",
        outputs_in_a_tree,
    ),
    Entry(
        "camera_projection",
        ROW,
        False,
        "dataclass, dict, tuple with a Python int and None, a list of arrays of different lengths; outputs a list",
        camera_projection,
    ),
    Entry(
        "body_with_python_integer",
        ROW,
        False,
        "a Python int among the leaves, None and an int in the output, an integer setting",
        body_with_python_integer,
    ),
    Entry(
        "hollow_tree",
        ROW,
        False,
        "empty tuple, dict, a leaf of size 0, None, and an OrderedDict out of alphabetical order",
        hollow_tree,
    ),
    Entry(
        "the_same_array_twice",
        ROW,
        False,
        "one array object is two leaves: their gradients differ",
        the_same_array_twice,
    ),
    Entry(
        "interval_arithmetic",
        ROW,
        False,
        "a pytree class of its own for inputs and output, with auxiliary data",
        interval_arithmetic,
    ),
]
