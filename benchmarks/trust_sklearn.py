"""scikit-learn: losses, kernels and networks with their gradients, a part of the catalogue of ``trust_libraries``."""

import warnings
from collections.abc import Iterator

import numpy as np
from trust_pairs import Pair, gradient_pair, jacobian_pair


def sklearn_losses() -> Iterator[Pair]:
    from sklearn._loss import loss as losses

    rng = np.random.default_rng(301)
    n = 14
    raw = rng.standard_normal(n)
    real, positive = rng.standard_normal(n), rng.gamma(2.0, 1.0, n)
    counts, binary = rng.poisson(2.0, n).astype(float), (rng.random(n) < 0.5).astype(float)
    fractions = rng.random(n)
    weights = rng.uniform(0.2, 2.0, n)
    table = (
        ("HalfSquaredError", losses.HalfSquaredError(), real, raw),
        ("AbsoluteError", losses.AbsoluteError(), real, raw),
        ("PinballLoss(0.2)", losses.PinballLoss(quantile=0.2), real, raw),
        ("PinballLoss(0.8)", losses.PinballLoss(quantile=0.8), real, raw),
        ("HuberLoss", losses.HuberLoss(quantile=0.7, delta=0.8), real, raw),
        ("HalfPoissonLoss", losses.HalfPoissonLoss(), counts, raw),
        ("HalfGammaLoss", losses.HalfGammaLoss(), positive, raw),
        ("HalfTweedieLoss(0)", losses.HalfTweedieLoss(power=0), real, raw),
        ("HalfTweedieLoss(1)", losses.HalfTweedieLoss(power=1), counts, raw),
        ("HalfTweedieLoss(1.5)", losses.HalfTweedieLoss(power=1.5), counts, raw),
        ("HalfTweedieLoss(2)", losses.HalfTweedieLoss(power=2), positive, raw),
        ("HalfTweedieLoss(3)", losses.HalfTweedieLoss(power=3), positive, raw),
        ("HalfTweedieLossIdentity(0)", losses.HalfTweedieLossIdentity(power=0), real, raw),
        ("HalfTweedieLossIdentity(1)", losses.HalfTweedieLossIdentity(power=1), counts, np.exp(raw)),
        ("HalfTweedieLossIdentity(1.5)", losses.HalfTweedieLossIdentity(power=1.5), counts, np.exp(raw)),
        ("HalfTweedieLossIdentity(2)", losses.HalfTweedieLossIdentity(power=2), positive, np.exp(raw)),
        ("HalfTweedieLossIdentity(3)", losses.HalfTweedieLossIdentity(power=3), positive, np.exp(raw)),
        ("HalfBinomialLoss", losses.HalfBinomialLoss(), binary, raw),
        ("HalfBinomialLoss, fractions", losses.HalfBinomialLoss(), fractions, raw),
        ("HalfBinomialLoss, wide range", losses.HalfBinomialLoss(), fractions, 15 * raw),
        ("ExponentialLoss", losses.ExponentialLoss(), fractions, raw),
    )
    for name, loss, y, x in table:
        for label, w in (("", None), (", weighted", weights)):
            yield gradient_pair(
                "sklearn",
                f"{name}.gradient{label}",
                lambda r, m=loss, y=y, w=w: m.loss(y, r.copy(), w).sum(),
                lambda r, m=loss, y=y, w=w: m.gradient(y, r.copy(), w),
                x,
            )
        yield jacobian_pair(
            "sklearn",
            f"{name}.loss_gradient, per sample",
            lambda r, m=loss, y=y: m.loss_gradient(y, r.copy())[0],
            lambda r, m=loss, y=y: np.diag(m.loss_gradient(y, r.copy())[1]),
            x,
        )
        yield jacobian_pair(
            "sklearn",
            f"{name}.gradient_hessian, weighted",
            lambda r, m=loss, y=y: m.gradient_hessian(y, r.copy(), weights)[0],
            lambda r, m=loss, y=y: np.diag(m.gradient_hessian(y, r.copy(), weights)[1]),
            x,
        )


def sklearn_multinomial() -> Iterator[Pair]:
    from sklearn._loss import loss as losses

    rng = np.random.default_rng(302)
    n, k = 8, 4
    y = rng.integers(0, k, n).astype(float)
    weights = rng.uniform(0.2, 2.0, n)
    loss = losses.HalfMultinomialLoss(n_classes=k)
    x = rng.standard_normal(n * k)

    def grid(r):
        return np.ascontiguousarray(r.reshape(n, k)).copy()

    for label, w in (("", None), (", weighted", weights)):
        yield gradient_pair(
            "sklearn",
            f"HalfMultinomialLoss.gradient{label}",
            lambda r, w=w: loss.loss(y, grid(r), w).sum(),
            lambda r, w=w: loss.gradient(y, grid(r), w).ravel(),
            x,
        )
        yield gradient_pair(
            "sklearn",
            f"HalfMultinomialLoss.gradient_proba{label}",
            lambda r, w=w: loss.loss(y, grid(r), w).sum(),
            lambda r, w=w: loss.gradient_proba(y, grid(r), w)[0].ravel(),
            x,
        )
        # The Hessian it returns is the diagonal of a full block per sample, as its docstring says.
        yield jacobian_pair(
            "sklearn",
            f"HalfMultinomialLoss.gradient_hessian{label}",
            lambda r, w=w: loss.gradient_hessian(y, grid(r), w)[0].ravel(),
            lambda r, w=w: np.diag(loss.gradient_hessian(y, grid(r), w)[1].ravel()),
            x,
        )
    for name, other, target, point in (
        ("HalfBinomialLossArrayAPI", losses.HalfBinomialLossArrayAPI, (y > 1).astype(float), x[:n]),
        ("HalfPoissonLossArrayAPI", losses.HalfPoissonLossArrayAPI, y, x[:n]),
    ):
        m = other(xp=np, device=None)
        yield gradient_pair(
            "sklearn",
            f"{name}.gradient",
            lambda r, m=m, t=target: np.sum(m.loss(t, r.copy())),
            lambda r, m=m, t=target: m.gradient(t, r.copy()),
            point,
        )
        yield gradient_pair(
            "sklearn",
            f"{name}.loss_gradient",
            lambda r, m=m, t=target: np.sum(m.loss_gradient(t, r.copy())[0]),
            lambda r, m=m, t=target: m.loss_gradient(t, r.copy())[1],
            point,
        )
    m = losses.HalfMultinomialLossArrayAPI(n_classes=k, xp=np, device=None)
    yield gradient_pair(
        "sklearn",
        "HalfMultinomialLossArrayAPI.gradient",
        lambda r: np.sum(m.loss(y.astype(int), grid(r))),
        lambda r: m.gradient(y.astype(int), grid(r)).ravel(),
        x,
    )


def sklearn_sgd_losses() -> Iterator[Pair]:
    from sklearn.linear_model import _sgd_fast as sgd

    rng = np.random.default_rng(303)
    p = 1.5 * rng.standard_normal(9)
    sign, real = np.where(rng.random(9) < 0.5, -1.0, 1.0), rng.standard_normal(9)
    for name, loss, y in (
        ("ModifiedHuber", sgd.ModifiedHuber(), sign),
        ("Hinge", sgd.Hinge(1.0), sign),
        ("SquaredHinge", sgd.SquaredHinge(1.0), sign),
        ("EpsilonInsensitive", sgd.EpsilonInsensitive(0.3), real),
        ("SquaredEpsilonInsensitive", sgd.SquaredEpsilonInsensitive(0.3), real),
    ):
        yield jacobian_pair(
            "sklearn",
            f"SGD {name}.py_dloss",
            lambda q, m=loss, y=y: [m.py_loss(a, b) for a, b in zip(q, y, strict=True)],
            lambda q, m=loss, y=y: np.diag([m.py_dloss(a, b) for a, b in zip(q, y, strict=True)]),
            p,
        )


def sklearn_linear_models() -> Iterator[Pair]:
    from sklearn._loss import loss as losses
    from sklearn.linear_model._huber import _huber_loss_and_gradient
    from sklearn.linear_model._linear_loss import LinearModelLoss

    rng = np.random.default_rng(304)
    n, d = 30, 5
    features = rng.standard_normal((n, d))
    weights = rng.uniform(0.2, 2.0, n)
    eta = features @ (0.4 * rng.standard_normal(d))
    binary = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)
    table = (
        ("HalfSquaredError", losses.HalfSquaredError(), eta + rng.standard_normal(n)),
        ("HalfBinomialLoss", losses.HalfBinomialLoss(), binary),
        ("HalfPoissonLoss", losses.HalfPoissonLoss(), rng.poisson(np.exp(eta)).astype(float)),
        ("HalfGammaLoss", losses.HalfGammaLoss(), rng.gamma(2.0, np.exp(eta) / 2)),
        ("HalfTweedieLoss(1.5)", losses.HalfTweedieLoss(power=1.5), rng.poisson(np.exp(eta)).astype(float)),
        ("HuberLoss", losses.HuberLoss(delta=0.9), eta + rng.standard_normal(n)),
        ("HalfMultinomialLoss", losses.HalfMultinomialLoss(n_classes=3), rng.integers(0, 3, n).astype(float)),
    )
    for name, base, y in table:
        for intercept, w, l2 in ((True, None, 0.3), (False, weights, 0.0), (True, weights, 1.5)):
            model = LinearModelLoss(base, fit_intercept=intercept)
            size = (d + intercept) * (3 if "Multinomial" in name else 1)
            x = 0.5 * rng.standard_normal(size)
            label = f"LinearModelLoss {name}{' intercept' * intercept}{'' if w is None else ' weighted'}"
            args = {"X": features, "y": y, "sample_weight": w, "l2_reg_strength": l2}
            yield gradient_pair(
                "sklearn",
                f"{label} l2={l2}.loss_gradient",
                lambda c, m=model, a=args: m.loss_gradient(c, **a)[0],
                lambda c, m=model, a=args: m.loss_gradient(c, **a)[1],
                x,
            )
            if name == "HuberLoss":
                continue
            yield gradient_pair(
                "sklearn",
                f"{label} l2={l2}.loss/gradient",
                lambda c, m=model, a=args: m.loss(c, **a),
                lambda c, m=model, a=args: m.gradient(c, **a),
                x,
            )
            yield jacobian_pair(
                "sklearn",
                f"{label} l2={l2}.gradient_hessian",
                lambda c, m=model, a=args: m.gradient_hessian(c, **a)[0],
                lambda c, m=model, a=args: m.gradient_hessian(c, **a)[1],
                x,
            )

            def by_products(c, m=model, a=args):
                product = m.gradient_hessian_product(c, **a)[1]
                return np.stack([product(e) for e in np.eye(c.size)], axis=1)

            yield jacobian_pair(
                "sklearn",
                f"{label} l2={l2}.gradient_hessian_product",
                lambda c, m=model, a=args: m.gradient_hessian_product(c, **a)[0],
                by_products,
                x,
            )

    y = eta + rng.standard_t(2, n)
    for intercept in (True, False):
        x = np.concatenate((0.4 * rng.standard_normal(d), [0.2] if intercept else [], [0.9]))
        for label, w in (("", np.ones(n)), (", weighted", weights)):
            yield gradient_pair(
                "sklearn",
                f"_huber_loss_and_gradient{' intercept' if intercept else ''}{label}",
                lambda c, w=w: _huber_loss_and_gradient(c, features, y, 1.35, 0.1, w)[0],
                lambda c, w=w: _huber_loss_and_gradient(c, features, y, 1.35, 0.1, w)[1],
                x,
            )

    # Platt's scaling as sklearn.calibration._sigmoid_calibration sets it up.
    loss, targets = losses.HalfBinomialLoss(), np.where(binary > 0, 0.92, 0.06)
    yield gradient_pair(
        "sklearn",
        "sigmoid calibration loss_grad",
        lambda ab: loss.loss(targets, -(ab[0] * eta + ab[1])).sum(),
        lambda ab: (lambda g: [-g @ eta, -g.sum()])(loss.gradient(targets, -(ab[0] * eta + ab[1]))),
        [0.3, -0.2],
    )


def sklearn_kernels() -> Iterator[Pair]:
    from sklearn.gaussian_process import kernels

    rng = np.random.default_rng(305)
    points = rng.uniform(0, 3, (5, 2))
    line = np.sort(rng.uniform(0, 3, (5, 1)), axis=0)
    rbf, constant, white = kernels.RBF(0.8), kernels.ConstantKernel(1.4), kernels.WhiteKernel(0.3)
    table = {
        "RBF": (rbf, points),
        "RBF anisotropic": (kernels.RBF([0.8, 1.7]), points),
        "Matern 0.5": (kernels.Matern(0.8, nu=0.5), points),
        "Matern 1.5": (kernels.Matern(0.8, nu=1.5), points),
        "Matern 2.5": (kernels.Matern(0.8, nu=2.5), points),
        "Matern inf": (kernels.Matern(0.8, nu=np.inf), points),
        "Matern 0.5 anisotropic": (kernels.Matern([0.8, 1.7], nu=0.5), points),
        "Matern 1.5 anisotropic": (kernels.Matern([0.8, 1.7], nu=1.5), points),
        "Matern 2.5 anisotropic": (kernels.Matern([0.8, 1.7], nu=2.5), points),
        "RationalQuadratic": (kernels.RationalQuadratic(0.8, 1.3), points),
        "ExpSineSquared": (kernels.ExpSineSquared(0.8, 1.3), line),
        "DotProduct": (kernels.DotProduct(0.7), points),
        "WhiteKernel": (white, points),
        "ConstantKernel": (constant, points),
        "Sum": (rbf + white, points),
        "Product": (constant * kernels.Matern(0.8, nu=1.5), points),
        "Exponentiation": (kernels.RationalQuadratic(0.8, 1.3) ** 2, points),
        "Sum of products": (
            constant * rbf + kernels.ConstantKernel(0.4) * kernels.DotProduct(0.7) + white,
            points,
        ),
        "Exponentiation of a sum": ((rbf + kernels.DotProduct(0.7)) ** 3, points),
        "Product of three": (constant * rbf * kernels.ExpSineSquared(0.8, 1.3), line),
    }
    for name, (kernel, where) in table.items():
        yield jacobian_pair(
            "sklearn",
            f"kernel {name} eval_gradient",
            lambda t, k=kernel, w=where: k.clone_with_theta(t)(w).ravel(),
            lambda t, k=kernel, w=where: k.clone_with_theta(t)(w, eval_gradient=True)[1].reshape(
                len(w) ** 2, -1
            ),
            kernel.theta,
        )


def sklearn_gaussian_processes() -> Iterator[Pair]:
    from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor, kernels

    rng = np.random.default_rng(306)
    points = rng.uniform(0, 3, (14, 2))
    y = np.sin(2 * points[:, 0]) + 0.3 * rng.standard_normal(14)
    noisy = kernels.WhiteKernel(0.2)
    table = {
        "RBF": kernels.ConstantKernel(1.3) * kernels.RBF(0.9) + noisy,
        "RBF anisotropic": kernels.ConstantKernel(1.3) * kernels.RBF([0.9, 1.6]) + noisy,
        "Matern 0.5": kernels.Matern(0.9, nu=0.5) + noisy,
        "Matern 1.5": kernels.Matern(0.9, nu=1.5) + noisy,
        "Matern 2.5": kernels.Matern([0.9, 1.6], nu=2.5) + noisy,
        "RationalQuadratic": kernels.RationalQuadratic(0.9, 1.2) + noisy,
        "DotProduct": kernels.DotProduct(0.8) + noisy,
        "polynomial": kernels.DotProduct(0.8) ** 2 + noisy,
        "ExpSineSquared": kernels.RBF(1.2) * kernels.ExpSineSquared(0.9, 1.8) + noisy,
    }
    for name, kernel in table.items():
        model = GaussianProcessRegressor(kernel, alpha=1e-6, optimizer=None).fit(points, y)
        yield gradient_pair(
            "sklearn",
            f"GaussianProcessRegressor {name}",
            model.log_marginal_likelihood,
            lambda t, m=model: m.log_marginal_likelihood(t, eval_gradient=True)[1],
            kernel.theta + 0.1,
        )
    two = np.column_stack((y, points[:, 1] + 0.2 * rng.standard_normal(14)))
    model = GaussianProcessRegressor(table["RBF"], alpha=1e-6, optimizer=None, normalize_y=True).fit(
        points, two
    )
    yield gradient_pair(
        "sklearn",
        "GaussianProcessRegressor, two targets",
        model.log_marginal_likelihood,
        lambda t: model.log_marginal_likelihood(t, eval_gradient=True)[1],
        table["RBF"].theta,
    )
    stiff = GaussianProcessRegressor(kernels.RBF(2.5), alpha=1e-8, optimizer=None).fit(points, y)
    yield gradient_pair(
        "sklearn",
        "GaussianProcessRegressor, ill-conditioned RBF",
        stiff.log_marginal_likelihood,
        lambda t: stiff.log_marginal_likelihood(t, eval_gradient=True)[1],
        [np.log(2.5)],
    )
    for name, kernel in (
        ("RBF", kernels.ConstantKernel(1.3) * kernels.RBF(0.9)),
        ("Matern 1.5", kernels.Matern([0.9, 1.6], nu=1.5)),
        ("DotProduct", kernels.ConstantKernel(0.7) * kernels.DotProduct(0.8)),
    ):
        binary = GaussianProcessClassifier(kernel, optimizer=None).fit(points, y > 0)
        yield gradient_pair(
            "sklearn",
            f"GaussianProcessClassifier {name}",
            binary.log_marginal_likelihood,
            lambda t, m=binary: m.log_marginal_likelihood(t, eval_gradient=True)[1],
            kernel.theta,
        )


def sklearn_networks() -> Iterator[Pair]:
    from sklearn.neural_network import MLPClassifier, MLPRegressor, _base

    rng = np.random.default_rng(307)
    n, d = 12, 3
    features = rng.standard_normal((n, d))
    weights = rng.uniform(0.2, 2.0, n)
    real, two = rng.standard_normal(n), rng.standard_normal((n, 2))
    counts = rng.poisson(2.0, n).astype(float) + 1.0
    binary, three = np.arange(n) % 2, np.arange(n) % 3
    labels = np.column_stack((np.arange(n) % 2, np.arange(n) // 2 % 2))

    def pair(name, cls, y, sample_weight=None, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = cls(solver="lbfgs", max_iter=1, random_state=0, **options).fit(features, y)
        target = (
            model._label_binarizer.transform(y) if hasattr(model, "_label_binarizer") else y.reshape(n, -1)
        )
        shapes = [c.shape for c in model.coefs_]
        size = sum(c.size for c in model.coefs_) + sum(b.size for b in model.intercepts_)

        def both(p):
            return model._loss_grad_lbfgs(
                p.copy(),
                features,
                target,
                sample_weight,
                [features] + [None] * len(shapes),
                [None] * len(shapes),
                [np.empty(s) for s in shapes],
                [np.empty(s[1]) for s in shapes],
            )

        x = 0.5 * np.random.default_rng(308).standard_normal(size)
        return gradient_pair("sklearn", name, lambda p: both(p)[0], lambda p: both(p)[1], x)

    for activation in ("identity", "logistic", "tanh", "relu"):
        common = {"activation": activation, "hidden_layer_sizes": (3,), "alpha": 0.2}
        yield pair(f"MLPRegressor {activation}", MLPRegressor, real, **common)
        yield pair(f"MLPClassifier {activation}, binary", MLPClassifier, binary, **common)
        yield pair(f"MLPClassifier {activation}, three classes", MLPClassifier, three, **common)
    deep = {"activation": "tanh", "hidden_layer_sizes": (2, 2), "alpha": 0.2}
    yield pair("MLPRegressor tanh, two layers", MLPRegressor, real, **deep)
    yield pair("MLPRegressor tanh, weighted", MLPRegressor, real, sample_weight=weights, **deep)
    yield pair("MLPRegressor tanh, poisson loss", MLPRegressor, counts, loss="poisson", **deep)
    yield pair("MLPClassifier tanh, weighted", MLPClassifier, three, sample_weight=weights, **deep)
    yield pair("MLPClassifier tanh, multilabel", MLPClassifier, labels, **deep)
    # squared_loss averages over the outputs, the backward pass sums over them.
    yield pair("MLPRegressor tanh, two outputs", MLPRegressor, two, **deep)

    z = rng.standard_normal(8)
    for name in ("identity", "tanh", "logistic", "relu"):

        def activate(p, f=_base.ACTIVATIONS[name]):
            out = p.copy()
            f(out)
            return out

        def slope(p, g=_base.DERIVATIVES[name], f=activate):
            delta = np.ones_like(p)
            g(f(p), delta)
            return np.diag(delta)

        yield jacobian_pair("sklearn", f"inplace_{name}_derivative", activate, slope, z)


def sklearn_embeddings() -> Iterator[Pair]:
    from scipy.spatial.distance import pdist, squareform
    from sklearn.decomposition import _fastica
    from sklearn.manifold import _t_sne
    from sklearn.neighbors import NeighborhoodComponentsAnalysis

    rng = np.random.default_rng(309)
    n, d = 12, 4
    features = rng.standard_normal((n, d))
    y = np.arange(n) % 3
    same = (y[:, None] == y[None, :]).astype(float)
    for components in (1, 2, 4):
        nca = NeighborhoodComponentsAnalysis(n_components=components)
        nca.n_iter_ = 1
        for sign in (1.0, -1.0):
            yield gradient_pair(
                "sklearn",
                f"NCA {components} components, sign {sign:+.0f}",
                lambda a, m=nca, s=sign: m._loss_grad_lbfgs(a, features, same, s)[0],
                lambda a, m=nca, s=sign: m._loss_grad_lbfgs(a, features, same, s)[1],
                0.6 * rng.standard_normal(components * d),
            )
    p = _t_sne._joint_probabilities(squareform(pdist(features, "sqeuclidean")), 3, 0)
    for components, freedom in ((1, 1), (2, 1), (3, 1), (3, 2)):
        # The gradient weighs with (1 + d / nu)^(-(nu + 1) / 2) where it should with (1 + d / nu)^-1: the
        # same for one degree of freedom only, and TSNE takes n_components - 1 of them.
        yield gradient_pair(
            "sklearn",
            f"t-SNE _kl_divergence, {components} components, {freedom} degrees of freedom",
            lambda v, c=components, f=freedom: _t_sne._kl_divergence(v, p, f, n, c)[0],
            lambda v, c=components, f=freedom: _t_sne._kl_divergence(v, p, f, n, c)[1],
            rng.standard_normal(n * components),
        )
    signal = rng.standard_normal((3, 15))
    for name, contrast, args in (
        ("logcosh", _fastica._logcosh, {"alpha": 1.3}),
        ("exp", _fastica._exp, {}),
        ("cube", _fastica._cube, {}),
    ):
        yield jacobian_pair(
            "sklearn",
            f"FastICA contrast {name}",
            lambda t, g=contrast, a=args: g(signal + t[:, None], a)[0].mean(axis=1),
            lambda t, g=contrast, a=args: np.diag(g(signal + t[:, None], a)[1]),
            [0.1, -0.3, 0.5],
        )


BUILDERS = (
    sklearn_losses,
    sklearn_multinomial,
    sklearn_sgd_losses,
    sklearn_linear_models,
    sklearn_kernels,
    sklearn_gaussian_processes,
    sklearn_networks,
    sklearn_embeddings,
)
