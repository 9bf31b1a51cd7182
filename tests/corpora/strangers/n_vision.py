"""Vision: pooling of regions, boxes, samplers, cameras, pictures."""

import numpy as np
from scipy.sparse import lil_matrix

from ._entry import Stranger
from ._help_n import diff, jac, rand


# %% ROI max pooling, after chainer.functions.roi_pooling_2d
class ROIPooling2D:
    """x: (N, C, H, W); rois: (R, 5) int, (batch, xmin, ymin, xmax, ymax) in the image, ends included."""

    def __init__(self, outh, outw, spatial_scale):
        self.outh, self.outw, self.spatial_scale = outh, outw, spatial_scale

    def forward(self, x, rois):
        n_rois, C = len(rois), x.shape[1]
        H, W = x.shape[2:]
        self._x_shape, self._rois = x.shape, rois
        y = np.zeros((n_rois, C, self.outh, self.outw), dtype=x.dtype)
        self.argmax_data = np.full(y.shape, -1, dtype=np.int32)
        for i_roi in range(n_rois):
            idx = rois[i_roi, 0]
            xmin, ymin, xmax, ymax = np.floor(rois[i_roi, 1:] * self.spatial_scale + 0.5).astype(int)
            roi_h, roi_w = max(ymax - ymin + 1, 1), max(xmax - xmin + 1, 1)
            for ph in range(self.outh):
                h0 = min(max(ymin + int(np.floor(ph * roi_h / self.outh)), 0), H)
                h1 = min(max(ymin + int(np.ceil((ph + 1) * roi_h / self.outh)), 0), H)
                for pw in range(self.outw):
                    w0 = min(max(xmin + int(np.floor(pw * roi_w / self.outw)), 0), W)
                    w1 = min(max(xmin + int(np.ceil((pw + 1) * roi_w / self.outw)), 0), W)
                    if h1 <= h0 or w1 <= w0:
                        continue
                    block = x[idx, :, h0:h1, w0:w1].reshape(C, -1)
                    k = block.argmax(axis=1)
                    y[i_roi, :, ph, pw] = block[np.arange(C), k]
                    self.argmax_data[i_roi, :, ph, pw] = (h0 + k // (w1 - w0)) * W + w0 + k % (w1 - w0)
        return y

    def backward(self, gy):
        N, C, H, W = self._x_shape
        gx = np.zeros((N, C, H * W), dtype=gy.dtype)
        hit = self.argmax_data >= 0
        r, c = np.nonzero(hit)[:2]
        np.add.at(gx, (self._rois[r, 0], c, self.argmax_data[hit]), gy[hit])
        return gx.reshape(self._x_shape), None


def rois():
    x = np.random.default_rng(2).permutation(2 * 2 * 6 * 7).reshape(2, 2, 6, 7) * 0.05 - 3
    return ROIPooling2D(2, 3, 0.5), x, np.array([[0, 0, 0, 9, 9], [1, 3, 2, 12, 7], [1, 2, 4, 8, 10]])


def prove_roi():
    layer, x, r = rois()
    g = rand(3, *layer.forward(x, r).shape)
    return [(layer.backward(g)[0], diff(lambda: layer.forward(x, r) * g, x))]


# %% GIoU, boxes (x1, y1, x2, y2)
def giou_loss(boxes, gt, with_grad=True):
    lt, rb = boxes[:, :2], boxes[:, 2:]
    g_lt, g_rb = gt[:, :2], gt[:, 2:]
    wh, g_wh = rb - lt, g_rb - g_lt
    i_wh = np.clip(np.minimum(rb, g_rb) - np.maximum(lt, g_lt), 0, None)
    c_wh = np.maximum(rb, g_rb) - np.minimum(lt, g_lt)
    inter, hull = i_wh.prod(1), c_wh.prod(1)
    union = wh.prod(1) + g_wh.prod(1) - inter
    loss = np.mean(2 - inter / union - union / hull)
    if not with_grad:
        return loss

    touch = (i_wh > 0).all(1)[:, None]
    d_area, d_inter, d_hull = (np.zeros_like(boxes) for _ in range(3))
    d_area[:, 2:], d_area[:, :2] = wh[:, ::-1], -wh[:, ::-1]
    d_inter[:, 2:] = (rb < g_rb) * i_wh[:, ::-1] * touch
    d_inter[:, :2] = -1.0 * (lt > g_lt) * i_wh[:, ::-1] * touch
    d_hull[:, 2:] = (rb > g_rb) * c_wh[:, ::-1]
    d_hull[:, :2] = -1.0 * (lt < g_lt) * c_wh[:, ::-1]
    d_union = d_area - d_inter
    inter, union, hull = inter[:, None], union[:, None], hull[:, None]
    grad = -d_inter / union + inter * d_union / union**2 - d_union / hull + union * d_hull / hull**2
    return loss, grad / len(boxes)


PRED = np.array([[0.1, 0.2, 2.0, 1.7], [1.0, 1.1, 3.2, 2.4], [-2.0, 0.3, -0.7, 1.1]])
TRUE = np.array([[0.4, 0.0, 2.6, 1.4], [0.5, 0.6, 3.6, 3.0], [0.2, 0.7, 1.5, 2.2]])


def prove_giou():
    p = PRED.copy()
    return [(giou_loss(p, TRUE)[1], diff(lambda: giou_loss(p, TRUE, False), p))]


# %% Spatial Transformer, Übungsblatt 9
def stn_vorwaerts(bild, theta):
    """bild (N, H, B), theta (N, 2, 3). Außerhalb des Bildes ist es schwarz."""
    N, H, B = bild.shape
    ys, xs = np.meshgrid(np.linspace(-1, 1, H), np.linspace(-1, 1, B), indexing="ij")
    gitter = np.stack([xs.ravel(), ys.ravel(), np.ones(H * B)])
    quelle = theta @ gitter
    px, py = (quelle[:, 0] + 1) * (B - 1) / 2, (quelle[:, 1] + 1) * (H - 1) / 2
    x0, y0 = np.floor(px).astype(int), np.floor(py).astype(int)
    ecken, aus = [], np.zeros((N, H * B))
    n = np.arange(N)[:, None]
    for dy in (0, 1):
        for dx in (0, 1):
            xi, yi = x0 + dx, y0 + dy
            drin = (xi >= 0) & (xi < B) & (yi >= 0) & (yi < H)
            wert = bild[n, np.clip(yi, 0, H - 1), np.clip(xi, 0, B - 1)] * drin
            wx, wy = 1 - np.abs(px - xi), 1 - np.abs(py - yi)
            aus += wert * wx * wy
            ecken.append((xi, yi, drin, wert, wx, wy, 2 * dx - 1, 2 * dy - 1))
    return aus.reshape(N, H, B), (bild.shape, gitter, ecken)


def stn_rueckwaerts(dout, cache):
    (N, H, B), gitter, ecken = cache
    d = dout.reshape(N, -1)
    dbild = np.zeros((N, H, B))
    dpx, dpy = np.zeros_like(d), np.zeros_like(d)
    n = np.broadcast_to(np.arange(N)[:, None], d.shape)
    for xi, yi, drin, wert, wx, wy, vx, vy in ecken:
        np.add.at(dbild, (n[drin], yi[drin], xi[drin]), (d * wx * wy)[drin])
        dpx += d * wert * wy * vx
        dpy += d * wert * wx * vy
    dquelle = np.stack([dpx * (B - 1) / 2, dpy * (H - 1) / 2], axis=1)
    return dbild, dquelle @ gitter.T


def stn_daten():
    theta = np.array([[[0.83, 0.22, 0.08], [-0.19, 0.9, -0.11]], [[1.1, -0.31, 0.13], [0.27, 0.7, 0.21]]])
    return rand(4, 2, 4, 5), theta


def prove_stn():
    args = stn_daten()
    out, cache = stn_vorwaerts(*args)
    g = rand(5, *out.shape)
    return [
        (d, diff(lambda: stn_vorwaerts(*args)[0] * g, a, 1e-4))
        for d, a in zip(stn_rueckwaerts(g, cache), args)
    ]


# %% bundle adjustment on a robot that turns about one axis only
def project(params, n_cam, n_pts, cam, pts, uv):
    """Residuals. A camera is (yaw, tx, ty, tz, f), a point (X, Y, Z)."""
    C = params[: 5 * n_cam].reshape(n_cam, 5)[cam]
    P = params[5 * n_cam :].reshape(n_pts, 3)[pts]
    c, s = np.cos(C[:, 0]), np.sin(C[:, 0])
    x = c * P[:, 0] + s * P[:, 2] + C[:, 1]
    y = P[:, 1] + C[:, 2]
    z = -s * P[:, 0] + c * P[:, 2] + C[:, 3]
    return (np.stack([C[:, 4] * x / z, C[:, 4] * y / z], axis=1) - uv).ravel()


def project_jac(params, n_cam, n_pts, cam, pts, uv):
    C = params[: 5 * n_cam].reshape(n_cam, 5)
    P = params[5 * n_cam :].reshape(n_pts, 3)
    J = lil_matrix((2 * len(cam), params.size))
    for k, (i, j) in enumerate(zip(cam, pts)):
        yaw, tx, ty, tz, f = C[i]
        c, s = np.cos(yaw), np.sin(yaw)
        R = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
        dR = np.array([[-s, 0, c], [0, 0, 0], [-c, 0, -s]])
        q = R @ P[j] + (tx, ty, tz)
        A = f / q[2] * np.array([[1, 0, -q[0] / q[2]], [0, 1, -q[1] / q[2]]])
        row = slice(2 * k, 2 * k + 2)
        J[row, 5 * i] = (A @ (dR @ P[j]))[:, None]
        J[row, 5 * i + 1 : 5 * i + 4] = A
        J[row, 5 * i + 4] = (q[:2] / q[2])[:, None]
        J[row, 5 * n_cam + 3 * j : 5 * n_cam + 3 * j + 3] = A @ R
    return J.tocsr()


def ba_data():
    rng = np.random.default_rng(11)
    cams = np.array([[0.1, 0.2, 0.0, 4.0, 1.3], [-0.3, -0.4, 0.1, 5.0, 1.1]])
    params = np.concatenate([cams.ravel(), rng.normal(size=12)])
    return params, (2, 4, np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 3, 1, 2, 3]), rng.normal(size=(6, 2)))


def call_ba(gradlab):
    params, args = ba_data()
    return gradlab.check_jacobian(project, project_jac, params, args=args)


def prove_ba():
    params, args = ba_data()
    return [(project_jac(params, *args).toarray(), jac(lambda: project(params, *args), params))]


# %% AlexNet à la main
class NormalisationReponseLocale:
    def __init__(self, k=2.0, alpha=0.5, beta=0.75, voisins=3):
        self.k, self.alpha, self.beta = k, alpha, beta
        self.demi = voisins // 2

    def _somme(self, a):
        """somme glissante sur les canaux voisins"""
        C = a.shape[1]
        s = np.zeros_like(a)
        for c in range(C):
            s[:, c] = a[:, max(0, c - self.demi) : c + self.demi + 1].sum(axis=1)
        return s

    def avant(self, entree):
        self.entree = entree
        self.echelle = self.k + self.alpha * self._somme(entree**2)
        return entree * self.echelle**-self.beta

    def arriere(self, grad_sortie):
        terme = self._somme(grad_sortie * self.entree * self.echelle ** (-self.beta - 1))
        return grad_sortie * self.echelle**-self.beta - 2 * self.alpha * self.beta * self.entree * terme


def prove_lrn():
    couche, x, g = NormalisationReponseLocale(), rand(1, 2, 5, 2, 3), rand(2, 2, 5, 2, 3)
    couche.avant(x)
    return [(couche.arriere(g), diff(lambda: couche.avant(x) * g, x))]


# %% neural style: one layer's term
def style_term(F, gram_style):
    """F: (channels, pixels) features of the picture"""
    G = F @ F.T / F.shape[1]
    return np.sum((G - gram_style) ** 2)


def style_term_grad(F, gram_style):
    G = F @ F.T / F.shape[1]
    return 2 * (G - gram_style) @ F / F.shape[1]


def style_data():
    S = rand(2, 4, 9)
    return rand(1, 4, 9), S @ S.T / 9


def call_style(gradlab):
    F, A = style_data()
    return gradlab.check_gradient(style_term, style_term_grad, F, args=(A,))


def prove_style():
    F, A = style_data()
    return [(style_term_grad(F, A), diff(lambda: style_term(F, A), F))]


# %% one explicit step of the heat equation, as a smoothing layer (Neumann)
class HeatStep:
    def __init__(self, lam=0.2):
        self.lam = lam

    def stencil(self, p):
        return p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * p[1:-1, 1:-1]

    def forward(self, img):
        padded = np.pad(img, 1, mode="edge")
        return img + self.lam * self.stencil(padded)

    def backward(self, grad):
        # the stencil is symmetric
        padded_grad = np.pad(grad, 1)
        return grad + self.lam * self.stencil(padded_grad)


def prove_heat():
    step, img, g = HeatStep(), rand(1, 6, 5), rand(2, 6, 5)
    return [(step.backward(g), diff(lambda: step.forward(img) * g, img))]


# %% 8x8 分块 DCT，可学习的量化表
class BlockDCT:
    def __init__(self, n=8):
        k, i = np.arange(n)[:, None], np.arange(n)[None, :]
        self.D = np.sqrt(2.0 / n) * np.cos(np.pi * (2 * i + 1) * k / (2 * n))
        self.D[0] /= np.sqrt(2.0)
        self.params = {"q": 1.0 + 0.1 * (k + i)}  # 量化表
        self.grads = {}

    def forward(self, blocks):
        self.coef = self.D @ blocks @ self.D.T
        return self.coef / self.params["q"]

    def backward(self, dout):
        q = self.params["q"]
        self.grads["q"] = -(dout * self.coef).sum(axis=0) / q**2
        dcoef = dout / q
        return self.D @ dcoef @ self.D.T  # 逆变换


def prove_dct():
    layer, x, g = BlockDCT(), rand(1, 2, 8, 8), rand(2, 2, 8, 8)
    layer.forward(x)
    dx, f = layer.backward(g), lambda: layer.forward(x) * g
    return [(dx, diff(f, x)), (layer.grads["q"], diff(f, layer.params["q"]))]


# %% sub-pixel convolution's last step
def pixel_shuffle(x, r=2):
    n, c, h, w = x.shape
    y = x.reshape(n, c // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3)
    return y.reshape(n, c // r**2, h * r, w * r), (x.shape, r)


def pixel_shuffle_backward(dy, cache):
    (n, c, h, w), r = cache
    dx = dy.reshape(n, c // r**2, h, r, w, r).transpose(0, 1, 5, 3, 2, 4)
    return dx.reshape(n, c, h, w)


def prove_shuffle():
    x, g = rand(1, 2, 8, 2, 3), rand(2, 2, 2, 4, 6)
    return [(pixel_shuffle_backward(g, pixel_shuffle(x)[1]), diff(lambda: pixel_shuffle(x)[0] * g, x))]


# %% colour space layer of a super-resolution net
class RGB2YCbCr:
    def forward(self, rgb):  # (..., 3)
        r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
        y = 0.299 * r + 0.587 * g + 0.114 * b
        return np.stack([y, 0.564 * (b - y), 0.713 * (r - y)], axis=-1)

    def backward(self, grad):
        gcb, gcr = 0.564 * grad[..., 1], 0.713 * grad[..., 2]
        gy = grad[..., 0] - gcb - gcr
        coeffs = np.array([0.3, 0.59, 0.11])
        out = gy[..., None] * coeffs
        out[..., 0] += gcr
        out[..., 2] += gcb
        return out


def prove_ycc():
    layer, x, g = RGB2YCbCr(), rand(1, 3, 4, 3), rand(2, 3, 4, 3)
    return [(layer.backward(g), diff(lambda: layer.forward(x) * g, x))]


ENTRIES = [
    Stranger(
        "n: ROI max pooling after Chainer",
        "layer that returns (gx, None)",
        lambda gradlab: gradlab.check_layer(*rois()),
        prove_roi,
    ),
    Stranger(
        "n: GIoU loss of boxes",
        "f that returns loss and gradient, args",
        lambda gradlab: gradlab.check_gradient(giou_loss, True, PRED.copy(), args=(TRUE,)),
        prove_giou,
    ),
    Stranger(
        "n: spatial transformer with German names",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(stn_vorwaerts, stn_rueckwaerts, stn_daten()),
        prove_stn,
    ),
    Stranger(
        "n: sparse Jacobian of a small bundle adjustment", "sparse Jacobian with args", call_ba, prove_ba
    ),
    Stranger(
        "n: réponse locale, avant et arriere",
        "layer with French method names",
        lambda gradlab: gradlab.check_layer(NormalisationReponseLocale(), rand(1, 2, 5, 2, 3)),
        prove_lrn,
    ),
    Stranger(
        "n: Gram style term: a factor 2 missing",
        "f and grad of a matrix, args",
        call_style,
        prove_style,
        "wrong",
        "F enters the Gram matrix twice: 4, not 2",
        ("constant-factor",),
        ("F",),
        "    return 2 * (G - gram_style) @ F",
        "    return 4 * (G - gram_style) @ F",
    ),
    Stranger(
        "n: heat step: gradient padded with zeros",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(HeatStep(), rand(1, 6, 5)),
        prove_heat,
        "wrong",
        "forward repeats the edge, backward pads with zeros: wrong at the border",
        ("border",),
        ("img",),
        "        padded_grad = np.pad(grad, 1)\n",
        '        padded_grad = np.pad(grad, 1, mode="edge")\n',
    ),
    Stranger(
        "n: block DCT: forward transform instead of its inverse",
        "layer with dicts params and grads",
        lambda gradlab: gradlab.check_layer(BlockDCT(), rand(1, 2, 8, 8)),
        prove_dct,
        "wrong",
        "D and its transpose are exchanged",
        ("wrong-order", "transposed"),
        ("blocks",),
        "        return self.D @ dcoef @ self.D.T  # 逆变换",
        "        return self.D.T @ dcoef @ self.D  # 逆变换",
    ),
    Stranger(
        "n: pixel shuffle: the two r axes exchanged",
        "pair with cache, a single gradient",
        lambda gradlab: gradlab.check_cached_pair(
            pixel_shuffle, pixel_shuffle_backward, (rand(1, 2, 8, 2, 3),)
        ),
        prove_shuffle,
        "wrong",
        "the row's and the column's sub-pixel axes are exchanged",
        ("axes-permuted",),
        ("x",),
        ".transpose(0, 1, 5, 3, 2, 4)",
        ".transpose(0, 1, 3, 5, 2, 4)",
    ),
    Stranger(
        "n: YCbCr layer: luma weights with two digits",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(RGB2YCbCr(), rand(1, 3, 4, 3)),
        prove_ycc,
        "wrong",
        "backward's luma weights have two digits, forward's three",
        ("rounded-constants",),
        ("rgb",),
        "        coeffs = np.array([0.3, 0.59, 0.11])",
        "        coeffs = np.array([0.299, 0.587, 0.114])",
    ),
]
