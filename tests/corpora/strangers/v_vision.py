"""Images, boxes, splats, stereo."""

import numpy as np

from ._entry import Stranger
from ._help_v import cot, of_fun, of_pair, probe

# ---------------------------------------- toy 2d gaussian splatting, one tile
_yy, _xx = np.mgrid[0:5, 0:6]
PIX = np.stack([_xx, _yy], -1).reshape(-1, 2).astype(float)
BG = np.array([0.1, 0.1, 0.2])


def splat_forward(means, log_radii, colors, opacity_logits):
    """Gaussians come sorted by depth, nearest first."""
    diff = PIX[:, None] - means[None]
    d2 = (diff**2).sum(-1)
    inv = np.exp(-2 * log_radii)
    w = np.exp(-0.5 * d2 * inv)
    op = 1 / (1 + np.exp(-opacity_logits))
    alpha = op * w
    T = np.cumprod(np.concatenate([np.ones((len(PIX), 1)), 1 - alpha], 1), 1)
    vis = T[:, :-1] * alpha
    img = vis @ colors + T[:, -1:] * BG
    return img, (diff, d2, inv, w, op, alpha, T, vis, colors)


def splat_backward(dimg, cache):
    diff, d2, inv, w, op, alpha, T, vis, colors = cache
    behind = (dimg @ BG) * T[:, -1]
    dalpha = np.empty_like(alpha)
    for k in reversed(range(len(colors))):
        c = dimg @ colors[k]
        dalpha[:, k] = T[:, k] * c - behind / (1 - alpha[:, k])
        behind = behind + vis[:, k] * c
    dw = dalpha * op * w
    return {
        "means": ((dw * inv)[..., None] * diff).sum(0),
        "log_radii": (dw * d2 * inv).sum(0),
        "colors": vis.T @ dimg,
        "opacity_logits": (dalpha * w).sum(0) * op * (1 - op),
    }


def _splats():
    r = np.random.default_rng(3)
    return r.uniform(0, 5, (4, 2)), r.uniform(0, 0.8, 4), r.uniform(0, 1, (4, 3)), r.normal(size=4)


# ---------------------------------------- DIoU, boxes are x1 y1 x2 y2
def _geometry(b, t):
    side = np.clip(np.minimum(b[:, 2:], t[:, 2:]) - np.maximum(b[:, :2], t[:, :2]), 0, None)
    wh = b[:, 2:] - b[:, :2]
    inter = side.prod(1)
    union = wh.prod(1) + (t[:, 2:] - t[:, :2]).prod(1) - inter
    off = (b[:, :2] + b[:, 2:] - t[:, :2] - t[:, 2:]) / 2
    enc = np.maximum(b[:, 2:], t[:, 2:]) - np.minimum(b[:, :2], t[:, :2])
    return side, wh, inter, union, off, enc


def diou_loss(b, t):
    side, wh, inter, union, off, enc = _geometry(b, t)
    return np.sum(1 - inter / union + (off**2).sum(1) / (enc**2).sum(1))


def diou_loss_grad(b, t):
    side, wh, inter, union, off, enc = _geometry(b, t)
    d_inter = -(1 / union + inter / union**2)[:, None]
    d_area = (inter / union**2)[:, None]
    diag = (enc**2).sum(1)[:, None]
    d_off = off / diag
    d_enc = -2 * enc * (off**2).sum(1)[:, None] / diag**2
    other, wh = side[:, ::-1], wh[:, ::-1]
    g = np.zeros_like(b)
    g[:, :2] = -d_inter * other * (b[:, :2] > t[:, :2]) - d_area * wh + d_off - d_enc * (b[:, :2] < t[:, :2])
    g[:, 2:] = d_inter * other * (b[:, 2:] < t[:, 2:]) + d_area * wh + d_off
    return g


def _boxes():
    t = np.array([[0.0, 0, 4, 3], [1, 1, 5, 6], [2, 0, 4, 4]])
    return t + np.array([[0.5, -0.3, 0.9, 0.4], [-0.7, 0.6, -0.5, 1.2], [0.3, 0.4, 1.1, -0.6]]), t


# ---------------------------------------- Charbonnier-TV denoising
def tv_energy(u, f, lam=0.7, eps=0.05):
    dx, dy = np.diff(u, axis=1), np.diff(u, axis=0)
    tv = np.sqrt(dx**2 + eps**2).sum() + np.sqrt(dy**2 + eps**2).sum()
    return 0.5 * np.sum((u - f) ** 2) + lam * tv


def tv_energy_grad(u, f, lam=0.7, eps=0.05):
    dx = np.roll(u, -1, axis=1) - u
    dy = np.diff(u, axis=0, append=u[-1:])
    px, py = dx / np.sqrt(dx**2 + eps**2), dy / np.sqrt(dy**2 + eps**2)
    div = px - np.roll(px, 1, axis=1) + py - np.roll(py, 1, axis=0)
    return u - f - lam * div


def _noisy():
    r = np.random.default_rng(5)
    f = r.uniform(0, 1, (5, 7))
    return f + 0.3 * r.normal(size=f.shape), f


# ---------------------------------------- sutereo: shisa (disparity) no soft-argmin
class ShisaKaiki:
    def __init__(self, saidai_shisa):
        self.D = saidai_shisa

    def _zurasu(self, migi, d):
        out = np.zeros_like(migi)
        out[:, :, d:] = migi[:, :, : migi.shape[2] - d]
        return out

    def junden(self, hidari, migi):
        self.sa = np.stack([hidari - self._zurasu(migi, d) for d in range(self.D)])  # D,C,H,W
        kosuto = (self.sa**2).sum(1)
        e = np.exp(-(kosuto - kosuto.min(0)))
        self.kakuritsu = e / e.sum(0)
        self.d = np.arange(self.D)[:, None, None]
        self.shisa = (self.d * self.kakuritsu).sum(0)
        return self.shisa

    def gyakuden(self, dshisa):
        dkosuto = -dshisa * self.kakuritsu * (self.d - self.shisa)
        dsa = 2 * dkosuto[:, None] * self.sa
        dmigi = np.zeros(dsa.shape[1:])
        for d in range(self.D):
            haba = dmigi.shape[2] - d
            dmigi[:, :, :haba] -= dsa[d][:, :, d:]
        return dsa.sum(0), dmigi


def _sutereo():
    r = np.random.default_rng(8)
    return ShisaKaiki(4), 0.6 * r.normal(size=(2, 3, 7)), 0.6 * r.normal(size=(2, 3, 7))


def _shoumei():
    so, a, b = _sutereo()
    g = cot(so.junden(a, b))
    return probe(lambda: so.junden(a, b), so.gyakuden(g), [a, b], g)


# ---------------------------------------- étalonnage: table 3D trilinéaire
class TableCouleur:
    """Table n x n x n x 3 ; les couleurs sont dans [0, 1] (au-delà: prolongement linéaire)."""

    def __init__(self, table):
        self.table = table
        self.grad_table = np.zeros_like(table)

    def appliquer(self, couleurs):
        n = len(self.table)
        pos = couleurs * (n - 1)
        self.base = np.clip(np.floor(pos).astype(int), 0, n - 2)
        self.frac = pos - self.base
        sortie = 0
        for coin in np.ndindex(2, 2, 2):
            i, j, k = (self.base + coin).T
            poids = np.where(coin, self.frac, 1 - self.frac).prod(1)
            sortie = sortie + poids[:, None] * self.table[i, j, k]
        return sortie

    def retour(self, dsortie):
        self.grad_table[...] = 0
        dfrac = np.zeros_like(self.frac)
        for coin in np.ndindex(2, 2, 2):
            i, j, k = (self.base + coin).T
            f = np.where(coin, self.frac, 1 - self.frac)
            np.add.at(self.grad_table, (i, j, k), f.prod(1)[:, None] * dsortie)
            proj = (dsortie * self.table[i, j, k]).sum(1)
            for axe in range(3):
                signe = 1 if coin[axe] else -1
                dfrac[:, axe] += signe * np.delete(f, axe, 1).prod(1) * proj
        return dfrac


def _couleurs():
    r = np.random.default_rng(2)
    return TableCouleur(r.uniform(0, 1, (4, 4, 4, 3))), r.uniform(0.05, 0.95, (6, 3))


def _preuve_couleur():
    t, c = _couleurs()
    g = cot(t.appliquer(c))
    return probe(lambda: t.appliquer(c), [t.retour(g), t.grad_table], [c, t.table], g)


# ---------------------------------------- ZNCC patch similarity
EPS_NCC = 1e-2


def zncc_fwd(a, b):
    a_c, b_c = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    sa = np.sqrt((a_c**2).mean(1, keepdims=True) + EPS_NCC)
    sb = np.sqrt((b_c**2).mean(1, keepdims=True) + EPS_NCC)
    r = (a_c * b_c).mean(1, keepdims=True) / (sa * sb)
    return r[:, 0], (a_c, b_c, r)


def zncc_bwd(dr, cache):
    a_c, b_c, r = cache
    sa, sb = a_c.std(1, keepdims=True), b_c.std(1, keepdims=True)
    k = dr[:, None] / a_c.shape[1]
    da = k * (b_c / (sa * sb) - r * a_c / sa**2)
    db = k * (a_c / (sa * sb) - r * b_c / sb**2)
    return da, db


def _patches():
    r = np.random.default_rng(4)
    a = r.uniform(0, 1, (5, 9))
    return a, 0.6 * a + 0.4 * r.uniform(0, 1, (5, 9))


# ---------------------------------------- homography, 8 dof, h33 = 1
def project(h, pts):
    q = np.c_[pts, np.ones(len(pts))] @ np.append(h, 1.0).reshape(3, 3).T
    return (q[:, :2] / q[:, 2:]).ravel()


def project_jac(h, pts):
    q = np.c_[pts, np.ones(len(pts))] @ np.append(h, 1.0).reshape(3, 3).T
    J = []
    for (x, y), (a, b, w) in zip(pts, q):
        u, v = a / w, b / w
        J.append([x / w, y / w, 1 / w, 0, 0, 0, -u * x / w, -u * y / w])
        J.append([0, 0, 0, x / w, y / w, 1 / w, -v * x / w, -v * y / w])
    return np.array(J)


def _corners():
    h = np.array([1.1, 0.05, 0.3, -0.08, 0.95, -0.2, 0.03, -0.02])
    return h, np.array([[0.0, 0], [4, 0.5], [3.5, 3], [0.2, 2.8], [1.7, 1.1]])


def _prove_h():
    h, p = _corners()
    g = cot(project(h, p))
    return probe(lambda: project(h, p), [g @ project_jac(h, p)], [h], g)


# ---------------------------------------- anahtar nokta: yumuşak argmax
class YumusakArgmax:
    def ileri(self, isi):
        n, yuk, gen = isi.shape
        e = np.exp(isi - isi.max((1, 2), keepdims=True))
        self.p = e / e.sum((1, 2), keepdims=True)
        self.gy, self.gx = np.mgrid[0:yuk, 0:gen]
        self.y = (self.p * self.gy).sum((1, 2))
        self.x = (self.p * self.gx).sum((1, 2))
        return np.stack([self.y, self.x], axis=1)

    def geri(self, turev):
        # beklenen degerin turevi: p * (g - E[g])
        sapma_y = self.gy - self.y[:, None, None]
        sapma_x = self.gx - self.x[:, None, None]
        tx, ty = turev[:, 0, None, None], turev[:, 1, None, None]
        return self.p * (ty * sapma_y + tx * sapma_x)


def _isi():
    return YumusakArgmax(), np.random.default_rng(6).normal(size=(3, 4, 5))


def _ispat_isi():
    k, isi = _isi()
    g = cot(k.ileri(isi))
    return probe(lambda: k.ileri(isi), [k.geri(g)], [isi], g)


# ---------------------------------------- Lovasz hinge (binary segmentation)
class LovaszHinge:
    def __init__(self, labels):
        self.labels = np.asarray(labels).ravel()

    def __call__(self, logits):
        s = 2.0 * self.labels - 1
        err = 1 - logits * s
        perm = np.argsort(-err)
        gt = self.labels[perm]
        jac = 1 - (gt.sum() - gt.cumsum()) / (gt.sum() + (1 - gt).cumsum())
        jac[1:] = np.diff(jac)
        loss = np.maximum(err[perm], 0) @ jac
        grad = np.zeros_like(logits)
        grad[perm] = jac
        return loss, -s * grad * (err > 0)


def _lov():
    r = np.random.default_rng(1)
    return LovaszHinge([1, 0, 0, 1, 1, 0, 1, 0, 0, 1]), r.normal(size=10)


# ---------------------------------------- ViT: nhung manh anh (patch embedding)
class NhungManh:
    def __init__(self, p, kenh, chieu):
        r = np.random.default_rng(0)
        self.p = p
        self.trong_so = r.normal(size=(p * p * kenh, chieu)) * 0.3
        self.do_lech = r.normal(size=chieu)

    def lan_truyen_xuoi(self, anh):
        p = self.p
        B, H, W, C = self.hinh = anh.shape
        manh = anh.reshape(B, H // p, p, W // p, p, C).transpose(0, 1, 3, 2, 4, 5)
        self.manh = manh.reshape(B, -1, p * p * C)
        return self.manh @ self.trong_so + self.do_lech

    def lan_truyen_nguoc(self, dra):
        p = self.p
        B, H, W, C = self.hinh
        self.dtrong_so = np.einsum("bnk,bnd->kd", self.manh, dra)
        self.ddo_lech = dra.sum((0, 1))
        dmanh = dra @ self.trong_so.T
        dmanh = dmanh.reshape(B, H // p, W // p, p, p, C).transpose(0, 1, 4, 2, 3, 5)
        return dmanh.reshape(B, H, W, C)


def _anh():
    return NhungManh(2, 3, 5), np.random.default_rng(9).normal(size=(2, 4, 6, 3))


def _chung_minh():
    lop, a = _anh()
    g = cot(lop.lan_truyen_xuoi(a))
    da = lop.lan_truyen_nguoc(g)
    return probe(
        lambda: lop.lan_truyen_xuoi(a), [da, lop.dtrong_so, lop.ddo_lech], [a, lop.trong_so, lop.do_lech], g
    )


ENTRIES = [
    Stranger(
        "v: gaussian splats composited front to back",
        "pair with cache, dict gradients",
        lambda gl: gl.check_cached_pair(splat_forward, splat_backward, _splats()),
        lambda: of_pair(
            splat_forward, splat_backward, _splats(), keys=["means", "log_radii", "colors", "opacity_logits"]
        ),
    ),
    Stranger(
        "v: DIoU box loss: upper corner's share in the enclosing box forgotten",
        "f and grad with args",
        lambda gl: gl.check_gradient(diou_loss, diou_loss_grad, _boxes()[0], args=(_boxes()[1],)),
        lambda: of_fun(diou_loss, diou_loss_grad, *_boxes()),
        "wrong",
        "the derivative of the enclosing box's diagonal by the upper corner (x2, y2) is left out",
        ("missing-term", "columns-exchanged"),
        ("b",),
        "    g[:, 2:] = d_inter * other * (b[:, 2:] < t[:, 2:]) + d_area * wh + d_off\n",
        "    g[:, 2:] = d_inter * other * (b[:, 2:] < t[:, 2:]) + d_area * wh + d_off\n"
        "    g[:, 2:] += d_enc * (b[:, 2:] > t[:, 2:])\n",
    ),
    Stranger(
        "v: total variation denoising: gradient wraps round in x",
        "f and grad with args",
        lambda gl: gl.check_gradient(tv_energy, tv_energy_grad, _noisy()[0], args=(_noisy()[1],)),
        lambda: of_fun(tv_energy, tv_energy_grad, *_noisy()),
        "wrong",
        "the energy's differences end at the border, the gradient's wrap round in x",
        ("border",),
        ("u",),
        "    dx = np.roll(u, -1, axis=1) - u\n",
        "    dx = np.diff(u, axis=1, append=u[:, -1:])\n",
    ),
    Stranger(
        "v: stereo soft-argmin in romaji",
        "layer junden/gyakuden",
        lambda gl: gl.check_layer(*_sutereo()),
        _shoumei,
    ),
    Stranger(
        "v: trilinear colour table: grid spacing forgotten",
        "layer appliquer/retour",
        lambda gl: gl.check_layer(*_couleurs()),
        _preuve_couleur,
        "wrong",
        "the slope by the colour lacks the number of cells n - 1 (gradient by the position in the grid)",
        ("constant-factor",),
        ("couleurs",),
        "        return dfrac\n",
        "        return dfrac * (len(self.table) - 1)\n",
    ),
    Stranger(
        "v: ZNCC of patches: backward without the epsilon",
        "pair with cache",
        lambda gl: gl.check_cached_pair(zncc_fwd, zncc_bwd, _patches()),
        lambda: of_pair(zncc_fwd, zncc_bwd, _patches()),
        "wrong",
        "backward recomputes the standard deviations without forward's epsilon",
        ("epsilon-mismatch",),
        ("a", "b"),
        "    sa, sb = a_c.std(1, keepdims=True), b_c.std(1, keepdims=True)\n",
        "    sa, sb = (np.sqrt(c.var(1, keepdims=True) + EPS_NCC) for c in (a_c, b_c))\n",
    ),
    Stranger(
        "v: homography of points",
        "f and jacobian with args",
        lambda gl: gl.check_jacobian(project, project_jac, _corners()[0], args=(_corners()[1],)),
        _prove_h,
    ),
    Stranger(
        "v: soft-argmax key points in Turkish: x and y exchanged in the cotangent",
        "layer ileri/geri",
        lambda gl: gl.check_layer(*_isi()),
        _ispat_isi,
        "wrong",
        "forward gives (y, x), backward reads the cotangent as (x, y)",
        ("columns-exchanged", "wrong-cotangent"),
        ("isi",),
        "        tx, ty = turev[:, 0, None, None], turev[:, 1, None, None]\n",
        "        ty, tx = turev[:, 0, None, None], turev[:, 1, None, None]\n",
    ),
    Stranger(
        "v: Lovasz hinge that gives loss and gradient",
        "callable object, value and gradient",
        lambda gl: gl.check_gradient(_lov()[0], True, _lov()[1]),
        lambda: of_fun(_lov()[0], True, _lov()[1]),
    ),
    Stranger(
        "v: patch embedding in Vietnamese: axes folded back in another order",
        "layer with d-attributes",
        lambda gl: gl.check_layer(*_anh()),
        _chung_minh,
        "wrong",
        "rows and columns within a patch are exchanged when the patches are put back",
        ("axes-permuted",),
        ("anh",),
        "        dmanh = dmanh.reshape(B, H // p, W // p, p, p, C).transpose(0, 1, 4, 2, 3, 5)\n",
        "        dmanh = dmanh.reshape(B, H // p, W // p, p, p, C).transpose(0, 1, 3, 2, 4, 5)\n",
    ),
]
