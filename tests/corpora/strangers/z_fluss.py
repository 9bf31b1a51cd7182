"""Diffusion, flows, physics-informed losses, ODEs, audio codecs: notebooks and gists."""

import numpy as np
from scipy.special import ndtr

from ._entry import Stranger
from ._help_z import cot, losses, num, pairs


def acoplamento(x, Ws, bs, Wt, bt):
    """RealNVP: a primeira metade passa, a segunda é escalada e deslocada. Devolve y e log|det|."""
    meio = x.shape[1] // 2
    xa, xb = x[:, :meio], x[:, meio:]
    s = 1.5 * np.tanh((xa @ Ws + bs) / 1.5)
    y = np.concatenate([xa, xb * np.exp(s) + xa @ Wt + bt], axis=1)
    return y, s.sum(axis=1), (xa, xb, s, Ws, Wt)


def acoplamento_volta(dy, dlogdet, memoria):
    xa, xb, s, Ws, Wt = memoria
    meio = xa.shape[1]
    dt = dy[:, meio:]
    ds = (dt * xb * np.exp(s) + dlogdet[:, None]) * (1 - (s / 1.5) ** 2)
    dx = np.concatenate([dy[:, :meio] + ds @ Ws.T + dt @ Wt.T, dt * np.exp(s)], axis=1)
    return dx, xa.T @ ds, ds.sum(axis=0), xa.T @ dt, dt.sum(axis=0)


def entradas():
    r = np.random.default_rng(0)
    return [r.normal(0, 0.8, s) for s in ((5, 5), (2, 3), (3,), (2, 3), (3,))]


def prova_acoplamento():
    a, g, h = entradas(), cot((5, 5)), cot((5,), 12)

    def total():
        y, logdet, _ = acoplamento(*a)
        return np.sum(g * y) + np.sum(h * logdet)

    claims = acoplamento_volta(g, h, acoplamento(*a)[2])
    return [(c, num(total, v)) for c, v in zip(claims, a, strict=True)]


class ActNorm:
    """Glow's per-channel affine map; returns y and the log-determinant of every sample."""

    def __init__(self, scale_log, bias):
        self.log_s, self.b = scale_log, bias

    def forward(self, x):
        self.n, self.t, _ = x.shape
        self.xs = x * np.exp(self.log_s)
        return self.xs + self.b, np.full(self.n, self.t * self.log_s.sum())

    def backward(self, dy, dlogdet):
        self.d_b = dy.sum(axis=(0, 1))
        self.d_log_s = np.sum(dy * self.xs, axis=(0, 1)) + self.t * self.n
        return dy * np.exp(self.log_s)


def glow():
    return ActNorm(np.array([0.3, -0.5, 0.1]), np.array([0.0, 1.0, -0.4]))


def glow_x():
    return np.random.default_rng(1).standard_normal((2, 4, 3))


def prove_glow():
    m, x, g, h = glow(), glow_x(), cot((2, 4, 3)), cot((2,), 12)

    def total():
        y, logdet = m.forward(x)
        return np.sum(g * y) + np.sum(h * logdet)

    total()
    return [(m.backward(g, h), num(total, x)), (m.d_log_s, num(total, m.log_s)), (m.d_b, num(total, m.b))]


class TinyDenoiser:
    """eps(x_t, t) with a sinusoidal time embedding and FiLM. `backward` is a generator of (name, grad)."""

    freqs = np.array([1.0, 0.1, 0.01])

    def __init__(self, dim, hidden, seed=0):
        rng = np.random.default_rng(seed)
        shapes = {"W1": (dim, hidden), "Wgain": (6, hidden), "Wshift": (6, hidden), "W2": (hidden, dim)}
        for name, shape in shapes.items():
            setattr(self, name, rng.normal(0, 0.5, shape))

    def forward(self, x_t, t):
        self.x = x_t
        angle = t[:, None] * self.freqs
        self.emb = np.hstack([np.sin(angle), np.cos(angle)])
        self.h = np.tanh(x_t @ self.W1)
        self.gain = 1 + self.emb @ self.Wgain
        self.film = self.h * self.gain + self.emb @ self.Wshift
        return self.film @ self.W2

    def backward(self, grad):
        yield "W2", self.film.T @ grad
        grad = grad @ self.W2.T
        yield "Wshift", self.emb.T @ grad
        yield "Wgain", self.emb.T @ (grad * self.h)
        grad = grad * self.gain * (1 - self.h**2)
        yield "W1", self.x.T @ grad
        yield "x_t", grad @ self.W1.T


def noisy():
    return np.random.default_rng(2).standard_normal((4, 3)), np.array([0, 3, 17, 60])


def prove_denoiser():
    m, (x, t) = TinyDenoiser(3, 5), noisy()

    def back(g):
        found = dict(m.backward(g))
        return [found[k] for k in ("x_t", "W1", "Wgain", "Wshift", "W2")]

    return pairs(lambda: m.forward(x, t), back, x, m.W1, m.Wgain, m.Wshift, m.W2)


class PosteriorMean:
    """DDPM: mean of x_{t-1} given x_t and the predicted noise; every sample has its own t."""

    def __init__(self, betas):
        self.betas, self.alphas = betas, 1 - betas
        self.alpha_bar = np.cumprod(self.alphas)

    def forward(self, x_t, eps, t):
        self.t = t
        a, ab = self.alphas[t][:, None], self.alpha_bar[t][:, None]
        return (x_t - (1 - a) / np.sqrt(1 - ab) * eps) / np.sqrt(a)

    def backward(self, dmean):
        a, ab = self.alphas[self.t - 1][:, None], self.alpha_bar[self.t][:, None]
        b = self.betas[self.t][:, None]
        dx = dmean / np.sqrt(a)
        deps = -dmean * b / np.sqrt((1 - b) * (1 - ab))
        return dx, deps


def chain():
    r = np.random.default_rng(3)
    return r.standard_normal((4, 3)), r.standard_normal((4, 3)), np.array([1, 3, 5, 7])


def ddpm():
    return PosteriorMean(np.linspace(0.02, 0.4, 8))


def prove_ddpm():
    m, (x, e, t) = ddpm(), chain()
    return pairs(lambda: m.forward(x, e, t), m.backward, x, e)


class OscillatorPINN:
    """u(t) = sum a tanh(w t + b) for u'' + omega^2 u = 0, u(0) = 1, u'(0) = 0. theta = [a, w, b]."""

    def __init__(self, times, omega=2.0, weight=3.0):
        self.t, self.o2, self.weight = times[:, None], omega**2, weight

    def _terms(self, theta):
        a, w, b = np.split(theta, 3)
        T, T0 = np.tanh(w * self.t + b), np.tanh(b)
        res = (a * T * (self.o2 - 2 * w**2 * (1 - T**2))).sum(axis=1)
        return a, w, T, T0, res, (a * T0).sum() - 1, (a * w * (1 - T0**2)).sum()

    def loss(self, theta):
        *_, res, u0, v0 = self._terms(theta)
        return np.mean(res**2) + self.weight * (u0**2 + v0**2)

    def grad(self, theta):
        a, w, T, T0, res, u0, v0 = self._terms(theta)
        S, S0 = 1 - T**2, 1 - T0**2
        by_z = a * S * (self.o2 - 2 * w**2 * (1 - 3 * T**2))
        by = [T * (self.o2 - 2 * w**2 * S), by_z * self.t - 4 * a * w * T * S, by_z]
        at_zero = [u0 * T0 + v0 * w * S0, v0 * a * S0, u0 * a * S0 - 2 * v0 * a * w * T0 * S0]
        return np.concatenate(
            [2 * res @ d / len(res) + 2 * self.weight * z for d, z in zip(by, at_zero, strict=True)]
        )


def pinn():
    return OscillatorPINN(np.linspace(0, 2, 9))


def theta_pinn():
    return np.random.default_rng(4).normal(0, 0.8, 12)


def prove_pinn():
    p, th = pinn(), theta_pinn()
    return [(p.grad(th), num(lambda: p.loss(th), th))]


class ResiduChaleur:
    """Résidu de l'équation de la chaleur sur une grille (temps, espace), parois isolées."""

    def __init__(self, dt=0.1, dx=0.5, diffusivite=0.8):
        self.dt, self.dx = dt, dx
        self.k = np.array([diffusivite])

    def forward(self, u):
        bord = np.pad(u[:-1], ((0, 0), (1, 1)), mode="edge")
        self.lap = (bord[:, 2:] - 2 * u[:-1] + bord[:, :-2]) / self.dx**2
        self.r = (u[1:] - u[:-1]) / self.dt - self.k * self.lap
        return np.mean(self.r**2)

    def backward(self, dperte=1.0):
        g = 2 * dperte * self.r / self.r.size
        self.dk = -np.sum(g * self.lap, keepdims=True).ravel()
        q = np.pad(g, ((0, 0), (1, 1)))
        lap_g = (q[:, 2:] - 2 * g + q[:, :-2]) / self.dx**2
        du = np.zeros((len(g) + 1, g.shape[1]))
        du[1:] += g / self.dt
        du[:-1] -= g / self.dt + self.k * lap_g
        return du


def barre():
    return np.random.default_rng(5).standard_normal((4, 7))


def preuve_chaleur():
    m, u = ResiduChaleur(), barre()
    return losses(lambda: m.forward(u), lambda: (m.backward(), m.dk), u, m.k)


class NeuralOde:
    """x' = tanh(x A + c) B, integrato con RK4; gradiente discreto passo per passo."""

    def __init__(self, dim, nascosti, passi=3, h=0.2):
        r = np.random.default_rng(6)
        self.passi, self.h = passi, h
        self.A, self.c = r.normal(0, 0.6, (dim, nascosti)), r.normal(0, 0.3, nascosti)
        self.B = r.normal(0, 0.6, (nascosti, dim))

    def campo(self, x):
        a = np.tanh(x @ self.A + self.c)
        self.nastro.append((x, a))
        return a @ self.B

    def campo_inv(self, dk):
        x, a = self.nastro.pop()
        da = dk @ self.B.T * (1 - a**2)
        self.gB += a.T @ dk
        self.gA += x.T @ da
        self.gc += da.sum(axis=0)
        return da @ self.A.T

    def avanti(self, x):
        self.nastro, h = [], self.h
        for _ in range(self.passi):
            k1 = self.campo(x)
            k2 = self.campo(x + h / 2 * k1)
            k3 = self.campo(x + h / 2 * k2)
            k4 = self.campo(x + h * k3)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return x

    def indietro(self, g):
        h = self.h
        self.gA, self.gc, self.gB = np.zeros_like(self.A), np.zeros_like(self.c), np.zeros_like(self.B)
        for _ in range(self.passi):
            d4 = self.campo_inv(h / 6 * g)
            d3 = self.campo_inv(h / 3 * g + h * d4)
            d2 = self.campo_inv(h / 3 * g + h / 2 * d3)
            d1 = self.campo_inv(h / 6 * g + h / 2 * d2)
            g = g + d1 + d2 + d3 + d4
        return g


def stato():
    return np.random.default_rng(7).standard_normal((4, 2))


def prova_ode():
    m, x = NeuralOde(2, 5), stato()
    return pairs(lambda: m.avanti(x), lambda g: (m.indietro(g), m.gA, m.gc, m.gB), x, m.A, m.c, m.B)


class Ctx:
    def save_for_backward(self, *tensors):
        self.saved_tensors = tensors


class QuickGELU:  # torch.autograd.Function in numpy
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x / (1 + np.exp(-1.702 * x))

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        slope = ndtr(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
        return grad_output * slope


def quick_fwd(x):
    ctx = Ctx()
    return QuickGELU.forward(ctx, x), ctx


def quick_bwd(ctx, g):
    return (QuickGELU.backward(ctx, g),)


def acts():
    return np.random.default_rng(8).normal(0, 1.2, (4, 5))


def prove_quick():
    x = acts()
    return pairs(lambda: quick_fwd(x)[0], lambda g: quick_bwd(quick_fwd(x)[1], g), x)


class MuLaw:
    """Audio codec front end: gain, then mu-law companding."""

    def __init__(self, mu=15.0):
        self.mu, self.gain = mu, np.array([0.8])

    def forward(self, wave):
        self.wave, self.z = wave, self.gain * wave
        return np.sign(self.z) * np.log1p(self.mu * np.abs(self.z)) / np.log1p(self.mu)

    def backward(self, dout):
        dz = dout
        self.dgain = np.sum(dz * self.wave, keepdims=True)
        return dz * self.gain


def wave():
    return np.random.default_rng(9).uniform(0.15, 0.9, 12) * np.resize([1, 1, -1], 12)


def prove_mulaw():
    m, x = MuLaw(), wave()
    return pairs(lambda: m.forward(x), lambda g: (m.backward(g), m.dgain), x, m.gain)


class TanhReservoir:
    """readout of an echo state network; buffers are allocated once, for speed"""

    def __init__(self, batch, n_in, n_out):
        self.W = np.random.default_rng(10).normal(0, 0.6, (n_in, n_out))
        self.buf, self.dz = np.empty((batch, n_out)), np.empty((batch, n_out))
        self.dx, self.dW = np.empty((batch, n_in)), np.empty((n_in, n_out))

    def forward(self, x):
        self.x = x
        np.dot(x, self.W, out=self.buf)
        return np.tanh(self.buf, out=self.buf)

    def backward(self, dout):
        np.multiply(dout, 1 - self.buf**2, out=self.dz)
        np.dot(self.x.T, self.dz, out=self.dW)
        return np.dot(self.dz, self.W.T, out=self.dx)


ENTRIES = [
    Stranger(
        "z acoplamento RealNVP",
        "pair with cache, two outputs and two cotangents",
        lambda gradlab: gradlab.check_cached_pair(acoplamento, acoplamento_volta, entradas()),
        prova_acoplamento,
    ),
    Stranger(
        "z ActNorm: log-determinant without its cotangent",
        "layer of two outputs, attribute gradients",
        lambda gradlab: gradlab.check_layer(glow(), glow_x()),
        prove_glow,
        "wrong",
        "the part through the log-determinant counts the samples instead of adding up dlogdet",
        ("ignores-cotangent", "additive-bias"),
        ("log_s",),
        "        self.d_log_s = np.sum(dy * self.xs, axis=(0, 1)) + self.t * self.n",
        "        self.d_log_s = np.sum(dy * self.xs, axis=(0, 1)) + self.t * dlogdet.sum()",
    ),
    Stranger(
        "z tiny denoiser with FiLM",
        "layer whose backward is a generator of (name, grad)",
        lambda gradlab: gradlab.check_layer(TinyDenoiser(3, 5), *noisy()),
        prove_denoiser,
    ),
    Stranger(
        "z DDPM posterior mean: alpha of the step before",
        "layer of two inputs and a time index, tuple",
        lambda gradlab: gradlab.check_layer(ddpm(), *chain()),
        prove_ddpm,
        "wrong",
        "the gradient of x_t takes alpha at t - 1 instead of t",
        ("wrong-operand", "shifted"),
        ("x_t",),
        "        a, ab = self.alphas[self.t - 1][:, None], self.alpha_bar[self.t][:, None]",
        "        a, ab = self.alphas[self.t][:, None], self.alpha_bar[self.t][:, None]",
    ),
    Stranger(
        "z oscillator PINN",
        "f and grad methods of a flat theta",
        lambda gradlab: gradlab.check_gradient(pinn().loss, pinn().grad, theta_pinn()),
        prove_pinn,
    ),
    Stranger(
        "z résidu de chaleur: adjoint with zeros beyond the insulated walls",
        "loss layer, attribute gradient",
        lambda gradlab: gradlab.check_layer(ResiduChaleur(), barre()),
        preuve_chaleur,
        "wrong",
        "forward repeats the edge, the adjoint pads with zeros: wrong at the walls",
        ("border", "masked-region"),
        ("u",),
        "        q = np.pad(g, ((0, 0), (1, 1)))",
        '        q = np.pad(g, ((0, 0), (1, 1)), mode="edge")',
    ),
    Stranger(
        "z neural ODE con RK4",
        "avanti / indietro, attribute gradients, a tape that is emptied",
        lambda gradlab: gradlab.check_layer(NeuralOde(2, 5), stato()),
        prova_ode,
    ),
    Stranger(
        "z QuickGELU: slope of the exact GELU",
        "torch-like Function with ctx, as fwd and bwd",
        lambda gradlab: gradlab.check_vjp(quick_fwd, quick_bwd, (acts(),)),
        prove_quick,
        "wrong",
        "forward is x sigmoid(1.702 x), the slope is that of x Phi(x)",
        ("other-approximation",),
        ("x",),
        "        slope = ndtr(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)",
        "        s = 1 / (1 + np.exp(-1.702 * x))\n        slope = s + 1.702 * x * s * (1 - s)",
    ),
    Stranger(
        "z mu-law front end: companding is passed straight through",
        "layer with attribute gradient",
        lambda gradlab: gradlab.check_layer(MuLaw(), wave()),
        prove_mulaw,
        "wrong",
        "the slope of the companding is left out, dout is passed on as it is",
        ("straight-through", "missing-factor"),
        ("wave", "gain"),
        "        dz = dout",
        "        dz = dout * self.mu / (1 + self.mu * np.abs(self.z)) / np.log1p(self.mu)",
    ),
    Stranger(
        "z tanh reservoir: returns its own buffers",
        "layer with attribute gradient, buffers of a fixed batch",
        lambda gradlab: gradlab.check_layer(TanhReservoir(4, 3, 5), noisy()[0]),
        lambda: [],
        "habit",
        "output, input gradient and dW are the layer's own buffers, which the next call overwrites",
        ("aliases-memory",),
        ("x", "W"),
    ),
]
