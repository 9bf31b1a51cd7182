import numpy as np

from ._entry import Stranger
from ._help_a import against, rnd


# ---- a book's two-layer net with weight decay
def softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


class DecayNet:
    def __init__(self, input_size, hidden_size, output_size, weight_decay=0.1, seed=3):
        rng = np.random.default_rng(seed)
        self.weight_decay = weight_decay
        self.params = {}
        self.params["W1"] = 0.5 * rng.standard_normal((input_size, hidden_size))
        self.params["b1"] = 0.1 * rng.standard_normal(hidden_size)
        self.params["W2"] = 0.5 * rng.standard_normal((hidden_size, output_size))
        self.params["b2"] = 0.1 * rng.standard_normal(output_size)

    def predict(self, x):
        W1, W2 = self.params["W1"], self.params["W2"]
        z1 = 1 / (1 + np.exp(-(x @ W1 + self.params["b1"])))
        return softmax(z1 @ W2 + self.params["b2"])

    def loss(self, x, t):
        y = self.predict(x)
        data = -np.mean(np.log(y[np.arange(len(t)), t]))
        decay = 0.5 * self.weight_decay * (np.sum(self.params["W1"] ** 2) + np.sum(self.params["W2"] ** 2))
        return data + decay

    def gradient(self, x, t):
        W1, b1, W2, b2 = (self.params[k] for k in ("W1", "b1", "W2", "b2"))
        n = x.shape[0]
        z1 = 1 / (1 + np.exp(-(x @ W1 + b1)))
        y = softmax(z1 @ W2 + b2)
        dy = y.copy()
        dy[np.arange(n), t] -= 1
        dy /= n
        grads = {}
        grads["W2"] = z1.T @ dy + self.weight_decay * W2
        grads["b2"] = dy.sum(axis=0)
        da1 = dy @ W2.T * z1 * (1 - z1)
        grads["W1"] = x.T @ da1 + self.weight_decay * W1
        grads["b1"] = da1.sum(axis=0)
        return grads


LABELS = [0, 2, 1, 2, 0]


def prove_dict(net, x, t):
    grads = {k: np.array(v) for k, v in net.gradient(x, t).items()}
    return against(lambda: net.loss(x, t), [(grads[k], net.params[k]) for k in net.params])


# ---- decay that is forgotten in one layer
class ThreeLayerRegressor:
    """tanh, tanh, linear; squared error; lam/2 |W|^2 on all three matrices."""

    def __init__(self, sizes=(4, 5, 3, 2), lam=0.2):
        rng = np.random.RandomState(12)
        self.lam = lam
        self.params = {}
        for k in range(3):
            self.params["W%d" % (k + 1)] = rng.randn(sizes[k], sizes[k + 1]) / np.sqrt(sizes[k])
            self.params["b%d" % (k + 1)] = 0.1 * rng.randn(sizes[k + 1])

    def forward(self, x):
        p = self.params
        h1 = np.tanh(x @ p["W1"] + p["b1"])
        h2 = np.tanh(h1 @ p["W2"] + p["b2"])
        return h1, h2, h2 @ p["W3"] + p["b3"]

    def loss(self, x, t):
        out = self.forward(x)[-1]
        reg = sum(np.sum(self.params[k] ** 2) for k in ("W1", "W2", "W3"))
        return 0.5 * np.sum((out - t) ** 2) / len(x) + 0.5 * self.lam * reg

    def gradient(self, x, t):
        p = self.params
        h1, h2, out = self.forward(x)
        d3 = (out - t) / len(x)
        d2 = (d3 @ p["W3"].T) * (1 - h2**2)
        d1 = (d2 @ p["W2"].T) * (1 - h1**2)
        return {
            "W1": x.T @ d1 + self.lam * p["W1"],
            "b1": d1.sum(0),
            "W2": h1.T @ d2,
            "b2": d2.sum(0),
            "W3": h2.T @ d3 + self.lam * p["W3"],
            "b3": d3.sum(0),
        }


# ---- course notes: loss(X, y) -> loss, grads
class CourseNet(object):
    def __init__(self, D=4, H=6, C=3, reg=0.05, dtype=np.float64):
        rng = np.random.RandomState(1)
        self.reg = reg
        self.params = {
            "W1": (0.4 * rng.randn(D, H)).astype(dtype),
            "b1": (0.2 * rng.randn(H)).astype(dtype),
            "W2": (0.4 * rng.randn(H, C)).astype(dtype),
            "b2": np.zeros(C, dtype=dtype),
        }

    def loss(self, X, y=None):
        W1, b1 = self.params["W1"], self.params["b1"]
        W2, b2 = self.params["W2"], self.params["b2"]
        N = X.shape[0]
        hidden = np.maximum(0, X.dot(W1) + b1)
        scores = hidden.dot(W2) + b2
        if y is None:
            return scores
        shifted = scores - scores.max(axis=1, keepdims=True)
        logp = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        loss = -logp[np.arange(N), y].sum() / N
        loss += self.reg * (np.sum(W1 * W1) + np.sum(W2 * W2))

        dscores = np.exp(logp)
        dscores[np.arange(N), y] -= 1
        dscores /= N
        grads = {}
        grads["W2"] = hidden.T.dot(dscores) + 2 * self.reg * W2
        grads["b2"] = dscores.sum(axis=0)
        dhidden = dscores.dot(W2.T)
        dhidden[hidden <= 0] = 0
        grads["W1"] = X.T.dot(dhidden) + 2 * self.reg * W1
        grads["b1"] = dhidden.sum(axis=0)
        return loss, grads


def prove_pair(net, x, t):
    _, grads = net.loss(x, t)
    return against(lambda: net.loss(x, t)[0], [(grads[k], net.params[k]) for k in net.params])


class HingeNet:
    """Multiclass hinge on top of one softplus layer."""

    def __init__(self):
        rng = np.random.default_rng(8)
        self.params = dict(W=rng.normal(size=(5, 4)), c=rng.normal(size=4), U=rng.normal(size=(4, 3)))
        self.margin = 1.0

    def loss(self, X, y):
        p, N = self.params, len(X)
        pre = X @ p["W"] + p["c"]
        act = np.log1p(np.exp(pre))
        s = act @ p["U"]
        margins = s - s[np.arange(N), y][:, None] + self.margin
        margins[np.arange(N), y] = 0
        loss = np.maximum(margins, 0).sum() / N

        ds = (margins > 0).astype(float)
        ds[np.arange(N), y] = -ds.sum(axis=1)
        ds /= N
        dpre = (ds @ p["U"].T) / (1 + np.exp(-pre))
        return loss, {"W": X.T @ dpre, "c": dpre.mean(axis=0), "U": act.T @ ds}


# ---- a physicist's fit, constants beside the parameters
class PotentialFit:
    def __init__(self, n_features=3, n_hidden=5):
        rng = np.random.default_rng(21)
        self.const = {"mu": np.array([0.3, -0.2, 0.5]), "sigma": np.array([1.2, 0.7, 2.0]), "E0": -1.5}
        self.theta = {
            "w": rng.normal(0, 0.6, (n_features, n_hidden)),
            "v": rng.normal(0, 0.6, n_hidden),
            "e": np.array(0.4),
        }

    def _internals(self, R):
        u = (R - self.const["mu"]) / self.const["sigma"]
        phi = np.sin(u @ self.theta["w"])
        return u, phi, phi @ self.theta["v"] + self.theta["e"] + self.const["E0"]

    def energy(self, R):
        return self._internals(R)[2]

    def loss(self, R, E):
        # chi^2 per degree of freedom, not the plain mean
        return np.sum((self.energy(R) - E) ** 2) / (len(E) - 1)

    def gradient(self, R, E):
        u, phi, pred = self._internals(R)
        r = 2 * (pred - E) / (len(E) - 1)
        cosine = np.cos(u @ self.theta["w"])
        return {
            "w": np.einsum("i,ia,ib,b->ab", r, u, cosine, self.theta["v"]),
            "v": r @ phi,
            "e": r.sum(),
        }


def prove_potential():
    net, R, E = PotentialFit(), rnd(4, 6, 3), rnd(5, 6)
    g = net.gradient(R, E)
    return against(lambda: net.loss(R, E), [(g[k], net.theta[k]) for k in net.theta])


# ---- the ReLU mask of the layer below
class EqualWidthNet:
    def __init__(self, d_in=3, width=5, d_out=2, depth=3):
        rng = np.random.default_rng(77)
        sizes = [d_in] + [width] * depth + [d_out]
        self.params = {}
        for i, (a, b) in enumerate(zip(sizes[:-1], sizes[1:]), start=1):
            self.params[f"W{i}"] = rng.normal(0, np.sqrt(2 / a), (a, b))
            self.params[f"b{i}"] = rng.normal(0, 0.1, b)
        self.n = depth + 1

    def activations(self, x):
        acts = [x]
        for i in range(1, self.n):
            acts.append(np.maximum(acts[-1] @ self.params[f"W{i}"] + self.params[f"b{i}"], 0))
        acts.append(acts[-1] @ self.params[f"W{self.n}"] + self.params[f"b{self.n}"])
        return acts

    def loss(self, x, t):
        return np.mean(np.sum((self.activations(x)[-1] - t) ** 2, axis=1))

    def gradient(self, x, t):
        acts = self.activations(x)
        delta = 2 * (acts[-1] - t) / len(x)
        grads = {}
        for i in range(self.n, 0, -1):
            grads[f"W{i}"] = acts[i - 1].T @ delta
            grads[f"b{i}"] = delta.sum(axis=0)
            if i > 1:
                delta = (delta @ self.params[f"W{i}"].T) * (acts[max(i - 2, 1)] > 0)
        return grads


# ---- tied autoencoders
class DenoisingAutoencoder:
    """Decoder is the transpose of the encoder."""

    def __init__(self, n_visible=5, n_hidden=3):
        rng = np.random.default_rng(6)
        self.params = {
            "W": rng.uniform(-0.7, 0.7, (n_visible, n_hidden)),
            "b_hid": rng.uniform(-0.1, 0.1, n_hidden),
            "b_vis": rng.uniform(-0.1, 0.1, n_visible),
        }

    def encode(self, x):
        return 1.0 / (1.0 + np.exp(-(x @ self.params["W"] + self.params["b_hid"])))

    def decode(self, h):
        return 1.0 / (1.0 + np.exp(-(h @ self.params["W"].T + self.params["b_vis"])))

    def loss(self, x, t):
        z = self.decode(self.encode(x))
        return -np.sum(t * np.log(z) + (1 - t) * np.log(1 - z)) / x.shape[0]

    def gradient(self, x, t):
        h = self.encode(x)
        z = self.decode(h)
        L_vis = (z - t) / x.shape[0]
        L_hid = (L_vis @ self.params["W"]) * h * (1 - h)
        return {"W": x.T @ L_hid + L_vis.T @ h, "b_hid": L_hid.sum(0), "b_vis": L_vis.sum(0)}


class WeightSharingChain:
    """The same square map is used at each of k steps, then read out."""

    def __init__(self, k=3):
        rng = np.random.default_rng(16)
        self.k = k
        self.params = {"A": 0.6 * rng.standard_normal((4, 4)), "r": rng.standard_normal((4, 2))}

    def loss(self, x, t):
        s = x
        for _ in range(self.k):
            s = np.tanh(s @ self.params["A"])
        return 0.5 * np.sum((s @ self.params["r"] - t) ** 2)

    def gradient(self, x, t):
        states = [x]
        for _ in range(self.k):
            states.append(np.tanh(states[-1] @ self.params["A"]))
        err = states[-1] @ self.params["r"] - t
        grads = {"r": states[-1].T @ err}
        ds = err @ self.params["r"].T
        for i in reversed(range(self.k)):
            dz = ds * (1 - states[i + 1] ** 2)
            grads["A"] = states[i].T @ dz
            ds = dz @ self.params["A"].T
        return grads


# ---- a siamese net with the contrastive loss
class Siamese:
    def __init__(self, dim=4, emb=3, margin=2.5):
        rng = np.random.default_rng(31)
        self.margin = margin
        self.params = {"W": 0.5 * rng.standard_normal((dim, emb)), "b": 0.1 * rng.standard_normal(emb)}

    def embed(self, x):
        return np.tanh(x @ self.params["W"] + self.params["b"])

    def loss(self, pairs, same):
        e = self.embed(pairs)  # (N, 2, emb)
        d = np.sqrt(np.sum((e[:, 0] - e[:, 1]) ** 2, axis=1) + 1e-9)
        return np.mean(np.where(same, 0.5 * d**2, 0.5 * np.maximum(self.margin - d, 0) ** 2))

    def gradient(self, pairs, same):
        e = self.embed(pairs)
        diff = e[:, 0] - e[:, 1]
        d = np.sqrt(np.sum(diff**2, axis=1) + 1e-9)
        dd = np.where(same, d, -np.maximum(self.margin - d, 0)) / len(d)
        ddiff = (dd / d)[:, None] * diff
        de = np.stack([ddiff, -ddiff], axis=1) * (1 - e**2)
        return {"W": np.einsum("npi,npj->ij", pairs, de), "b": de.sum(axis=(0, 1))}


# ---- one set of buffers for ever
class PreallocatedNet:
    def __init__(self, nin=3, nhid=4):
        rng = np.random.default_rng(9)
        self.params = {"W": rng.standard_normal((nin, nhid)), "u": rng.standard_normal(nhid)}
        self.grads = {k: np.zeros_like(v) for k, v in self.params.items()}

    def loss(self, x, t):
        h = np.tanh(x @ self.params["W"])
        return np.mean(np.log1p(np.exp(-t * (h @ self.params["u"]))))

    def gradient(self, x, t):
        h = np.tanh(x @ self.params["W"])
        f = h @ self.params["u"]
        df = -t / (1 + np.exp(t * f)) / len(t)
        np.matmul(df, h, out=self.grads["u"])
        np.matmul(x.T, df[:, None] * self.params["u"] * (1 - h * h), out=self.grads["W"])
        return self.grads


# ---- mixture density
class MixtureDensityNet:
    """p(t|x) = sum_k pi_k N(t; mu_k, s_k); one linear map for each of the three heads."""

    def __init__(self, n_in=3, n_mix=4):
        rng = np.random.default_rng(41)
        self.params = {name: 0.4 * rng.standard_normal((n_in, n_mix)) for name in ("pi", "mu", "log_s")}

    def heads(self, x):
        a = x @ self.params["pi"]
        a = a - a.max(axis=1, keepdims=True)
        pi = np.exp(a) / np.exp(a).sum(axis=1, keepdims=True)
        return pi, x @ self.params["mu"], np.exp(x @ self.params["log_s"])

    def loss(self, x, t):
        pi, mu, s = self.heads(x)
        dens = pi * np.exp(-0.5 * ((t[:, None] - mu) / s) ** 2) / (s * np.sqrt(2 * np.pi))
        return -np.sum(np.log(dens.sum(axis=1)))

    def gradient(self, x, t):
        pi, mu, s = self.heads(x)
        u = (t[:, None] - mu) / s
        dens = pi * np.exp(-0.5 * u**2) / s
        gamma = dens / dens.sum(axis=1, keepdims=True)
        return {"pi": x.T @ -gamma, "mu": x.T @ (-gamma * u / s), "log_s": x.T @ (gamma * (1 - u**2))}


# ---- a head that is not in use
class TwoHeads:
    def __init__(self, task="a"):
        rng = np.random.default_rng(10)
        self.task = task
        self.params = {
            "trunk": rng.standard_normal((4, 3)),
            "head_a": rng.standard_normal((3, 2)),
            "head_b": rng.standard_normal((3, 5)),
        }

    def predict(self, x):
        return np.tanh(x @ self.params["trunk"]) @ self.params["head_" + self.task]

    def loss(self, x, t):
        return np.abs(self.predict(x) - t).sum() / x.shape[0]

    def gradient(self, x, t):
        head = "head_" + self.task
        h = np.tanh(x @ self.params["trunk"])
        e = np.sign(h @ self.params[head] - t) / x.shape[0]
        grads = {k: np.zeros_like(v) for k, v in self.params.items()}
        grads[head] += h.T @ e
        grads["trunk"] += x.T @ ((e @ self.params[head].T) * (1 - h**2))
        return grads


def prove_heads():
    net, x, t = TwoHeads(), rnd(2, 5, 4), rnd(3, 5, 2)
    g = net.gradient(x, t)
    pairs = against(lambda: net.loss(x, t), [(g[k], net.params[k]) for k in ("trunk", "head_a")])
    return pairs + [(g["head_b"], np.zeros((3, 5)))]


# ---- examples as columns, 1/m taken where the weights are
class ColumnModel:
    def __init__(self, layerDims=(4, 5, 1)):
        rng = np.random.default_rng(2)
        self.L = len(layerDims) - 1
        self.parameters = {}
        for l in range(1, self.L + 1):
            self.parameters["W" + str(l)] = rng.standard_normal((layerDims[l], layerDims[l - 1])) * 0.5
            self.parameters["b" + str(l)] = 0.1 * rng.standard_normal((layerDims[l], 1))

    def forwardPropagation(self, X):
        A, caches = X, [X]
        for l in range(1, self.L + 1):
            Z = self.parameters["W" + str(l)] @ A + self.parameters["b" + str(l)]
            A = np.tanh(Z) if l < self.L else 1 / (1 + np.exp(-Z))
            caches.append(A)
        return A, caches

    def loss(self, X, Y):
        AL, _ = self.forwardPropagation(X)
        m = Y.shape[1]
        return float(-(np.log(AL) @ Y.T + np.log(1 - AL) @ (1 - Y).T).squeeze() / m)

    def gradient(self, X, Y):
        AL, caches = self.forwardPropagation(X)
        m = X.shape[1]
        gradients, dZ = {}, AL - Y
        for l in range(self.L, 0, -1):
            gradients["W" + str(l)] = dZ @ caches[l - 1].T / m
            gradients["b" + str(l)] = np.sum(dZ, axis=1, keepdims=True) / m
            if l > 1:
                dZ = (self.parameters["W" + str(l)].T @ dZ) * (1 - caches[l - 1] ** 2)
        return gradients


def columns():
    return rnd(1, 4, 6), np.array([[0, 1, 1, 0, 1, 0]])


def prove_columns():
    net, (X, Y) = ColumnModel(), columns()
    g = net.gradient(X, Y)
    return against(lambda: net.loss(X, Y), [(g[k], net.parameters[k]) for k in net.parameters])


# ---- the derivative at the activation
class OldNetwork(object):
    """One example at a time, as a column."""

    def __init__(self, sizes):
        rng = np.random.RandomState(5)
        self.sizes = sizes
        self.biases = [rng.randn(n, 1) for n in sizes[1:]]
        self.weights = [rng.randn(n, m) for m, n in zip(sizes[:-1], sizes[1:])]

    def feedforward(self, a):
        for b, w in zip(self.biases, self.weights):
            a = sigma(np.dot(w, a) + b)
        return a

    def cost(self, x, y):
        return 0.5 * np.sum((self.feedforward(x) - y) ** 2)

    def backprop(self, x, y):
        nabla_b = [np.zeros(b.shape) for b in self.biases]
        nabla_w = [np.zeros(w.shape) for w in self.weights]
        acts = [x]
        for b, w in zip(self.biases, self.weights):
            acts.append(sigma(np.dot(w, acts[-1]) + b))
        delta = (acts[-1] - y) * sigma_prime(acts[-1])
        nabla_b[-1], nabla_w[-1] = delta, np.dot(delta, acts[-2].T)
        for l in range(2, len(self.sizes)):
            delta = np.dot(self.weights[-l + 1].T, delta) * sigma_prime(acts[-l])
            nabla_b[-l], nabla_w[-l] = delta, np.dot(delta, acts[-l - 1].T)
        return nabla_b, nabla_w


def sigma(z):
    return 1.0 / (1.0 + np.exp(-z))


def sigma_prime(z):
    return sigma(z) * (1 - sigma(z))


def prove_old():
    net, x, y = OldNetwork([3, 4, 2]), rnd(1, 3, 1), np.array([[0.0], [1.0]])
    nb, nw = net.backprop(x, y)
    return against(lambda: net.cost(x, y), list(zip(nb, net.biases)) + list(zip(nw, net.weights)))


def signs():
    return np.array([1.0, -1.0, -1.0, 1.0, 1.0])


def clean():
    return 1 / (1 + np.exp(-rnd(15, 4, 5)))


NET = "net with loss and gradient -> dict"
ENTRIES = [
    Stranger(
        "two-layer net with weight decay in its loss",
        NET,
        lambda gradlab: gradlab.check_model(DecayNet(4, 5, 3), rnd(1, 5, 4), np.array(LABELS)),
        lambda: prove_dict(DecayNet(4, 5, 3), rnd(1, 5, 4), np.array(LABELS)),
    ),
    Stranger(
        "three-layer regressor: decay forgotten in the middle layer",
        NET,
        lambda gradlab: gradlab.check_model(ThreeLayerRegressor(), rnd(1, 6, 4), rnd(2, 6, 2)),
        lambda: prove_dict(ThreeLayerRegressor(), rnd(1, 6, 4), rnd(2, 6, 2)),
        "wrong",
        "the gradient of the middle matrix lacks the penalty's term",
        ("missing-term",),
        ("W2",),
    ),
    Stranger(
        "course net that returns scores without labels",
        "loss(X, y) -> (loss, grads)",
        lambda gradlab: gradlab.check_model(CourseNet(), rnd(3, 5, 4), np.array(LABELS)),
        lambda: prove_pair(CourseNet(), rnd(3, 5, 4), np.array(LABELS)),
    ),
    Stranger(
        "hinge net: bias averaged once too often",
        "loss(X, y) -> (loss, grads)",
        lambda gradlab: gradlab.check_model(HingeNet(), rnd(3, 5, 5), np.array(LABELS)),
        lambda: prove_pair(HingeNet(), rnd(3, 5, 5), np.array(LABELS)),
        "wrong",
        "the bias' gradient is a mean over the batch although the loss has been divided already",
        ("reduced-twice", "constant-factor"),
        ("c",),
    ),
    Stranger(
        "fit of a potential with scaling constants",
        NET,
        lambda gradlab: gradlab.check_model(PotentialFit(), rnd(4, 6, 3), rnd(5, 6)),
        prove_potential,
    ),
    Stranger(
        "equal-width net: mask of the layer below",
        NET,
        lambda gradlab: gradlab.check_model(EqualWidthNet(), rnd(1, 6, 3), rnd(2, 6, 2)),
        lambda: prove_dict(EqualWidthNet(), rnd(1, 6, 3), rnd(2, 6, 2)),
        "wrong",
        "the ReLU's mask is taken from one layer too far down",
        ("masked-region",),
        ("W1", "W2", "W3", "b1", "b2", "b3"),
    ),
    Stranger(
        "denoising autoencoder with tied weights",
        NET,
        lambda gradlab: gradlab.check_model(DenoisingAutoencoder(), rnd(14, 4, 5), clean()),
        lambda: prove_dict(DenoisingAutoencoder(), rnd(14, 4, 5), clean()),
    ),
    Stranger(
        "chain with one shared matrix: only the first step's share",
        NET,
        lambda gradlab: gradlab.check_model(WeightSharingChain(), rnd(1, 5, 4), rnd(2, 5, 2)),
        lambda: prove_dict(WeightSharingChain(), rnd(1, 5, 4), rnd(2, 5, 2)),
        "wrong",
        "each step's gradient of the shared matrix overwrites that of the step after it",
        ("last-write-wins", "missing-term"),
        ("A",),
    ),
    Stranger(
        "siamese net with contrastive loss",
        NET,
        lambda gradlab: gradlab.check_model(Siamese(), rnd(1, 5, 2, 4), signs() > 0),
        lambda: prove_dict(Siamese(), rnd(1, 5, 2, 4), signs() > 0),
    ),
    Stranger(
        "net with preallocated gradients: the same buffers each call",
        NET,
        lambda gradlab: gradlab.check_model(PreallocatedNet(), rnd(1, 5, 3), signs()),
        lambda: prove_dict(PreallocatedNet(), rnd(1, 5, 3), signs()),
        "habit",
        "every call returns the same arrays, overwritten",
        ("aliases-memory",),
        ("W", "u"),
    ),
    Stranger(
        "mixture density net: responsibilities without the prior",
        NET,
        lambda gradlab: gradlab.check_model(MixtureDensityNet(), rnd(1, 5, 3), rnd(2, 5)),
        lambda: prove_dict(MixtureDensityNet(), rnd(1, 5, 3), rnd(2, 5)),
        "wrong",
        "the logits' gradient lacks pi, which comes from the softmax's normaliser",
        ("normaliser-forgotten", "missing-term"),
        ("pi",),
    ),
    Stranger(
        "two heads of which one is used",
        NET,
        lambda gradlab: gradlab.check_model(TwoHeads(), rnd(2, 5, 4), rnd(3, 5, 2)),
        prove_heads,
    ),
    Stranger(
        "net with examples as columns and 1/m at the weights",
        NET,
        lambda gradlab: gradlab.check_model(ColumnModel(), *columns()),
        prove_columns,
    ),
    Stranger(
        "old network with lists of weights: sigmoid's slope at the activation",
        "cost and backprop -> two lists",
        lambda gradlab: gradlab.check_model(OldNetwork([3, 4, 2]), rnd(1, 3, 1), np.array([[0.0], [1.0]])),
        prove_old,
        "wrong",
        "sigma'(z) is evaluated at the activation instead of z",
        ("straight-through",),
        ("biases", "weights"),
    ),
]
