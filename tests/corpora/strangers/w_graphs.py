"""Graph networks and generative models."""

import numpy as np
import scipy.sparse as sp

from ._entry import Stranger
from ._help_w import pairs


def N(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


EDGES = np.array([[0, 1], [1, 2], [2, 0], [3, 1], [2, 3], [4, 2], [3, 4], [0, 4]])


##############################################################################
# APPNP: predict, then propagate
##############################################################################
def normalised_adjacency(edges, n):
    a = sp.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(n, n))
    a = (a + a.T + sp.eye(n)).tocsr()
    d = sp.diags(np.asarray(a.sum(1)).ravel() ** -0.5)
    return (d @ a @ d).tocsr()


class APPNP:
    def __init__(self, adj, nfeat, nclass, alpha=0.15, K=4):
        self.adj, self.alpha, self.K = adj, alpha, K
        self.weight = N(1, nfeat, nclass)

    def forward(self, feats):
        self.feats = feats
        z = h = np.tanh(feats @ self.weight)
        self.h = h
        for _ in range(self.K):
            z = (1 - self.alpha) * (self.adj @ z) + self.alpha * h
        return z

    def backward(self, grad_z):
        gh = 0
        for _ in range(self.K):
            gh = gh + self.alpha * grad_z
            grad_z = (1 - self.alpha) * (self.adj.T @ grad_z)
        gpre = (gh + grad_z) * (1 - self.h**2)
        self.grad_weight = self.feats.T @ gpre
        return gpre @ self.weight.T


def appnp():
    return APPNP(normalised_adjacency(EDGES, 5), 3, 2)


def prove_appnp():
    m, x, g = appnp(), N(2, 5, 3), N(3, 5, 2)
    m.forward(x)
    dx = m.backward(g)
    return pairs(lambda: np.sum(m.forward(x) * g), [dx, m.grad_weight], [x, m.weight])


##############################################################################
# R-GCN with basis decomposition; edges are rows (source, relation, target)
##############################################################################
TRIPLES = np.array([[0, 0, 1], [1, 1, 2], [2, 2, 0], [3, 0, 1], [3, 1, 1], [0, 2, 3], [0, 2, 1]])


class RGCNLayer:
    def __init__(self, d_in, d_out, relations, bases):
        self.P = dict(basis=N(4, bases, d_in, d_out), comb=N(5, relations, bases), loop=N(6, d_in, d_out))

    def forward(self, h, triples):
        src, rel, dst = triples.T
        self.h, self.idx = h, (src, rel, dst)
        self.hb = np.einsum("ni,bio->nbo", h, self.P["basis"])  # project once per node and basis
        msg = np.einsum("eb,ebo->eo", self.P["comb"][rel], self.hb[src])
        self.deg = np.maximum(np.bincount(dst, minlength=len(h)), 1)[:, None]
        agg = np.zeros((len(h), msg.shape[1]))
        np.add.at(agg, dst, msg)
        return agg / self.deg + h @ self.P["loop"]

    def backward(self, dout):
        src, rel, dst = self.idx
        dmsg = (dout / self.deg)[dst]
        dcomb, dhb = np.zeros_like(self.P["comb"]), np.zeros_like(self.hb)
        np.add.at(dcomb, rel, np.einsum("eo,ebo->eb", dmsg, self.hb[src]))
        np.add.at(dhb, src, self.P["comb"][rel][:, :, None] * dmsg[:, None, :])
        grads = {
            "basis": np.einsum("ni,nbo->bio", self.h, dhb),
            "comb": dcomb,
            "loop": self.h.T @ dout,
        }
        return np.einsum("nbo,bio->ni", dhb, self.P["basis"]) + dout @ self.P["loop"].T, grads


def prove_rgcn():
    m, h, g = RGCNLayer(3, 2, 3, 2), N(7, 4, 3), N(8, 4, 2)
    m.forward(h, TRIPLES)
    dh, d = m.backward(g)
    return pairs(lambda: np.sum(m.forward(h, TRIPLES) * g), [dh, *(d[k] for k in m.P)], [h, *m.P.values()])


##############################################################################
# RealNVP coupling
##############################################################################
def coupling(x, W1, b1, Ws, Wt):
    d = x.shape[1] // 2
    xa, xb = x[:, :d], x[:, d:]
    u = np.tanh(xa @ W1 + b1)
    s = np.tanh(u @ Ws)
    t = u @ Wt
    e = np.exp(s)
    return np.hstack([xa, xb * e + t]), s.sum(1), (xa, xb, u, s, e, W1, Ws, Wt)


def coupling_back(dy, dlogdet, cache):
    xa, xb, u, s, e, W1, Ws, Wt = cache
    d = xa.shape[1]
    dxa, dyb = dy[:, :d], dy[:, d:]
    ds = (dyb * xb * e + dlogdet[:, None]) * (1 - s * s)
    du = (ds @ Ws.T + dyb @ Wt.T) * (1 - u * u)
    return np.hstack([dxa + du @ W1.T, dyb * e]), xa.T @ du, du.sum(0), u.T @ ds, u.T @ dyb


def coupling_in():
    return N(9, 3, 4), N(10, 2, 5), N(11, 5) * 0.3, N(12, 5, 2) * 0.5, N(13, 5, 2)


def prove_coupling():
    a, g, gl = coupling_in(), N(14, 3, 4), N(15, 3)

    def f():
        y, ld, _ = coupling(*a)
        return np.sum(y * g) + np.sum(ld * gl)

    return pairs(f, coupling_back(g, gl, coupling(*a)[2]), a)


##############################################################################
# DDPM, all weights in one vector for scipy.optimize
##############################################################################
ABAR = np.cumprod(1 - np.linspace(0.02, 0.3, 8))


def unpack(theta, d=2, h=4):
    W1, rest = theta[: d * h].reshape(d, h), theta[d * h :]
    Wt, rest = rest[: 2 * h].reshape(2, h), rest[2 * h :]
    return W1, Wt, rest[: h * d].reshape(h, d), rest[h * d :]


def ddpm_loss(theta, x0, t, noise):
    W1, Wt, W2, b2 = unpack(theta)
    a = ABAR[t][:, None]
    xt = np.sqrt(a) * x0 + np.sqrt(1 - a) * noise
    emb = np.stack([np.sin(t / 2.0), np.cos(t / 2.0)], 1)
    pre = xt @ W1 + emb @ Wt
    sig = 1 / (1 + np.exp(-pre))
    hid = pre * sig  # swish
    diff = hid @ W2 + b2 - noise
    dpred = 2 * diff / diff.size
    dpre = (dpred @ W2.T) * (sig + hid * (1 - sig))
    grad = [xt.T @ dpre, emb.T @ dpre, hid.T @ dpred, dpred.sum(0)]
    return np.mean(diff**2), np.concatenate([q.ravel() for q in grad])


def ddpm_in():
    return N(16, 26), (N(17, 6, 2), np.array([0, 3, 7, 2, 5, 3]), N(18, 6, 2))


def prove_ddpm():
    theta, args = ddpm_in()
    return pairs(lambda: ddpm_loss(theta, *args)[0], [ddpm_loss(theta, *args)[1]], [theta])


##############################################################################
# a stack of planar flows, fitted by maximum likelihood
##############################################################################
class PlanarFlow:
    def __init__(self, dim, depth):
        self.params = {}
        for i in range(depth):
            w = N(20 + i, dim)
            self.params[f"w{i}"], self.params[f"b{i}"] = w, N(30 + i, 1)
            self.params[f"u{i}"] = 0.6 * w / (w @ w) + 0.1 * N(40 + i, dim)
        self.depth = depth

    def loss(self, x):
        """mean negative log likelihood under a standard normal base"""
        self.trace, z, ld = [], x, 0
        for i in range(self.depth):
            w, b, u = (self.params[f"{k}{i}"] for k in "wbu")
            h = np.tanh(z @ w + b)
            det = 1 + (1 - h**2) * (u @ w)
            self.trace.append((z, h, det))
            z, ld = z + h[:, None] * u, ld + np.log(np.abs(det))
        self.z = z
        return np.mean(0.5 * np.sum(z**2, 1) + 0.5 * z.shape[1] * np.log(2 * np.pi) - ld)

    def gradient(self, x):
        self.loss(x)
        n, grads, dz = len(x), {}, self.z / len(x)
        for i in reversed(range(self.depth)):
            w, u = self.params[f"w{i}"], self.params[f"u{i}"]
            z, h, det = self.trace[i]
            ddet = -1 / (n * det)
            dpsi = np.sum(ddet * (1 - h**2))
            da = (dz @ u - 2 * h * (u @ w) * ddet) * (1 - h**2)
            grads[f"u{i}"] = h @ dz + dpsi * w
            grads[f"w{i}"] = da @ z + dpsi * u
            grads[f"b{i}"] = np.array([da.sum()])
            dz = dz + da[:, None] * w
        return grads


def prove_planar():
    m, x = PlanarFlow(2, 3), N(50, 7, 2)
    d = m.gradient(x)
    return pairs(lambda: m.loss(x), [d[k] for k in m.params], list(m.params.values()))


##############################################################################
# graph attention on an edge list
##############################################################################
class GATLayer:
    slope = 0.2

    def __init__(self, f_in, f_out, edge_index):
        self.W, self.a_src, self.a_dst = N(51, f_in, f_out), N(52, f_out), 0.3 * N(53, f_out)
        self.src, self.dst = edge_index

    def forward(self, x):
        self.x, self.h = x, x @ self.W
        self.pre = (self.h @ self.a_src)[self.src] + (self.h @ self.a_dst)[self.dst]
        score = np.where(self.pre > 0, self.pre, self.slope * self.pre)
        top = np.full(len(x), -np.inf)
        np.maximum.at(top, self.dst, score)
        ex = np.exp(score - top[self.dst])
        self.alpha = ex / np.bincount(self.dst, ex, len(x))[self.dst]
        out = np.zeros_like(self.h)
        np.add.at(out, self.dst, self.alpha[:, None] * self.h[self.src])
        return out

    def backward(self, g):
        n, src, dst = len(self.x), self.src, self.dst
        dh = np.zeros_like(self.h)
        np.add.at(dh, src, self.alpha[:, None] * g[dst])
        dalpha = np.sum(g[dst] * self.h[src], axis=1)
        dscore = self.alpha * (dalpha - np.bincount(dst, self.alpha * dalpha, n)[dst])
        dpre = dscore * np.where(self.alpha > 0, 1.0, self.slope)
        ds, dd = np.bincount(src, dpre, n), np.bincount(dst, dpre, n)
        self.da_src, self.da_dst = ds @ self.h, dd @ self.h
        dh += np.outer(ds, self.a_src) + np.outer(dd, self.a_dst)
        self.dW = self.x.T @ dh
        return dh @ self.W.T


def gat():
    loops = np.stack([np.arange(5)] * 2, 1)
    return GATLayer(3, 2, np.vstack([EDGES, loops]).T)


def prove_gat():
    m, x, g = gat(), N(110, 5, 3), N(55, 5, 2)
    m.forward(x)
    dx = m.backward(g)
    return pairs(lambda: np.sum(m.forward(x) * g), [dx, m.dW, m.da_src, m.da_dst], [x, m.W, m.a_src, m.a_dst])


##############################################################################
# EdgeConv (DGCNN) with sum aggregation; the k nearest neighbours are given
##############################################################################
def edge_conv(points, theta, knn):
    n, k = knn.shape
    centre, near = np.repeat(np.arange(n), k), knn.ravel()
    feat = np.concatenate([points[centre], points[near] - points[centre]], axis=1)
    msg = np.tanh(feat @ theta)
    return msg.reshape(n, k, -1).sum(1), (feat, msg, theta, centre, near, points.shape)


def edge_conv_grad(dout, cache):
    feat, msg, theta, centre, near, shape = cache
    da = dout[centre] * (1 - msg**2)
    dfeat = da @ theta.T
    first, second = np.split(dfeat, 2, axis=1)
    dpoints = np.zeros(shape)
    np.add.at(dpoints, centre, first - second)
    dpoints[near] += second
    return dpoints, feat.T @ da


def edge_in():
    return N(56, 5, 3), 0.6 * N(57, 6, 4), np.array([[1, 2], [0, 2], [1, 4], [2, 4], [2, 3]])


def prove_edge():
    a, g = edge_in(), N(58, 5, 4)
    return pairs(lambda: np.sum(edge_conv(*a)[0] * g), edge_conv_grad(g, edge_conv(*a)[1]), a[:2])


##############################################################################
# Glow, invertible 1x1 convolution
##############################################################################
class Invertible1x1Conv:
    def __init__(self, c, seed=59):
        self.W = np.linalg.qr(N(seed, c, c))[0] + 0.1 * N(seed + 1, c, c)

    def forward(self, x):
        self.x = x
        self.hw = x.shape[1] * x.shape[2]
        logdet = self.hw * np.linalg.slogdet(self.W)[1]
        return x @ self.W, np.full(len(x), logdet)

    def backward(self, dz, dlogdet):
        self.dW = np.einsum("nhwc,nhwd->cd", self.x, dz)
        self.dW += self.hw * np.linalg.inv(self.W).T
        return dz @ self.W.T


def prove_glow():
    m, x, g, gl = Invertible1x1Conv(3), N(61, 2, 2, 3, 3), N(62, 2, 2, 3, 3), N(63, 2)
    m.forward(x)
    dx = m.backward(g, gl)

    def f():
        z, logdet = m.forward(x)
        return np.sum(z * g) + np.sum(logdet * gl)

    return pairs(f, [dx, m.dW], [x, m.W])


##############################################################################
# VAE for tabular data
##############################################################################
class VAE:
    def __init__(self, d, h, k, batch):
        self.params = {"We": N(64, d, h), "Wm": N(65, h, k), "Ws": 0.4 * N(66, h, k), "Wd": N(67, k, d)}
        self.eps = N(68, batch, k)  # fixed noise, to compare runs

    def loss(self, x):
        p = self.params
        h = np.tanh(x @ p["We"])
        mu, logv = h @ p["Wm"], h @ p["Ws"]
        std = np.exp(logv / 2)
        z = mu + std * self.eps
        diff = z @ p["Wd"] - x
        self.c = h, mu, logv, std, z, diff
        kl = -0.5 * np.sum(1 + logv - mu**2 - np.exp(logv))
        return (0.5 * np.sum(diff**2) + kl) / len(x)

    def gradient(self, x):
        self.loss(x)
        p, n = self.params, len(x)
        h, mu, logv, std, z, diff = self.c
        drec = diff / n
        dz = drec @ p["Wd"].T
        dmu = dz + mu / n
        dlogv = 0.5 * dz * self.eps * std + 0.5 * (1 - np.exp(logv)) / n
        dh = (dmu @ p["Wm"].T + dlogv @ p["Ws"].T) * (1 - h**2)
        return {"We": x.T @ dh, "Wm": h.T @ dmu, "Ws": h.T @ dlogv, "Wd": z.T @ drec}


def prove_vae():
    m, x = VAE(4, 3, 2, 5), N(69, 5, 4)
    d = m.gradient(x)
    return pairs(lambda: m.loss(x), [d[k] for k in m.params], list(m.params.values()))


ENTRIES = [
    Stranger(
        "personalised propagation of predictions",
        "layer with a sparse matrix",
        lambda gradlab: gradlab.check_layer(appnp(), N(2, 5, 3)),
        prove_appnp,
    ),
    Stranger(
        "relational graph convolution with bases",
        "layer that returns its input's gradient and a dict",
        lambda gradlab: gradlab.check_layer(RGCNLayer(3, 2, 3, 2), N(7, 4, 3), TRIPLES),
        prove_rgcn,
    ),
    Stranger(
        "w affine coupling with log determinant",
        "pair with two outputs and two cotangents",
        lambda gradlab: gradlab.check_cached_pair(coupling, coupling_back, coupling_in()),
        prove_coupling,
    ),
    Stranger(
        "denoising diffusion loss of a flat vector",
        "f that returns value and gradient",
        lambda gradlab: gradlab.check_gradient(ddpm_loss, True, ddpm_in()[0], args=ddpm_in()[1]),
        prove_ddpm,
    ),
    Stranger(
        "stack of planar flows",
        "net with loss and gradient",
        lambda gradlab: gradlab.check_layer(PlanarFlow(2, 3), N(50, 7, 2)),
        prove_planar,
    ),
    Stranger(
        "graph attention: leaky slope by the sign of the weights",
        "layer with edge lists",
        lambda gradlab: gradlab.check_layer(gat(), N(110, 5, 3)),
        prove_gat,
        "wrong",
        "the mask of the leaky ReLU is taken from the attention weights, always positive, not from its input",
        ("masked-region", "wrong-operand"),
        ("x", "W", "a_src", "a_dst"),
        "        dpre = dscore * np.where(self.alpha > 0, 1.0, self.slope)",
        "        dpre = dscore * np.where(self.pre > 0, 1.0, self.slope)",
    ),
    Stranger(
        "EdgeConv: repeated neighbours are lost",
        "pair with cache and an array of indices",
        lambda gradlab: gradlab.check_cached_pair(edge_conv, edge_conv_grad, edge_in()),
        prove_edge,
        "wrong",
        "+= through an index array that repeats keeps only one of the contributions",
        ("last-write-wins",),
        ("points",),
        "    dpoints[near] += second",
        "    np.add.at(dpoints, near, second)",
    ),
    Stranger(
        "invertible 1x1 convolution: the cotangent of logdet is ignored",
        "layer with two outputs and two cotangents",
        lambda gradlab: gradlab.check_layer(Invertible1x1Conv(3), N(61, 2, 2, 3, 3)),
        prove_glow,
        "wrong",
        "the gradient of the log determinant is not multiplied by dlogdet",
        ("ignores-cotangent", "missing-factor"),
        ("W",),
        "        self.dW += self.hw * np.linalg.inv(self.W).T",
        "        self.dW += self.hw * np.linalg.inv(self.W).T * dlogdet.sum()",
    ),
    Stranger(
        "variational autoencoder: sign of the divergence's slope",
        "net with loss and gradient",
        lambda gradlab: gradlab.check_layer(VAE(4, 3, 2, 5), N(69, 5, 4)),
        prove_vae,
        "wrong",
        "the divergence enters the gradient of the log variance with the wrong sign",
        ("sign-flipped",),
        ("We", "Ws"),
        "        dlogv = 0.5 * dz * self.eps * std + 0.5 * (1 - np.exp(logv)) / n",
        "        dlogv = 0.5 * dz * self.eps * std + 0.5 * (np.exp(logv) - 1) / n",
    ),
]
