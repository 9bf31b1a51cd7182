import numpy as np

from ._entry import Stranger
from ._help_f import both, pairs_of


# listwise ranking, course-notes manner
def plackett_luce_loss(scores, ranking):
    N = scores.shape[0]
    rows = np.arange(N)[:, None]
    s = scores[rows, ranking]
    m = s.max(axis=1, keepdims=True)
    e = np.exp(s - m)
    tails = np.cumsum(e[:, ::-1], axis=1)[:, ::-1]
    loss = np.sum(np.log(tails) + m - s) / N
    ds = e * np.cumsum(1.0 / tails, axis=1) - 1.0
    dscores = np.zeros_like(scores)
    dscores[rows, ranking] = ds / N
    return loss, dscores


def _rankings():
    rng = np.random.default_rng(3)
    return rng.standard_normal((3, 5)), np.stack([rng.permutation(5) for _ in range(3)])


# ordinal regression, packed as minimize(..., jac=True) wants it
def ordinal_nll(theta, X, y):
    p = X.shape[1]
    beta, cut = theta[:p], theta[p:]
    ncut = cut.size
    eta = X @ beta
    sig = lambda z: 1.0 / (1.0 + np.exp(-z))
    hi = np.where(y < ncut, sig(cut[np.minimum(y, ncut - 1)] - eta), 1.0)
    lo = np.where(y > 0, sig(cut[np.maximum(y - 1, 0)] - eta), 0.0)
    prob = hi - lo
    f = -np.log(prob).sum()
    dhi = hi * (1.0 - hi) / prob
    dlo = lo * (1.0 - lo) / prob
    gcut = np.zeros(ncut)
    up, dn = y < ncut, y > 0
    gcut[y[up]] -= dhi[up]
    np.add.at(gcut, y[dn] - 1, dlo[dn])
    gbeta = X.T @ (dhi - dlo)
    return f, np.concatenate([gbeta, gcut])


def _ordinal():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((9, 2))
    y = np.array([0, 1, 3, 2, 1, 0, 3, 2, 1])
    return np.array([0.4, -0.7, -1.1, 0.2, 1.3]), X, y


# segmentation, medical-imaging code
class TverskyLoss:
    def __init__(self, alpha: float = 0.3, beta: float = 0.7, smooth: float = 1.0):
        self.alpha, self.beta, self.smooth = alpha, beta, smooth

    def value_and_grad(self, logits, mask):
        prob = 1 / (1 + np.exp(-logits))
        ax = (1, 2)
        tp = (prob * mask).sum(axis=ax)
        fp = (prob * (1 - mask)).sum(axis=ax)
        fn = ((1 - prob) * mask).sum(axis=ax)
        top = tp + self.smooth
        bottom = tp + self.alpha * fp + self.beta * fn + self.smooth
        loss = np.mean(1 - top / bottom)
        dtop = (-1 / bottom)[:, None, None]
        dbottom = (top / bottom**2)[:, None, None]
        dprob = dtop * mask + dbottom * (mask + self.alpha * (1 - mask) - self.beta * mask)
        return loss, dprob * prob * (1 - prob) / logits.shape[0]


def _seg():
    rng = np.random.default_rng(8)
    return rng.standard_normal((2, 3, 4)), (rng.random((2, 3, 4)) > 0.6).astype(float)


# temporal action localisation: segments (start, end) on a time line
def segment_diou(pred, gt):
    ps, pe = pred[:, 0], pred[:, 1]
    gs, ge = gt[:, 0], gt[:, 1]
    i_s, i_e = np.maximum(ps, gs), np.minimum(pe, ge)
    inter = np.maximum(i_e - i_s, 0.0)
    union = (pe - ps) + (ge - gs) - inter
    span = np.maximum(pe, ge) - np.minimum(ps, gs)
    gap = 0.5 * (ps + pe - gs - ge)
    loss = np.mean(1.0 - inter / union + gap**2 / span**2)

    live = (inter > 0).astype(float)
    d_inter_s = -live * (ps > gs)
    d_inter_e = live * (pe < ge)
    iou = inter / union
    d_iou_s = (d_inter_s - iou * (-1.0 - d_inter_s)) / union
    d_iou_e = (d_inter_e - iou * (1.0 - d_inter_e)) / union
    d_span_s = -(ps < gs).astype(float)
    d_span_e = (pe > ge).astype(float)
    pen_s = gap / span**2
    pen_e = gap / span**2 - 2 * gap**2 / span**3 * d_span_e
    g = np.stack([pen_s - d_iou_s, pen_e - d_iou_e], axis=1)
    return loss, g / len(pred)


def _segments():
    pred = np.array([[0.2, 1.4], [2.0, 3.7], [-1.0, 0.3], [4.0, 5.2], [6.1, 7.9]])
    gt = np.array([[0.5, 1.9], [1.6, 3.1], [-0.7, 0.1], [5.6, 6.0], [5.8, 8.2]])
    return pred, gt


# forecasting: several quantiles at once, and a penalty where they cross
TAUS = np.array([0.1, 0.5, 0.9])


def quantile_fan(q, y, crossing=5.0):
    """q (n, 3) quantile forecasts of y (n,)."""
    u = y[:, None] - q
    pin = np.where(u > 0, TAUS * u, (TAUS - 1.0) * u)
    over = np.clip(q[:, :-1] - q[:, 1:], 0, None)
    val = pin.mean() + crossing * (over**2).sum() / len(y)
    grad = np.where(u > 0, -TAUS, 1.0 - TAUS) / q.size
    pen = 2.0 * crossing * over / len(y)
    grad[:, :-1] += pen
    grad[:, 1:] -= pen
    return val, grad


def _fan():
    rng = np.random.default_rng(10)
    q = np.sort(rng.standard_normal((5, 3)), axis=1)
    q[1] = q[1, ::-1]
    return q, rng.standard_normal(5)


# metric learning: margin over mined pairs, averaged over those that are active
def mined_margin_loss(emb, labels, margin=1.0):
    n = emb.shape[0]
    diff = emb[:, None, :] - emb[None, :, :]
    d2 = (diff**2).sum(-1)
    same = (labels[:, None] == labels[None, :]) & ~np.eye(n, dtype=bool)
    other = labels[:, None] != labels[None, :]
    viol = np.where(other, np.maximum(margin - d2, 0), 0)
    active = max(int((viol > 0).sum()), 1)
    loss = d2[same].mean() + viol.sum() / active
    coef = same / same.sum() - (viol > 0) / other.sum()
    demb = 4 * (coef[:, :, None] * diff).sum(axis=1)
    return loss, demb


def _embedded():
    rng = np.random.default_rng(12)
    return rng.standard_normal((6, 2)) * 0.6, np.array([0, 1, 0, 2, 2, 1])


# age estimation: squared distance of cumulative histograms
def squared_emd(logits, target_hist):
    z = logits - logits.max(1, keepdims=True)
    p = np.exp(z)
    p /= p.sum(1, keepdims=True)
    C = np.cumsum(p - target_hist, axis=1)
    loss = 0.5 * np.sum(C * C) / logits.shape[0]
    # d loss / d p_j = sum of C_k over k >= j
    dp = np.cumsum(C[:, ::-1], axis=1)[:, ::-1]
    grad = p * (dp - (p * dp).sum(1, keepdims=True)) / logits.shape[0]
    return loss, grad


def _hists():
    rng = np.random.default_rng(14)
    h = rng.random((4, 6))
    return rng.standard_normal((4, 6)), h / h.sum(1, keepdims=True)


# facial landmarks
def WingLoss(pts, ref, w=1.0, eps=0.5):
    C = w - w * np.log(1 + w / eps)
    d = pts - ref
    a = np.abs(d)
    inner = a < w
    val = np.where(inner, w * np.log(1 + a / eps), a - C)
    return val.sum(), val


def WingLossGrad(pts, ref, w=1.0, eps=0.5):
    d = pts - ref
    a = np.abs(d)
    return np.where(a < w, w / (eps + a), np.sign(d))


def _landmarks():
    rng = np.random.default_rng(16)
    ref = rng.standard_normal((5, 2))
    d = np.array([[0.4, -0.3], [1.7, -2.2], [-0.6, 0.15], [-0.8, 1.2], [0.7, -1.4]])
    return ref + d, ref


# noise-contrastive estimation of an unnormalised Gaussian; the log normaliser is a parameter
def make_nce(data, noise, log_noise_density):
    nu = len(noise) / len(data)

    def log_ratio(theta, v):
        mean, log_prec, c = theta
        return -0.5 * np.exp(log_prec) * (v - mean) ** 2 + c - log_noise_density(v) - np.log(nu)

    def loss(theta):
        a, b = log_ratio(theta, data), log_ratio(theta, noise)
        return (np.logaddexp(0, -a).sum() + np.logaddexp(0, b).sum()) / len(data)

    def slope(theta):
        mean, log_prec, _ = theta
        total = np.zeros(3)
        for v, side in ((data, -1.0), (noise, +1.0)):
            h = 1 / (1 + np.exp(-side * log_ratio(theta, v)))
            prec = np.exp(log_prec)
            dlog = np.stack([prec * (v - mean), -0.5 * prec * (v - mean) ** 2, np.ones_like(v)])
            total += side * (dlog @ h)
        return total / len(data)

    return loss, slope


def _nce():
    rng = np.random.default_rng(18)
    return make_nce(
        0.5 + 0.8 * rng.standard_normal(7),
        2 * rng.standard_normal(14),
        lambda v: -0.5 * (v / 2) ** 2 - np.log(2 * np.sqrt(2 * np.pi)),
    )


# robust loss with a learned scale (Barron's family, the shape fixed)
SHAPE = 1.3


def robust_forward(residual, c):
    b = abs(SHAPE - 2.0)
    z = (residual / c) ** 2
    base = z / b + 1.0
    rho = b / SHAPE * (base ** (SHAPE / 2) - 1.0)
    total = np.sum(rho + np.log(c))
    return total, (residual, c, base)


def robust_backward(saved, g):
    residual, c, base = saved
    weight = base ** (SHAPE / 2 - 1)
    d_residual = g * residual / c**2 * weight
    d_c = g * (1.0 - (residual / c) ** 2 * weight)
    return d_residual, d_c


def _residuals():
    rng = np.random.default_rng(20)
    return rng.standard_normal((4, 3)), 0.5 + rng.random((4, 3))


def _g(fn, x, *rest):
    return both(lambda v: fn(v, *rest)[0], lambda v: fn(v, *rest)[1], x)


def _call_plackett(gradlab):
    s, r = _rankings()
    value, grad = (lambda v: plackett_luce_loss(v, r)[0]), (lambda v: plackett_luce_loss(v, r)[1])
    return gradlab.check_gradient(value, grad, s)


def _call_ordinal(gradlab):
    theta, X, y = _ordinal()
    return gradlab.check_gradient(ordinal_nll, True, theta, args=(X, y))


def _call_tversky(gradlab):
    z, m = _seg()
    fn = TverskyLoss().value_and_grad
    return gradlab.check_gradient(lambda v: fn(v, m)[0], lambda v: fn(v, m)[1], z)


def _call_diou(gradlab):
    p, t = _segments()
    return gradlab.check_gradient(lambda v: segment_diou(v, t), True, p)


def _call_fan(gradlab):
    q, y = _fan()
    return gradlab.check_gradient(quantile_fan, True, q, args=(y,))


def _call_mined(gradlab):
    e, y = _embedded()
    value, grad = (lambda v: mined_margin_loss(v, y)[0]), (lambda v: mined_margin_loss(v, y)[1])
    return gradlab.check_gradient(value, grad, e)


def _call_emd(gradlab):
    z, h = _hists()
    return gradlab.check_gradient(lambda v: squared_emd(v, h)[0], lambda v: squared_emd(v, h)[1], z)


def _call_wing(gradlab):
    p, ref = _landmarks()
    return gradlab.check_gradient(lambda v: WingLoss(v, ref)[0], lambda v: WingLossGrad(v, ref), p)


def _call_nce(gradlab):
    loss, slope = _nce()
    return gradlab.check_gradient(loss, slope, np.array([0.2, -0.3, -0.6]))


ENTRIES = [
    Stranger(
        "Plackett-Luce ranking loss",
        "loss and grad",
        _call_plackett,
        lambda: _g(plackett_luce_loss, *_rankings()),
    ),
    Stranger(
        "ordinal regression with cuts: repeated categories are lost",
        "value and gradient, packed",
        _call_ordinal,
        lambda: _g(ordinal_nll, *_ordinal()),
        "wrong",
        "fancy-indexed -= keeps one share of each cut only",
        ("last-write-wins",),
        ("theta",),
        "    gcut[y[up]] -= dhi[up]",
        "    np.add.at(gcut, y[up], -dhi[up])",
    ),
    Stranger(
        "Tversky loss of masks",
        "method that gives loss and grad",
        _call_tversky,
        lambda: _g(TverskyLoss().value_and_grad, *_seg()),
    ),
    Stranger(
        "distance-IoU of segments: the span's own dependence on the start is forgotten",
        "loss and grad",
        _call_diou,
        lambda: _g(segment_diou, *_segments()),
        "wrong",
        "the penalty's denominator depends on the start too",
        ("missing-term", "masked-region"),
        ("pred",),
        "    pen_s = gap / span**2",
        "    pen_s = gap / span**2 - 2 * gap**2 / span**3 * d_span_s",
    ),
    Stranger(
        "quantile fan with a crossing penalty",
        "value and gradient with args",
        _call_fan,
        lambda: _g(quantile_fan, *_fan()),
    ),
    Stranger(
        "mined margin loss: negatives divided by all pairs, not by the active ones",
        "loss and grad",
        _call_mined,
        lambda: _g(mined_margin_loss, *_embedded()),
        "wrong",
        "forward averages over the active pairs, backward over all negatives",
        (),
        ("emb",),
        "    coef = same / same.sum() - (viol > 0) / other.sum()",
        "    coef = same / same.sum() - (viol > 0) / active",
    ),
    Stranger(
        "squared earth mover's distance of softmax histograms",
        "loss and grad",
        _call_emd,
        lambda: _g(squared_emd, *_hists()),
    ),
    Stranger(
        "wing loss: no sign near zero",
        "two functions f and grad",
        _call_wing,
        lambda: both(
            lambda v: WingLoss(v, _landmarks()[1])[0],
            lambda v: WingLossGrad(v, _landmarks()[1]),
            _landmarks()[0],
        ),
        "wrong",
        "the inner branch forgets the sign of the residual",
        ("masked-region", "sign-flipped"),
        ("pts",),
        "    return np.where(a < w, w / (eps + a), np.sign(d))",
        "    return np.where(a < w, w / (eps + a), 1.0) * np.sign(d)",
    ),
    Stranger(
        "noise-contrastive estimation with a learned normaliser",
        "closure: loss and slope",
        _call_nce,
        lambda: both(*_nce(), np.array([0.2, -0.3, -0.6])),
    ),
    Stranger(
        "robust loss with a scale: gradient of the scale's logarithm",
        "vjp with residuals",
        lambda gradlab: gradlab.check_vjp(robust_forward, robust_backward, _residuals()),
        lambda: pairs_of(robust_forward, robust_backward, _residuals(), cache_first=True),
        "wrong",
        "d_c is the gradient with respect to log c",
        ("log-parameter",),
        ("c",),
        "    d_c = g * (1.0 - (residual / c) ** 2 * weight)",
        "    d_c = g * (1.0 - (residual / c) ** 2 * weight) / c",
    ),
]
