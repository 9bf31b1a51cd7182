import numpy as np

from ._entry import Stranger
from ._help_f import both, num, pairs_of


# second-order section, direct form I, along the last axis; coef = (b0, b1, b2, a1, a2)
def biquad_forward(x, coef):
    b0, b1, b2, a1, a2 = coef
    xp = np.concatenate([np.zeros((*x.shape[:-1], 2)), x], axis=-1)
    y = np.zeros_like(xp)
    for n in range(2, xp.shape[-1]):
        y[..., n] = (
            b0 * xp[..., n]
            + b1 * xp[..., n - 1]
            + b2 * xp[..., n - 2]
            - a1 * y[..., n - 1]
            - a2 * y[..., n - 2]
        )
    return y[..., 2:].copy(), (xp, y, coef)


def biquad_backward(state, gy):
    xp, y, (b0, b1, b2, a1, a2) = state
    T = gy.shape[-1]
    s = np.zeros((*gy.shape[:-1], T + 2))
    for n in range(T - 1, -1, -1):
        s[..., n] = gy[..., n] - a1 * s[..., n + 1] - a2 * s[..., n + 2]
    core = s[..., :T]
    gx = b0 * core + b1 * s[..., 1 : T + 1] + b2 * s[..., 2 : T + 2]
    lag = lambda v, k: np.sum(core * v[..., 2 - k : 2 - k + T])
    return gx, np.array([lag(xp, 0), lag(xp, 1), lag(xp, 2), -lag(y, 1), -lag(y, 2)])


# soft dynamic time warping of two series
class SoftWarp:
    def __init__(self, target, gamma=0.7):
        self.target = target
        self.gamma = gamma

    def _table(self, a):
        n, m = len(a), len(self.target)
        D = (a[:, None] - self.target[None]) ** 2
        Rt = np.full((n + 1, m + 1), np.inf)
        Rt[0, 0] = 0
        for i in range(1, n + 1):
            for j in range(1, m + 1):
                z = -np.array([Rt[i - 1, j - 1], Rt[i - 1, j], Rt[i, j - 1]]) / self.gamma
                top = z.max()
                Rt[i, j] = D[i - 1, j - 1] - self.gamma * (top + np.log(np.exp(z - top).sum()))
        return D, Rt

    def distance(self, a):
        return self._table(a)[1][-1, -1]

    def slope(self, a):
        n, m = len(a), len(self.target)
        D, Rt = self._table(a)
        E = np.zeros((n + 2, m + 2))
        E[n, m] = 1
        for i in range(n, 0, -1):
            for j in range(m, 0, -1):
                for p, q in ((i + 1, j), (i, j + 1), (i + 1, j + 1)):
                    if p <= n and q <= m:
                        E[i, j] += E[p, q] * np.exp((Rt[p, q] - Rt[i, j] - D[p - 1, q - 1]) / self.gamma)
        return (E[1:-1, 1:-1] * 2 * (a[:, None] - self.target[None])).sum(1)


# linear-chain CRF: negative log-likelihood of a tag sequence
def crf_nll(emission, transition, tags):
    T, K = emission.shape
    fwd = np.zeros((T, K))
    fwd[0] = emission[0]
    for t in range(1, T):
        fwd[t] = emission[t] + np.logaddexp.reduce(fwd[t - 1][:, None] + transition, axis=0)
    logz = np.logaddexp.reduce(fwd[-1])
    gold = emission[np.arange(T), tags].sum() + transition[tags[:-1], tags[1:]].sum()
    return logz - gold, (fwd, logz, emission, transition, tags)


def crf_nll_backward(saved, g):
    fwd, logz, emission, transition, tags = saved
    T, K = emission.shape
    bwd = np.zeros((T, K))
    d_tr = np.zeros((K, K))
    for t in range(T - 2, -1, -1):
        step = transition + (emission[t + 1] + bwd[t + 1])[None, :]
        bwd[t] = np.logaddexp.reduce(step, axis=1)
        d_tr += np.exp(fwd[t][:, None] + step - logz)
    d_em = np.exp(fwd + bwd - logz)
    d_em[np.arange(T), tags] -= 1
    np.subtract.at(d_tr, (tags[:-1], tags[1:]), 1)
    return g * d_em, g * d_tr


# delays in samples, linear interpolation (a tapped line, one tap for each delay)
def tap_forward(line, delays, gains):
    n = np.arange(4, len(line))
    whole = np.floor(delays).astype(int)
    frac = delays - whole
    near, far = line[n[:, None] - whole], line[n[:, None] - whole - 1]
    taps = (1 - frac) * near + frac * far
    return taps @ gains, (n, whole, frac, near, far, taps, gains, len(line))


def tap_backward(saved, g):
    n, whole, frac, near, far, taps, gains, size = saved
    d_taps = g[:, None] * gains
    d_line = np.zeros(size)
    np.add.at(d_line, n[:, None] - whole, d_taps * (1 - frac))
    np.add.at(d_line, n[:, None] - whole - 1, d_taps * frac)
    return d_line, (d_taps * (far - near)).sum(0), g @ taps


# total variation with rounded corners, images
def huber_tv(u, noisy, lam=0.6, delta=0.3):
    dx, dy = np.diff(u, axis=1), np.diff(u, axis=0)
    value, grad = 0.5 * ((u - noisy) ** 2).sum(), u - noisy
    for d, ax in ((dx, 1), (dy, 0)):
        a = np.abs(d)
        value += lam * np.where(a < delta, a**2 / (2 * delta), a - delta / 2).sum()
        p = lam * np.clip(d / delta, -1, 1)
        lo = [slice(None)] * 2
        hi = [slice(None)] * 2
        lo[ax], hi[ax] = slice(None, -1), slice(1, None)
        grad[tuple(hi)] += p
        grad[tuple(lo)] -= p
    return value, grad


# hidden Markov chain, log domain: -log p(obs), logA (K, K), loglik (T, K), uniform start
def hmm_cost(logA, loglik):
    alpha = loglik[0]
    for row in loglik[1:]:
        alpha = row + np.logaddexp.reduce(alpha[:, None] + logA, axis=0)
    return -np.logaddexp.reduce(alpha)


def hmm_cost_grad(logA, loglik):
    T, K = loglik.shape
    alpha, beta = np.zeros((T, K)), np.zeros((T, K))
    alpha[0] = loglik[0]
    for t in range(1, T):
        alpha[t] = loglik[t] + np.logaddexp.reduce(alpha[t - 1][:, None] + logA, axis=0)
    evidence = np.logaddexp.reduce(alpha[-1])
    for t in range(T - 2, -1, -1):
        beta[t] = np.logaddexp.reduce(logA + loglik[t + 1] + beta[t + 1], axis=1)
    counts = np.zeros((K, K))
    for t in range(T - 2):
        counts += np.exp(alpha[t][:, None] + logA + loglik[t + 1] + beta[t + 1] - evidence)
    return -counts


# smoothing kernel with mirrored ends
def mirror_fir_forward(x, h):
    half = len(h) // 2
    xp = np.pad(x, half, mode="reflect")
    return np.convolve(xp, h[::-1], mode="valid"), (xp, h, half)


def mirror_fir_backward(dy, cache):
    xp, h, half = cache
    dxp = np.convolve(dy, h)
    dx = dxp[half:-half].copy()
    for k in range(1, half + 1):
        dx[k] += dxp[half - k]
        dx[-k] += dxp[-half - 1 + k]
    dh = np.array([dy @ xp[k : k + len(dy)] for k in range(len(h))])
    return dx, dh


# magnitude of a short spectrum against a target magnitude
HANN = np.hanning(8)
FLOOR = 0.05


def spectral_cost(frame, target):
    S = np.fft.rfft(frame * HANN)
    mag = np.sqrt(S.real**2 + S.imag**2 + FLOOR)
    return 0.5 * np.sum((mag - target) ** 2)


def spectral_cost_grad(frame, target):
    S = np.fft.rfft(frame * HANN)
    mag = np.sqrt(S.real**2 + S.imag**2 + FLOOR)
    G = (mag - target) * S / (np.abs(S) + FLOOR)
    k = np.arange(len(G))[:, None] * np.arange(len(frame))[None, :]
    ang = 2 * np.pi * k / len(frame)
    return HANN * (G.real @ np.cos(ang) - G.imag @ np.sin(ang))


# compressor side chain: attack when the level rises, release when it falls
def follower_forward(level, attack, release):
    env = np.zeros(len(level) + 1)
    for n, v in enumerate(level):
        k = attack if v > env[n] else release
        env[n + 1] = env[n] + k * (v - env[n])
    return env[1:].copy(), (level, env, attack, release)


def follower_backward(saved, g):
    level, env, attack, release = saved
    rising = level > env[1:].mean()
    k = np.where(rising, attack, release)
    d_level = np.zeros_like(level)
    d_attack = d_release = 0.0
    carry = 0.0
    for n in range(len(level) - 1, -1, -1):
        carry += g[n]
        d_level[n] = carry * k[n]
        step = carry * (level[n] - env[n])
        if rising[n]:
            d_attack += step
        else:
            d_release += step
        carry *= 1 - k[n]
    return d_level, np.array(d_attack), np.array(d_release)


# dry/wet mixer with a bypass
class Mixer:
    def __init__(self, bypass=False):
        self.bypass = bypass

    def forward(self, dry, wet):
        return (dry + 0.0, None) if self.bypass else (dry + wet, None)

    def backward(self, _, g):
        return (g, np.zeros_like(g)) if self.bypass else (g, g)


def _n(seed, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(s) for s in shapes]


def _biquad():
    return _n(1, (2, 8))[0], np.array([0.6, -0.3, 0.2, -0.7, 0.4])


WARP_A, WARP_B = _n(2, 5, 6)
TAGS = np.array([0, 2, 2, 1, 2])


def _crf():
    em, tr = _n(3, (5, 3), (3, 3))
    return em, tr, TAGS


def _taps():
    return _n(4, 9)[0], np.array([0.3, 1.7, 2.45]), np.array([0.8, -0.5, 1.2])


IMG, NOISY = _n(5, (4, 5), (4, 5))
LOGA, LOGLIK = _n(6, (3, 3), (6, 3))
MIRROR = lambda: tuple(_n(7, 9, 5))
FRAME = _n(8, 8)[0]
MAG = np.abs(_n(9, 5)[0]) + 0.5


def _follow():
    level = np.array([0.9, 1.6, 0.4, 0.3, 1.1, 0.9, 2.0, 0.1])
    return level, np.array(0.6), np.array(0.15)


def _mixed():
    return tuple(_n(10, (2, 3), (2, 3)))


def _call_mixer(gradlab):
    mixer = Mixer()
    return gradlab.check_vjp(mixer.forward, mixer.backward, _mixed())


ENTRIES = [
    Stranger(
        "second-order filter section",
        "vjp with residuals",
        lambda gradlab: gradlab.check_vjp(biquad_forward, biquad_backward, _biquad()),
        lambda: pairs_of(biquad_forward, biquad_backward, _biquad(), cache_first=True),
    ),
    Stranger(
        "soft time warping",
        "object with distance and slope",
        lambda gradlab: gradlab.check_gradient(
            SoftWarp(WARP_B).distance, SoftWarp(WARP_B).slope, WARP_A.copy()
        ),
        lambda: both(SoftWarp(WARP_B).distance, SoftWarp(WARP_B).slope, WARP_A),
    ),
    Stranger(
        "linear-chain CRF",
        "vjp with residuals, integer tags",
        lambda gradlab: gradlab.check_vjp(lambda e, t: crf_nll(e, t, TAGS), crf_nll_backward, _crf()[:2]),
        lambda: pairs_of(crf_nll, crf_nll_backward, _crf(), cache_first=True),
    ),
    Stranger(
        "tapped delay line with fractional delays",
        "vjp with residuals",
        lambda gradlab: gradlab.check_vjp(tap_forward, tap_backward, _taps()),
        lambda: pairs_of(tap_forward, tap_backward, _taps(), cache_first=True),
    ),
    Stranger(
        "total variation with rounded corners",
        "value and gradient with args",
        lambda gradlab: gradlab.check_gradient(huber_tv, True, IMG.copy(), args=(NOISY,)),
        lambda: both(lambda u: huber_tv(u, NOISY)[0], lambda u: huber_tv(u, NOISY)[1], IMG),
    ),
    Stranger(
        "hidden Markov chain: the last transition not counted",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(hmm_cost, hmm_cost_grad, LOGA.copy(), args=(LOGLIK,)),
        lambda: [(hmm_cost_grad(LOGA, LOGLIK), num(lambda a: hmm_cost(a, LOGLIK), LOGA))],
        "wrong",
        "a sequence of T has T - 1 transitions, and the loop counts T - 2",
        ("missing-term", "border"),
        ("logA",),
        "    for t in range(T - 2):",
        "    for t in range(T - 1):",
    ),
    Stranger(
        "smoothing with mirrored ends: folded back one place off at the end",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(mirror_fir_forward, mirror_fir_backward, MIRROR()),
        lambda: pairs_of(mirror_fir_forward, mirror_fir_backward, MIRROR()),
        "wrong",
        "reflect does not repeat the last element: index -1 - k",
        ("border", "shifted"),
        ("x",),
        "        dx[-k] += dxp[-half - 1 + k]",
        "        dx[-1 - k] += dxp[-half - 1 + k]",
    ),
    Stranger(
        "spectral magnitudes: the floor added outside the root",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(spectral_cost, spectral_cost_grad, FRAME.copy(), args=(MAG,)),
        lambda: both(lambda v: spectral_cost(v, MAG), lambda v: spectral_cost_grad(v, MAG), FRAME),
        "wrong",
        "divides by |S| + floor instead of sqrt(|S|^2 + floor)",
        ("epsilon-mismatch",),
        ("frame",),
        "    G = (mag - target) * S / (np.abs(S) + FLOOR)",
        "    G = (mag - target) * S / mag",
    ),
    Stranger(
        "envelope follower: rising judged by the mean of the envelope",
        "vjp with residuals",
        lambda gradlab: gradlab.check_vjp(follower_forward, follower_backward, _follow()),
        lambda: pairs_of(follower_forward, follower_backward, _follow(), cache_first=True),
        "wrong",
        "the branch is taken by another comparison than forward's",
        ("masked-region",),
        ("level", "attack", "release"),
        "    rising = level > env[1:].mean()",
        "    rising = level > env[:-1]",
    ),
    Stranger(
        "mixer: hands out its cotangent twice",
        "bound methods as vjp",
        _call_mixer,
        lambda: [],
        "habit",
        "both gradients are the cotangent itself",
        ("aliases-memory",),
        ("dry", "wet"),
        "        return (g, np.zeros_like(g)) if self.bypass else (g, g)",
        "        return (g.copy(), np.zeros_like(g)) if self.bypass else (g.copy(), g.copy())",
    ),
]
