"""forward(...) -> (out, cache), backward(dout, cache): vision, graphics, audio."""

import numpy as np
from scipy.signal import lfilter

from ._entry import Stranger
from ._help_h import of_pair


# ----- keypoints from heatmaps -----
def soft_argmax_forward(hm, beta=3.0):
    B, K, H, W = hm.shape
    e = np.exp(beta * (hm - hm.max((2, 3), keepdims=True)))
    p = e / e.sum((2, 3), keepdims=True)
    gy, gx = np.mgrid[0:H, 0:W]
    out = np.stack([(p * gx).sum((2, 3)), (p * gy).sum((2, 3))], axis=-1)  # B,K,2
    return out, dict(p=p, gx=gx, gy=gy, out=out, beta=beta)


def soft_argmax_backward(dout, cache):
    dx, dy = dout[..., 0, None, None], dout[..., 1, None, None]
    x, y = cache["out"][..., 0, None, None], cache["out"][..., 1, None, None]
    return cache["beta"] * cache["p"] * (dx * (cache["gx"] - x) + dy * (cache["gy"] - y))


# ----- grid_sample, one channel, border clamped -----
def bilinear_forward(img, uv):
    H, W = img.shape
    u0 = np.clip(np.floor(uv[:, 0]).astype(int), 0, W - 2)
    v0 = np.clip(np.floor(uv[:, 1]).astype(int), 0, H - 2)
    a, b = uv[:, 0] - u0, uv[:, 1] - v0
    q = img[v0, u0], img[v0, u0 + 1], img[v0 + 1, u0], img[v0 + 1, u0 + 1]
    out = (1 - b) * ((1 - a) * q[0] + a * q[1]) + b * ((1 - a) * q[2] + a * q[3])
    return out, (img.shape, u0, v0, a, b, q)


def bilinear_backward(dout, cache):
    shape, u0, v0, a, b, q = cache
    dimg = np.zeros(shape)
    np.add.at(dimg, (v0, u0), dout * (1 - a) * (1 - b))
    np.add.at(dimg, (v0, u0 + 1), dout * a * (1 - b))
    np.add.at(dimg, (v0 + 1, u0), dout * (1 - a) * b)
    np.add.at(dimg, (v0 + 1, u0 + 1), dout * a * b)
    du = dout * ((1 - b) * (q[1] - q[0]) + b * (q[3] - q[2]))
    dv = dout * ((1 - a) * (q[2] - q[0]) + a * (q[3] - q[1]))
    return dimg, np.column_stack((du, dv))


def _samples():
    rng = np.random.default_rng(40)
    return rng.standard_normal((5, 6)), rng.integers(0, 4, (7, 2)) + rng.uniform(0.1, 0.9, (7, 2))


# ----- NeRF's compositing along a ray -----
def render_rays_forward(sigma, rgb, deltas):
    """sigma (R,S), rgb (R,S,3), deltas (R,S) -> colour (R,3)."""
    tau = sigma * deltas
    alpha = 1.0 - np.exp(-tau)
    acc = np.cumsum(tau, axis=1)
    T = np.exp(-(acc - tau))
    w = alpha * T
    color = (w[..., None] * rgb).sum(axis=1)
    return color, {"w": w, "T": T, "rgb": rgb, "sigma": sigma, "deltas": deltas}


def render_rays_backward(dcolor, cache):
    w, T, rgb, sigma, deltas = (cache[k] for k in ("w", "T", "rgb", "sigma", "deltas"))
    drgb = w[..., None] * dcolor[:, None, :]
    dw = (rgb * dcolor[:, None, :]).sum(-1)
    # a later sample sees less light through a denser one
    behind = np.cumsum((w * dw)[:, ::-1], axis=1)[:, ::-1] - w * dw
    dtau = dw * T * np.exp(-sigma * deltas) - behind
    return {"sigma": dtau * deltas, "rgb": drgb, "deltas": dtau * sigma}


def _rays():
    rng = np.random.default_rng(41)
    return rng.uniform(0.2, 2, (3, 6)), rng.uniform(0, 1, (3, 6, 3)), rng.uniform(0.1, 0.5, (3, 6))


# ----- biquad -----
def biquad_forward(x, b, a):
    """y[n] = b0 x[n] + b1 x[n-1] + b2 x[n-2] - a1 y[n-1] - a2 y[n-2]; a = (a1, a2)"""
    y = np.zeros_like(x)
    for n in range(len(x)):
        for k in range(3):
            if n >= k:
                y[n] += b[k] * x[n - k]
        for k in (1, 2):
            if n >= k:
                y[n] -= a[k - 1] * y[n - k]
    return y, (x, y, b, a)


def biquad_backward(dy, cache):
    x, y, b, a = cache
    # the adjoint of 1/A(z) is 1/A(z) run backwards in time
    e = lfilter([1.0], np.r_[1.0, a], dy[::-1])[::-1]
    N = len(x)
    dx = lfilter(b, [1.0], e[::-1])[::-1]
    db = np.array([e[k:] @ x[: N - k] for k in range(3)])
    da = np.array([-(e[k:] @ y[: N - k]) for k in (1, 2)])
    return np.ascontiguousarray(dx), db, da


def _signal():
    x = np.random.default_rng(42).standard_normal(20)
    return x, np.array([0.3, 0.5, -0.2]), np.array([-0.6, 0.25])


# ----- rotating a point cloud by an (unnormalised) quaternion -----
def _rotmat(q):
    w, x, y, z = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def rotate_fwd(points, quat):
    n = np.linalg.norm(quat)
    R = _rotmat(quat / n)
    return points @ R.T, (points, quat / n, n, R)


def rotate_bwd(dout, cache):
    points, (w, x, y, z), n, R = cache
    G = dout.T @ points
    dw = 2 * (x * (G[2, 1] - G[1, 2]) + y * (G[0, 2] - G[2, 0]) + z * (G[1, 0] - G[0, 1]))
    dx = 2 * (y * (G[0, 1] + G[1, 0]) + z * (G[0, 2] + G[2, 0]) + w * (G[2, 1] - G[1, 2]))
    dx -= 4 * x * (G[1, 1] + G[2, 2])
    dy = 2 * (x * (G[0, 1] + G[1, 0]) + z * (G[1, 2] + G[2, 1]) + w * (G[0, 2] - G[2, 0]))
    dy -= 4 * y * (G[0, 0] + G[2, 2])
    dz = 2 * (x * (G[0, 2] + G[2, 0]) + y * (G[1, 2] + G[2, 1]) + w * (G[1, 0] - G[0, 1]))
    dz -= 4 * z * (G[0, 0] + G[1, 1])
    d = np.array([dw, dx, dy, dz])
    u = np.array([w, x, y, z])
    return dout @ R, (d - u * (u @ d)) / n


# ----- ISTA step: x = soft(z - t D'(Dz - y), t lam) -----
def ista_step(z, D, y, t=0.2, lam=0.8):
    r = D @ z - y
    v = z - t * D.T @ r
    out = np.sign(v) * np.maximum(np.abs(v) - t * lam, 0)
    return out, (D, r, v, z, t, lam)


def ista_step_back(dout, cache):
    D, r, v, z, t, lam = cache
    dv = dout
    dr = -t * D @ dv
    dz = dv + D.T @ dr
    dD = np.outer(dr, z) - t * np.outer(r, dv)
    return {"z": dz, "D": dD, "y": -dr}


def _dictionary():
    rng = np.random.default_rng(44)
    z = np.array([0.9, -0.1, 0.5, 0.02, -1.2, 0.07])
    return z, rng.standard_normal((4, 6)) * 0.4, rng.standard_normal(4)


# ----- 문장 벡터: attention pooling -----
def attn_pool_forward(h, v):
    """h (N, T, D), v (D,): 단어들의 가중 평균"""
    score = h @ v
    score = score - score.max(axis=1, keepdims=True)
    a = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    return np.einsum("nt,ntd->nd", a, h), (h, v, a)


def attn_pool_backward(dout, cache):
    h, v, a = cache
    da = np.einsum("nd,ntd->nt", dout, h)
    ds = a * (da - (a * da).sum(axis=0, keepdims=True))
    dh = a[:, :, None] * dout[:, None, :] + ds[:, :, None] * v
    dv = np.einsum("nt,ntd->d", ds, h)
    return dh, dv


def _words():
    rng = np.random.default_rng(45)
    return rng.standard_normal((5, 20, 10)), rng.standard_normal(10) * 0.5


# ----- windowed frames of a waveform -----
def frames_forward(wave, window, hop):
    n = 1 + (len(wave) - len(window)) // hop
    idx = np.arange(len(window))[None, :] + hop * np.arange(n)[:, None]
    return wave[idx] * window, (wave, window, idx)


def frames_backward(dframes, cache):
    wave, window, idx = cache
    dwindow = (dframes * wave[idx]).sum(0)
    dwave = np.zeros_like(wave)
    for t in range(len(idx)):
        dwave[idx[t]] = dframes[t] * window
    return dwave, dwindow


# ----- lookup table with linear interpolation (tone curve) -----
def curve_forward(x, table):
    s = x * (len(table) - 1)
    i = np.minimum(s.astype(int), len(table) - 2)
    f = s - i
    return table[i] * (1 - f) + table[i + 1] * f, (table, i, f)


def curve_backward(dout, cache):
    table, i, f = cache
    n = len(table)
    dx = dout * (table[i + 1] - table[i]) * (n - 1)
    dtable = np.bincount(i.ravel(), (dout * (1 - f)).ravel(), n)
    dtable += np.bincount(i.ravel(), (dout * f).ravel(), n)
    return dx, dtable


def _pixels():
    rng = np.random.default_rng(47)
    return (rng.integers(0, 6, (4, 5)) + rng.uniform(0.1, 0.9, (4, 5))) / 6, np.sort(rng.uniform(0, 1, 7))


# ----- feature-wise modulation, one gain for the whole batch -----
def film_forward(feat, gain, shift):
    """feat (N, L, C), gain (1, 1, C), shift (N, 1, C)"""
    return feat * (1 + gain) + shift, (feat, gain)


def film_backward(dout, cache):
    feat, gain = cache
    dfeat = dout * (1 + gain)
    dgain = (dout * feat).sum(axis=1, keepdims=True)
    dshift = dout.sum(axis=1, keepdims=True)
    return dfeat, dgain, dshift


def _features():
    rng = np.random.default_rng(48)
    return rng.standard_normal((3, 4, 2)), rng.standard_normal((1, 1, 2)), rng.standard_normal((3, 1, 2))


# ----- swish whose cache is used up -----
def swish_forward(x, beta):
    s = 1 / (1 + np.exp(-beta * x))
    return x * s, {"x": x.copy(), "s": s, "beta": beta}


def swish_backward(dout, cache):
    x, s, beta = cache["x"], cache["s"], cache["beta"]
    dx = dout * s
    s *= 1 - s  # reuse the buffer
    dx += dout * beta * x * s
    return dx, (dout * x**2 * s).sum(axis=0)


def _hm():
    return (np.random.default_rng(49).standard_normal((2, 2, 4, 5)),)


def _cloud():
    return np.random.default_rng(43).standard_normal((6, 3)), np.array([0.9, -0.3, 0.5, 0.2])


def _audio():
    return np.random.default_rng(46).standard_normal(1000), np.hanning(42)[1:-1], 16


def _acts():
    return np.random.default_rng(50).standard_normal((4, 3)), np.array([1.0, 1.5, 0.5])


def _pair(forward, backward, make, names=()):
    return (
        lambda gradlab: gradlab.check_cached_pair(forward, backward, make()),
        lambda: of_pair(forward, backward, make(), names),
    )


ENTRIES = [
    Stranger(
        "keypoints by soft-argmax",
        "pair with dict cache",
        *_pair(soft_argmax_forward, soft_argmax_backward, _hm),
    ),
    Stranger(
        "bilinear sampling of an image",
        "pair with cache",
        *_pair(bilinear_forward, bilinear_backward, _samples),
    ),
    Stranger(
        "volume rendering along rays, as a pair",
        "pair with cache, dict of gradients",
        *_pair(render_rays_forward, render_rays_backward, _rays, ("sigma", "rgb", "deltas")),
    ),
    Stranger("biquad filter", "pair with cache", *_pair(biquad_forward, biquad_backward, _signal)),
    Stranger("quaternion that turns a cloud", "pair with cache", *_pair(rotate_fwd, rotate_bwd, _cloud)),
    Stranger(
        "ISTA step: the threshold's slope",
        "pair with cache, dict of gradients",
        *_pair(ista_step, ista_step_back, _dictionary, ("z", "D", "y")),
        "wrong",
        "the soft threshold is passed by as if it were the identity, also where it gives zero",
        ("straight-through", "masked-region"),
        ("z", "D", "y"),
        "    dv = dout\n",
        "    dv = dout * (np.abs(v) > t * lam)\n",
    ),
    Stranger(
        "attention pooling: softmax over the batch",
        "pair with cache",
        *_pair(attn_pool_forward, attn_pool_backward, _words),
        "wrong",
        "the sum in the softmax's backward is over the batch and not over the words",
        ("wrong-sum-axis",),
        ("h", "v"),
        "    ds = a * (da - (a * da).sum(axis=0, keepdims=True))\n",
        "    ds = a * (da - (a * da).sum(axis=1, keepdims=True))\n",
    ),
    Stranger(
        "windowed frames: samples in two frames",
        "pair with cache",
        *_pair(frames_forward, frames_backward, _audio),
        "wrong",
        "frames overlap, and a later one overwrites what an earlier one gave",
        ("last-write-wins",),
        ("wave",),
        "        dwave[idx[t]] = dframes[t] * window\n",
        "        dwave[idx[t]] += dframes[t] * window\n",
    ),
    Stranger(
        "tone curve: the upper knot",
        "pair with cache",
        *_pair(curve_forward, curve_backward, _pixels),
        "wrong",
        "the upper knot's share is added to the lower knot",
        ("shifted",),
        ("table",),
        "    dtable += np.bincount(i.ravel(), (dout * f).ravel(), n)\n",
        "    dtable += np.bincount(i.ravel() + 1, (dout * f).ravel(), n)\n",
    ),
    Stranger(
        "feature modulation: a gain for all of the batch",
        "pair with cache",
        *_pair(film_forward, film_backward, _features),
        "wrong",
        "the gain's gradient is not summed over the batch, along which the gain is broadcast",
        ("missing-broadcast-sum", "wrong-shape"),
        ("gain",),
        "    dgain = (dout * feat).sum(axis=1, keepdims=True)\n",
        "    dgain = (dout * feat).sum(axis=(0, 1), keepdims=True)\n",
    ),
    Stranger(
        "swish: a cache that can be used once",
        "pair with dict cache",
        _pair(swish_forward, swish_backward, _acts)[0],
        lambda: [],
        "habit",
        "backward writes into the array in the cache, so that a second backward is wrong",
        ("mutates-argument",),
        ("cache",),
    ),
]
