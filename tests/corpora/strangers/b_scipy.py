"""Plain functions with their gradients or Jacobians, as one hands them to an optimiser."""

import numpy as np

from ._entry import Stranger
from .b_diff import jacobian, slope

# ---------------- the valley


def rosen(x, a, b):
    return np.sum(b * (x[1:] - x[:-1] ** 2) ** 2 + (a - x[:-1]) ** 2)


def rosen_der(x, a, b):
    der = np.zeros_like(x)
    xm = x[1:-1]
    der[1:-1] = 2 * b * (xm - x[:-2] ** 2) - 4 * b * xm * (x[2:] - xm**2) - 2 * (a - xm)
    der[0] = -4 * b * x[0] * (x[1] - x[0] ** 2) - 2 * (a - x[0])
    der[-1] = 2 * b * (x[-1] - x[-2] ** 2)
    return der


def rosen_points():
    return np.array([-1.2, 0.7, 1.4, 0.3, -0.5])


# ---------------- logistic regression, value and gradient


def costFunctionReg(theta, X, y, lmbda):
    m = len(y)
    z = X.dot(theta)
    h = 1.0 / (1.0 + np.exp(-z))
    thetaReg = np.r_[0.0, theta[1:]]  # theta_0 is not regularised
    J = (-1.0 / m) * (y.dot(np.log(h)) + (1 - y).dot(np.log(1 - h)))
    J = J + (lmbda / (2.0 * m)) * thetaReg.dot(thetaReg)
    grad = (1.0 / m) * X.T.dot(h - y) + (lmbda / m) * thetaReg
    return J, grad


def logistic_points():
    rng = np.random.default_rng(201)
    X = np.column_stack([np.ones(8), rng.standard_normal((8, 3))])
    return rng.standard_normal(4), (X, (rng.random(8) < 0.5).astype(float), 1.5)


# ---------------- softmax loss with loops


def softmax_loss_naive(W, X, y, reg):
    loss = 0.0
    dW = np.zeros_like(W)
    num_train, num_class = X.shape[0], W.shape[1]
    for i in range(num_train):
        f = X[i].dot(W)
        f -= np.max(f)
        p = np.exp(f) / np.sum(np.exp(f))
        loss -= np.log(p[y[i]])
        for k in range(num_class):
            dW[:, k] += (p[k] - (k == y[i])) * X[i]
    loss = loss / num_train + reg * np.sum(W * W)
    dW = dW / num_train + 2 * reg * W
    return loss, dW


def softmax_points():
    rng = np.random.default_rng(202)
    return rng.standard_normal((5, 3)), (rng.standard_normal((6, 5)), np.array([0, 2, 1, 1, 0, 2]), 0.05)


# ---------------- a planar arm with three links

LINKS = np.array([1.0, 0.8, 0.5])


def forward_kinematics(q):
    a = np.cumsum(q)
    return np.array([LINKS @ np.cos(a), LINKS @ np.sin(a), a[-1]])


def geometric_jacobian(q):
    a = np.cumsum(q)
    J = np.ones((3, 3))
    for j in range(3):
        J[0, j] = -np.sum(LINKS[j:] * np.sin(a[j:]))
        J[1, j] = np.sum(LINKS[j:] * np.cos(a[j:]))
    return J


def arm_points():
    return np.array([0.4, -0.9, 1.3])


# ---------------- portfolio


class Portfolio:
    def __init__(self, mu, Sigma, rf=0.01):
        self.mu, self.Sigma, self.rf = np.asarray(mu), np.asarray(Sigma), rf

    def neg_sharpe(self, w):
        return -(w @ self.mu - self.rf) / np.sqrt(w @ self.Sigma @ w)

    def neg_sharpe_grad(self, w):
        Sw = self.Sigma @ w
        vol = np.sqrt(w @ Sw)
        excess = w @ self.mu - self.rf
        return (excess / vol**2 * Sw - self.mu) / vol


def portfolio():
    rng = np.random.default_rng(203)
    A = rng.standard_normal((4, 6))
    return Portfolio(rng.random(4) * 0.2, A @ A.T / 6), np.array([0.3, 0.25, 0.35, 0.2])


# ---------------- volume of a frame


def neg_volume(A):
    return -0.5 * np.linalg.slogdet(A @ A.T)[1] + 0.5 * np.sum(A**2)


def neg_volume_grad(A):
    return A - np.linalg.pinv(A).T  # (A A')^-1 A is the pseudo-inverse, transposed


def frame_points():
    return np.random.default_rng(204).standard_normal((3, 5))


# ---------------- entropic transport, the semi-dual


def semidual(f, C, b, eps):
    """a is uniform over the rows."""
    z = (f[:, None] - C) / eps
    top = z.max(axis=0)
    soft = eps * (np.log(np.exp(z - top).sum(axis=0)) + top)
    return b @ soft - f.mean()


def semidual_grad(f, C, b, eps):
    z = (f[:, None] - C) / eps
    P = np.exp(z - z.max(axis=0))
    P /= P.sum(axis=0)
    return P @ b - 1.0 / len(f)


def transport_points():
    rng = np.random.default_rng(205)
    b = rng.random(6)
    return rng.standard_normal(4) * 0.3, (rng.random((4, 6)), b / b.sum(), 0.25)


# ---------------- svm loss


def svm_loss(W, X, y, reg):
    num_train = X.shape[0]
    scores = X.dot(W)
    correct = scores[np.arange(num_train), y][:, np.newaxis]
    margins = np.maximum(0, scores - correct + 1.0)
    margins[np.arange(num_train), y] = 0
    loss = margins.sum() / num_train + reg * np.sum(W * W)

    hit = (margins > 0).astype(W.dtype)
    hit[np.arange(num_train), y] = -hit.sum(axis=1)
    dW = X.T.dot(hit) / num_train
    dW += reg * W
    return loss, dW


def svm_points():
    rng = np.random.default_rng(206)
    y = np.array([3, 0, 1, 1, 2, 0, 3])
    return rng.standard_normal((5, 4)) * 0.5, (rng.standard_normal((7, 5)), y, 0.3)


# ---------------- decay curve, residuals


def decay_residuals(p, t, y):
    a, k, c = p
    return a * np.exp(-k * t) + c - y


def decay_jacobian(p, t, y):
    a, k, c = p
    e = np.exp(-k * t)
    return np.vstack([e, a * t * e, np.ones_like(t)]).T


def decay_points():
    t = np.linspace(0.1, 3.0, 7)
    return np.array([2.0, 0.9, 0.4]), (t, 1.8 * np.exp(-1.1 * t) + 0.5)


# ---------------- a camera with one distortion coefficient

F_PIX, K1 = 3.0, -0.12


def project(P):
    X, Y, Z = P
    xn, yn = X / Z, Y / Z
    d = 1 + K1 * (xn * xn + yn * yn)
    return np.array([F_PIX * d * xn, F_PIX * d * yn])


def project_jacobian(P):
    X, Y, Z = P
    xn, yn = X / Z, Y / Z
    r2 = xn * xn + yn * yn
    d = 1 + K1 * r2
    duv_dx = F_PIX * np.array([d + 2 * K1 * xn * xn, 2 * K1 * xn * yn]) / Z
    duv_dy = F_PIX * np.array([2 * K1 * xn * yn, d + 2 * K1 * yn * yn]) / Z
    duv_dz = -F_PIX * (d + 2 * K1 * r2) * np.array([xn, yn]) / Z
    return np.column_stack([duv_dy, duv_dx, duv_dz])


def camera_points():
    return np.array([0.8, -0.5, 2.1])


# ---------------- a normal sample


def gauss_nll(theta, data):
    mu, sigma = theta
    return len(data) * np.log(sigma) + np.sum((data - mu) ** 2) / (2 * sigma**2)


def gauss_nll_grad(theta, data):
    mu, sigma = theta
    r = data - mu
    return np.array([-np.sum(r) / sigma**2, len(data) - np.sum(r**2) / sigma**2])


def gauss_points():
    return np.array([0.4, 1.7]), (np.random.default_rng(207).normal(0.8, 2.1, 9),)


# ---------------- total variation of an image, smoothed


def total_variation(u):
    dx = np.zeros_like(u)
    dy = np.zeros_like(u)
    dx[:, :-1] = u[:, 1:] - u[:, :-1]
    dy[:-1, :] = u[1:, :] - u[:-1, :]
    return np.sum(np.sqrt(dx**2 + dy**2 + 0.01))


def total_variation_grad(u):
    m, n = u.shape
    g = np.zeros_like(u)
    for i in range(m - 1):
        for j in range(n - 1):
            dx = u[i, j + 1] - u[i, j]
            dy = u[i + 1, j] - u[i, j]
            s = np.sqrt(dx * dx + dy * dy + 0.01)
            g[i, j] -= (dx + dy) / s
            g[i, j + 1] += dx / s
            g[i + 1, j] += dy / s
    return g


def image_points():
    return np.random.default_rng(208).standard_normal((4, 6))


# ---------------- least squares with a work array


class LeastSquares:
    def __init__(self, A, b):
        self.A, self.b = A, b
        self._r = np.empty(len(b))
        self._g = np.empty(A.shape[1])

    def fun(self, x):
        np.dot(self.A, x, out=self._r)
        self._r -= self.b
        return 0.5 * self._r.dot(self._r)

    def jac(self, x):
        np.dot(self.A, x, out=self._r)
        self._r -= self.b
        return np.dot(self.A.T, self._r, out=self._g)


def least_squares():
    rng = np.random.default_rng(209)
    return LeastSquares(rng.standard_normal((6, 4)), rng.standard_normal(6)), rng.standard_normal(4)


# ---------------- spread


def spread(x):
    x -= x.mean()  # centre first
    return np.log1p(x.dot(x))


def spread_grad(x):
    x -= x.mean()
    return 2 * x / (1 + x.dot(x))


def spread_points():
    return np.array([1.3, -0.4, 2.2, 0.9, 3.1])


def both(fun, points):
    """The proof of a function that gives the value and the gradient."""
    x, args = points()
    return [(fun(x.copy(), *args)[1], slope(lambda v: fun(v, *args)[0], x))]


def single(fun, grad, points):
    x, args = points()
    return [(grad(x.copy(), *args), slope(lambda v: fun(v, *args), x))]


def check_portfolio(gradlab):
    p, w = portfolio()
    return gradlab.check_gradient(p.neg_sharpe, p.neg_sharpe_grad, w)


def prove_portfolio():
    p, w = portfolio()
    return [(p.neg_sharpe_grad(w), slope(p.neg_sharpe, w))]


def check_svm(gradlab):
    W, args = svm_points()
    return gradlab.check_gradient(lambda W: svm_loss(W, *args)[0], lambda W: svm_loss(W, *args)[1], W)


def check_least_squares(gradlab):
    problem, x = least_squares()
    return gradlab.check_gradient(problem.fun, problem.jac, x)


def check_decay(gradlab):
    p, args = decay_points()
    return gradlab.check_jacobian(decay_residuals, decay_jacobian, p, args=args)


def prove_decay():
    p, args = decay_points()
    return [(decay_jacobian(p, *args), jacobian(lambda v: decay_residuals(v, *args), p))]


def check_logistic(gradlab):
    theta, args = logistic_points()
    return gradlab.check_gradient(costFunctionReg, True, theta, args=args)


def check_softmax(gradlab):
    W, args = softmax_points()
    return gradlab.check_gradient(softmax_loss_naive, True, W, args=args)


def check_transport(gradlab):
    f, args = transport_points()
    return gradlab.check_gradient(semidual, semidual_grad, f, args=args)


def check_gauss(gradlab):
    theta, args = gauss_points()
    return gradlab.check_gradient(gauss_nll, gauss_nll_grad, theta, args=args)


ENTRIES = [
    Stranger(
        "rosenbrock valley with two args",
        "f and grad with args",
        lambda gradlab: gradlab.check_gradient(rosen, rosen_der, rosen_points(), args=(1.0, 100.0)),
        lambda: single(rosen, rosen_der, lambda: (rosen_points(), (1.0, 100.0))),
    ),
    Stranger(
        "regularised logistic regression, value and gradient",
        "one function for the value and the gradient, with args",
        check_logistic,
        lambda: both(costFunctionReg, logistic_points),
    ),
    Stranger(
        "naive softmax loss, value and gradient of W",
        "one function for the value and the gradient, with args",
        check_softmax,
        lambda: both(softmax_loss_naive, softmax_points),
    ),
    Stranger(
        "kinematics of a planar arm and its jacobian",
        "f and jac",
        lambda gradlab: gradlab.check_jacobian(forward_kinematics, geometric_jacobian, arm_points()),
        lambda: [(geometric_jacobian(arm_points()), jacobian(forward_kinematics, arm_points()))],
    ),
    Stranger("sharpe ratio of a portfolio", "methods as f and grad", check_portfolio, prove_portfolio),
    Stranger(
        "volume of a frame by pseudo-inverse",
        "f and grad of a matrix",
        lambda gradlab: gradlab.check_gradient(neg_volume, neg_volume_grad, frame_points()),
        lambda: [(neg_volume_grad(frame_points()), slope(neg_volume, frame_points()))],
    ),
    Stranger(
        "semi-dual of entropic transport",
        "f and grad with args",
        check_transport,
        lambda: single(semidual, semidual_grad, transport_points),
    ),
    Stranger(
        "vectorised svm loss: regularisation without its 2",
        "one function for the value and the gradient",
        check_svm,
        lambda: both(svm_loss, svm_points),
        "wrong",
        "the loss has reg * sum(W * W), the gradient reg * W",
        ("missing-term",),
        ("W",),
    ),
    Stranger(
        "decay curve residuals and jacobian: sign of the rate's column",
        "f and jac with args",
        check_decay,
        prove_decay,
        "wrong",
        "the column of the rate has the wrong sign",
        ("sign-flipped",),
        ("jac",),
    ),
    Stranger(
        "camera projection and jacobian: columns of X and Y exchanged",
        "f and jac",
        lambda gradlab: gradlab.check_jacobian(project, project_jacobian, camera_points()),
        lambda: [(project_jacobian(camera_points()), jacobian(project, camera_points()))],
        "wrong",
        "the columns for X and Y are exchanged",
        ("columns-exchanged",),
        ("jac",),
    ),
    Stranger(
        "normal likelihood: gradient of log sigma for sigma",
        "f and grad with args",
        check_gauss,
        lambda: single(gauss_nll, gauss_nll_grad, gauss_points),
        "wrong",
        "the second element is the derivative by log sigma",
        ("log-parameter",),
        ("theta",),
    ),
    Stranger(
        "smoothed total variation: last row and column of differences left out",
        "f and grad of an image",
        lambda gradlab: gradlab.check_gradient(total_variation, total_variation_grad, image_points()),
        lambda: [(total_variation_grad(image_points()), slope(total_variation, image_points()))],
        "wrong",
        "the loops of the gradient end before the last row and column, where one difference remains",
        ("border",),
        ("u",),
    ),
    Stranger(
        "least squares: jac returns its work array",
        "bound methods as f and grad",
        check_least_squares,
        lambda: [],
        "habit",
        "each call returns the same buffer",
        ("aliases-memory",),
        ("x",),
    ),
    Stranger(
        "spread of a sample: centres its argument in place",
        "f and grad",
        lambda gradlab: gradlab.check_gradient(spread, spread_grad, spread_points()),
        lambda: [],
        "habit",
        "both functions write into x",
        ("mutates-argument",),
        ("x",),
    ),
]
