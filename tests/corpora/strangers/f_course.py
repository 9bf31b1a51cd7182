import numpy as np

from ._entry import Stranger
from ._help_f import pairs_of


# --- local response normalisation over channels
def lrn_forward(x, size=3, k=2.0, alpha=0.4, beta=0.75):
    N, C, T = x.shape
    half = size // 2
    sq = np.zeros((N, C + 2 * half, T))
    sq[:, half : half + C] = x**2
    scale = k + alpha / size * sum(sq[:, i : i + C] for i in range(size))
    out = x * scale ** (-beta)
    return out, (x, scale, size, alpha, beta)


def lrn_backward(dout, cache):
    x, scale, size, alpha, beta = cache
    N, C, T = x.shape
    half = size // 2
    inner = np.zeros((N, C + 2 * half, T))
    inner[:, half : half + C] = dout * x * scale ** (-beta - 1)
    spread = sum(inner[:, i : i + C] for i in range(size))
    return dout * scale ** (-beta) - 2 * alpha * beta / size * x * spread


# --- causal dilated depthwise convolution along time
def causal_dw_forward(x, w, dilation=2):
    N, C, T = x.shape
    K = w.shape[1]
    pad = (K - 1) * dilation
    xp = np.pad(x, ((0, 0), (0, 0), (pad, 0)))
    out = np.zeros((N, C, T))
    for k in range(K):
        out += w[None, :, k, None] * xp[:, :, k * dilation : k * dilation + T]
    return out, (xp, w, dilation, pad)


def causal_dw_backward(dout, cache):
    xp, w, dilation, pad = cache
    T = dout.shape[2]
    dxp = np.zeros(xp.shape)
    dw = np.zeros(w.shape)
    for k in range(w.shape[1]):
        sl = slice(k * dilation, k * dilation + T)
        dw[:, k] = (dout * xp[:, :, sl]).sum(axis=(0, 2))
        dxp[:, :, sl] += w[None, :, k, None] * dout
    dx = dxp[:, :, :T]
    return dx, dw


# --- keypoints: expected coordinate under a softmax over the plane
def keypoints_forward(feat):
    n, c, h, w = feat.shape
    flat = feat.reshape(n, c, -1)
    e = np.exp(flat - flat.max(-1, keepdims=True))
    p = e / e.sum(-1, keepdims=True)
    yy, xx = np.meshgrid(np.linspace(-1, 1, h), np.linspace(-1, 1, w), indexing="ij")
    grid = np.stack([xx.ravel(), yy.ravel()], axis=1)
    pts = p @ grid
    return pts, (p, grid, pts, feat.shape)


def keypoints_backward(dpts, cache):
    p, grid, pts, shape = cache
    along = dpts @ grid.T
    mean = (dpts * pts).sum(-1, keepdims=True)
    return (p * (along - mean)).reshape(shape)


# --- how spread out an attention row is; a scalar regulariser
def attn_entropy_forward(scores, weight):
    shifted = scores - scores.max(axis=1, keepdims=True)
    logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    p = np.exp(logp)
    H = -(p * logp).sum(axis=1)
    return np.dot(weight, H), (p, logp, H, weight)


def attn_entropy_backward(dout, cache):
    p, logp, H, weight = cache
    dscores = -p * (logp + H[:, None]) * weight[:, None]
    return dscores, dout * H


# --- weight normalisation in front of an affine map
def wn_affine_forward(x, v, g, b):
    """x (N, D), v (D, M), g (M,), b (M,): the columns of v are normalised."""
    norm = np.sqrt(np.sum(v * v, axis=0))
    u = v / norm
    h = x @ u
    out = g * h + b
    return out, (x, u, norm, g, h)


def wn_affine_backward(dout, cache):
    x, u, norm, g, h = cache
    db = dout.sum(0)
    dg = np.einsum("nm,nm->m", dout, h)
    du = x.T @ (dout * g)
    dv = (du - u * (u * du).sum(0)) / norm
    dx = (dout * g) @ u.T
    return dx, dv, dg, db


# --- sub-pixel upsampling
def pixel_shuffle_forward(x):
    r = 2
    N, CC, H, W = x.shape
    C = CC // (r * r)
    out = x.reshape(N, C, r, r, H, W).transpose(0, 1, 4, 2, 5, 3).reshape(N, C, H * r, W * r)
    return out, (x.shape, r)


def pixel_shuffle_backward(dout, cache):
    (N, CC, H, W), r = cache
    C = CC // (r * r)
    d = dout.reshape(N, C, H, r, W, r)
    return d.transpose(0, 1, 5, 3, 2, 4).reshape(N, CC, H, W)


# --- leaky accumulator, input scaled so that the variance is kept
def leaky_scan_forward(x, decay_logit, h0):
    a = 1 / (1 + np.exp(-decay_logit))
    b = np.sqrt(1 - a**2)
    h, hs = h0, []
    for t in range(x.shape[1]):
        h = a * h + b * x[:, t]
        hs.append(h)
    return np.stack(hs, axis=1), (x, a, b, h0, hs)


def leaky_scan_backward(dhs, cache):
    x, a, b, h0, hs = cache
    dx, da, db = np.zeros_like(x), np.zeros_like(a), np.zeros_like(a)
    run = np.zeros_like(h0)
    for t in reversed(range(x.shape[1])):
        run = run + dhs[:, t]
        prev = hs[t - 1] if t else h0
        da += (run * prev).sum(0)
        db += (run * x[:, t]).sum(0)
        dx[:, t] = run * b
        run = run * a
    da += db * (-a / b)
    return dx, da * a * (1 - a), run


# --- minimal gated unit, one step (one gate does the work of both)
def mgu_step_forward(x, h, Wx, Wh):
    """Wx (D, 2M), Wh (M, 2M); the first M columns belong to the gate."""
    M = h.shape[1]
    f = 1 / (1 + np.exp(-(x @ Wx[:, :M] + h @ Wh[:, :M])))
    fh = f * h
    cand = np.tanh(x @ Wx[:, M:] + fh @ Wh[:, M:])
    nxt = (1 - f) * h + f * cand
    return nxt, (x, h, Wx, Wh, f, fh, cand)


def mgu_step_backward(dnxt, cache):
    x, h, Wx, Wh, f, fh, cand = cache
    M = h.shape[1]
    dh = dnxt * (1 - f)
    df = dnxt * (cand - h)
    dzc = dnxt * f * (1 - cand**2)
    dfh = dzc @ Wh[:, M:].T
    dh = dfh * f
    df += dfh * h
    dzf = df * f * (1 - f)
    dh += dzf @ Wh[:, :M].T
    dz = np.hstack([dzf, dzc])
    dWh = np.hstack([h.T @ dzf, fh.T @ dzc])
    return dz @ Wx.T, dh, x.T @ dz, dWh


# --- spectral pooling: resample a signal by cutting its spectrum
def spectral_pool_forward(x, n=6):
    T = x.shape[-1]
    if T <= n:
        raise ValueError("this only makes signals shorter")
    m = n // 2 + 1
    return np.fft.irfft(np.fft.rfft(x)[..., :m], n) * (n / T), (T, n, m)


def spectral_pool_backward(dout, cache):
    T, n, m = cache
    spec = np.fft.rfft(dout)
    spec[..., -1] *= 0.5  # Nyquist of the short signal is an ordinary bin of the long one
    full = np.zeros((*dout.shape[:-1], T // 2 + 1), dtype=complex)
    full[..., :m] = spec
    return np.fft.irfft(full, T)


# --- pooling of ragged rows
def masked_mean_forward(x, lengths):
    keep = np.arange(x.shape[1])[None, :] < lengths[:, None]
    out = (x * keep[:, :, None]).sum(axis=1) / lengths[:, None]
    return out, (keep, lengths)


def masked_mean_backward(dout, cache):
    keep, lengths = cache
    dout /= lengths[:, None]
    return keep[:, :, None] * dout[:, None, :]


def _mm_forward(x):
    return masked_mean_forward(x, np.array([2, 4, 1]))


def _n(seed, *shapes):
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(s) for s in shapes)


LRN = lambda: _n(1, (2, 5, 3))
CONV = lambda: _n(2, (2, 3, 7), (3, 3))
KEY = lambda: _n(3, (2, 2, 3, 4))
ENT = lambda: _n(4, (3, 4), (3,))
WN = lambda: _n(5, (4, 3), (3, 2), (2,), (2,))
SHUF = lambda: _n(6, (1, 8, 2, 3))
SCAN = lambda: _n(7, (2, 4, 3), (3,), (2, 3))
MGU = lambda: _n(8, (3, 2), (3, 4), (2, 8), (4, 8))
SPEC = lambda: _n(9, (3, 10))
RAG = lambda: _n(10, (3, 4, 2))


def _pair(fwd, bwd, point):
    return (lambda gradlab: gradlab.check_cached_pair(fwd, bwd, point()), lambda: pairs_of(fwd, bwd, point()))


ENTRIES = [
    Stranger("local response normalisation", "pair with cache", *_pair(lrn_forward, lrn_backward, LRN)),
    Stranger(
        "causal dilated depthwise convolution: the padding cut off at the wrong end",
        "pair with cache",
        *_pair(causal_dw_forward, causal_dw_backward, CONV),
        "wrong",
        "the padding stands in front, and backward drops the end",
        ("shifted", "border"),
        ("x",),
        "    dx = dxp[:, :, :T]",
        "    dx = dxp[:, :, pad:]",
    ),
    Stranger(
        "spatial softmax keypoints", "pair with cache", *_pair(keypoints_forward, keypoints_backward, KEY)
    ),
    Stranger(
        "attention entropy: the cotangent reaches the weights only",
        "pair with cache, scalar output",
        *_pair(attn_entropy_forward, attn_entropy_backward, ENT),
        "wrong",
        "dscores is not multiplied with dout",
        ("ignores-cotangent",),
        ("scores",),
        "    dscores = -p * (logp + H[:, None]) * weight[:, None]",
        "    dscores = -dout * p * (logp + H[:, None]) * weight[:, None]",
    ),
    Stranger(
        "weight-normalised affine map", "pair with cache", *_pair(wn_affine_forward, wn_affine_backward, WN)
    ),
    Stranger(
        "pixel shuffle: the two sub-pixel axes exchanged",
        "pair with cache",
        *_pair(pixel_shuffle_forward, pixel_shuffle_backward, SHUF),
        "wrong",
        "the inverse permutation takes columns for rows within a block",
        ("axes-permuted", "columns-exchanged"),
        ("x",),
        "    return d.transpose(0, 1, 5, 3, 2, 4).reshape(N, CC, H, W)",
        "    return d.transpose(0, 1, 3, 5, 2, 4).reshape(N, CC, H, W)",
    ),
    Stranger(
        "leaky scan that keeps the variance",
        "pair with cache",
        *_pair(leaky_scan_forward, leaky_scan_backward, SCAN),
    ),
    Stranger(
        "minimal gated unit: the direct path to h is overwritten",
        "pair with cache",
        *_pair(mgu_step_forward, mgu_step_backward, MGU),
        "wrong",
        "dh = where dh += is meant: (1 - f) * dnxt is lost",
        ("last-write-wins", "missing-term"),
        ("h",),
        "    dh = dfh * f",
        "    dh += dfh * f",
    ),
    Stranger(
        "spectral pooling", "pair with cache", *_pair(spectral_pool_forward, spectral_pool_backward, SPEC)
    ),
    Stranger(
        "mean of ragged rows: divides dout in place",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(_mm_forward, masked_mean_backward, RAG()),
        lambda: [],
        "habit",
        "backward writes into its cotangent",
        ("mutates-argument",),
        ("dout",),
        "    dout /= lengths[:, None]",
        "    dout = dout / lengths[:, None]",
    ),
]
