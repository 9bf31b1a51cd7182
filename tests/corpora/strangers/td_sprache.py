"""Sprache: Woerter, Saetze, Laute. Notebooks aus mehreren Kursen."""

import numpy as np

from ._entry import Stranger
from ._help_td import drill, pairs


def _zufall(*form, keim=0, breite=1.0):
    return np.random.default_rng(keim).normal(size=form) * breite


# tiaozi (skip-gram) he fu caiyang; pinyin zhushi
class TiaoziMoxing:
    def __init__(self, cihui, weidu, zhongzi=0):
        suiji = np.random.default_rng(zhongzi)
        self.canshu = {
            "zhongxin": suiji.normal(0, 0.5, (cihui, weidu)),  # zhongxin ci xiangliang
            "beijing": suiji.normal(0, 0.5, (cihui, weidu)),  # beijing ci xiangliang
        }

    def sunshi(self, zhong, bei, fu):
        """zhong (B,), bei (B,), fu (B, K); fanhui (sunshi, tidu)"""
        vc = self.canshu["zhongxin"][zhong]
        suoyin = np.concatenate([bei[:, None], fu], axis=1)
        biaoqian = np.zeros(suoyin.shape)
        biaoqian[:, 0] = 1
        u = self.canshu["beijing"][suoyin]
        defen = np.einsum("bd,bkd->bk", vc, u)
        gailv = 1 / (1 + np.exp(-defen))
        zhi = -np.sum(biaoqian * np.log(gailv) + (1 - biaoqian) * np.log(1 - gailv)) / len(zhong)
        cha = (gailv - biaoqian) / len(zhong)
        tidu = {k: np.zeros_like(v) for k, v in self.canshu.items()}
        np.add.at(tidu["zhongxin"], zhong, np.einsum("bk,bkd->bd", cha, u))
        np.add.at(tidu["beijing"], suoyin, cha[..., None] * vc[:, None, :])
        return zhi, tidu

    # rang gradlab neng diaoyong
    def forward(self, zhong, bei, fu):
        zhi, self._tidu = self.sunshi(zhong, bei, fu)
        return zhi

    def backward(self):
        self.grads = self._tidu

    @property
    def params(self):
        return self.canshu


class GloVe:
    """J = sum f(X_ij) (w_i . c_j + b_i + d_j - log X_ij)^2, Kookkurrenzen als Matrix X"""

    def __init__(self, V, D, x_max=20.0, alpha=0.75):
        r = np.random.RandomState(11)
        self.W, self.C = r.randn(V, D) * 0.4, r.randn(V, D) * 0.4
        self.b, self.d = r.randn(V) * 0.1, r.randn(V) * 0.1
        self.x_max, self.alpha = x_max, alpha

    def forward(self, zaehlung):
        self.da = zaehlung > 0
        self.gewicht = np.where(self.da, np.minimum(zaehlung / self.x_max, 1.0) ** self.alpha, 0.0)
        ziel = np.log(np.where(self.da, zaehlung, 1))
        self.diff = self.W @ self.C.T + self.b[:, None] + self.d[None, :] - ziel
        return float(np.sum(self.gewicht * self.diff**2))

    def backward(self):
        e = 2 * self.gewicht * self.diff
        self.dW = e @ self.C
        self.dC = e.T @ self.W
        self.db = e.sum(axis=1)
        self.dd = np.where(self.da, 2 * self.diff, 0.0).sum(axis=0)


class KetteCRF:
    """Linear-chain CRF, negative Log-Likelihood einer Folge. Vorwaerts-Rueckwaerts im Log-Raum."""

    def __init__(self, etiketten, keim=2):
        self.uebergang = _zufall(etiketten, etiketten, keim=keim)
        self.start = _zufall(etiketten, keim=keim + 1)

    @staticmethod
    def _lse(a, axis):
        m = a.max(axis=axis, keepdims=True)
        return np.squeeze(m, axis) + np.log(np.exp(a - m).sum(axis=axis))

    def forward(self, emissionen, tags):
        T, _ = emissionen.shape
        alpha = np.empty_like(emissionen)
        alpha[0] = self.start + emissionen[0]
        for t in range(1, T):
            alpha[t] = self._lse(alpha[t - 1][:, None] + self.uebergang, 0) + emissionen[t]
        self.emissionen, self.tags, self.alpha = emissionen, tags, alpha
        self.logZ = self._lse(alpha[-1], 0)
        gold = self.start[tags[0]] + emissionen[np.arange(T), tags].sum()
        gold += self.uebergang[tags[:-1], tags[1:]].sum()
        return self.logZ - gold

    def backward(self):
        em, al, tags = self.emissionen, self.alpha, self.tags
        T, K = em.shape
        beta = np.zeros((T, K))
        for t in range(T - 2, -1, -1):
            beta[t] = self._lse(self.uebergang + em[t + 1] + beta[t + 1], 1)
        d_em = np.exp(al + beta - self.logZ)
        d_ueb = np.zeros((K, K))
        for t in range(1, T):
            d_ueb += np.exp(al[t - 1][:, None] + self.uebergang + em[t] + beta[t] - self.logZ)
        np.subtract.at(d_ueb, (tags[:-1], tags[1:]), 1)
        d_em[np.arange(T), tags] -= 1
        self.d_uebergang, self.d_start = d_ueb, d_em[0].copy()
        return d_em


# parser zależnościowy: ocena krawędzi  s_ij = glowa_i' U zal_j + v' glowa_i
def ocena_biafiniczna(glowy, zalezne, U, v):
    posrednie = glowy @ U
    wynik = posrednie @ zalezne.T + (glowy @ v)[:, None]
    return wynik, (glowy, zalezne, U, v)


def ocena_biafiniczna_wstecz(dwynik, pamiec):
    glowy, zalezne, U, v = pamiec
    suma = dwynik.sum(axis=1)
    dglowy = dwynik @ zalezne @ U.T + np.outer(suma, v)
    dzalezne = dwynik.T @ glowy @ U
    dU = (dwynik @ zalezne).T @ glowy
    dv = glowy.T @ suma
    return dglowy, dzalezne, dU, dv


class MeruFiruta:
    """onsei no furemu -> taisuu meru enerugii (log-mel)"""

    def __init__(self, nagasa=16, bando=5):
        shuuhasuu = nagasa // 2 + 1
        chuushin = np.linspace(0, shuuhasuu - 1, bando + 2)
        k = np.arange(shuuhasuu)
        nobori = (k[None] - chuushin[:-2, None]) / (chuushin[1] - chuushin[0])
        kudari = (chuushin[2:, None] - k[None]) / (chuushin[1] - chuushin[0])
        self.firuta = np.clip(np.minimum(nobori, kudari), 0, None)
        self.mado = np.hanning(nagasa + 1)[:-1]
        self.nagasa = nagasa

    def forward(self, namigata):
        self.supekutoru = np.fft.rfft(namigata * self.mado, axis=-1)
        self.pawaa = np.abs(self.supekutoru) ** 2
        self.meru = self.pawaa @ self.firuta.T + 1e-3
        return np.log(self.meru)

    def backward(self, d):
        d_pawaa = (d / self.meru) @ self.firuta
        # x no koubai: 2 Re sum_k dP_k conj(X_k) e^{-2 pi i k n / N}
        zentai = np.zeros((*d_pawaa.shape[:-1], self.nagasa), dtype=complex)
        zentai[..., : d_pawaa.shape[-1]] = d_pawaa * np.conj(self.supekutoru)
        return 2 * np.fft.fft(zentai, axis=-1).real * self.mado


class PreEmphasis:
    """y[t] = x[t] - a x[t-1], erlernbares a (Array der Laenge 1)"""

    def __init__(self, a=0.9):
        self.params = [np.array([a])]
        self.grads = [np.zeros(1)]

    def forward(self, x):
        self.x = x
        y = x.copy()
        y[:, 1:] -= self.params[0] * x[:, :-1]
        return y

    def backward(self, dout):
        self.grads[0][...] = -np.sum(dout[:, 1:] * self.x[:, :-1])
        dx = dout.copy()
        dx[:, 1:] -= self.params[0] * dout[:, :-1]
        return dx


class EmbeddingRotatif:
    """RoPE : chaque paire (2i, 2i+1) tourne de pos * theta^(-2i/d)."""

    def __init__(self, dim, base=100.0):
        self.freq = base ** (-np.arange(0, dim, 2) / dim)

    def _tourner(self, x, sens):
        angle = np.arange(x.shape[1])[:, None] * self.freq * sens
        c, s = np.cos(angle), np.sin(angle)
        y = np.empty_like(x)
        y[..., 0::2] = x[..., 0::2] * c - x[..., 1::2] * s
        y[..., 1::2] = x[..., 0::2] * s + x[..., 1::2] * c
        return y

    def forward(self, q, k):
        self.q, self.k = self._tourner(q, 1), self._tourner(k, 1)
        return np.einsum("bid,bjd->bij", self.q, self.k)

    def backward(self, dscores):
        dq = np.einsum("bij,bjd->bid", dscores, self.k)
        dk = np.einsum("bij,bid->bjd", dscores, self.q)
        return self._tourner(dq, -1), self._tourner(dk, -1)


class AtencionAditiva:
    """Bahdanau. `mascara` vale 1 donde hay palabra."""

    def __init__(self, n_enc, n_dec, n_att):
        g = np.random.default_rng(21)
        self.parametros = {
            "Wh": g.normal(size=(n_enc, n_att)) * 0.5,
            "Ws": g.normal(size=(n_dec, n_att)) * 0.5,
            "v": g.normal(size=n_att),
        }
        self.gradientes = {}

    def forward(self, H, s, mascara):
        p = self.parametros
        self.H, self.s = H, s
        self.u = np.tanh(H @ p["Wh"] + (s @ p["Ws"])[:, None, :])
        e = np.where(mascara == 1, self.u @ p["v"], -np.inf)
        e = np.exp(e - e.max(axis=1, keepdims=True))
        self.a = e / e.sum(axis=1, keepdims=True)
        return np.einsum("bt,bte->be", self.a, H)

    def backward(self, dc):
        p, g = self.parametros, self.gradientes
        da = np.einsum("be,bte->bt", dc, self.H)
        de = self.a * (da - np.sum(da * self.a, axis=1, keepdims=True))
        g["v"] = np.einsum("bt,bta->a", de, self.u)
        dz = de[..., None] * p["v"] * (1 - self.u**2)
        g["Wh"] = np.einsum("bte,bta->ea", self.H, dz)
        dz_s = dz.sum(axis=1)
        g["Ws"] = self.s.T @ dz_s
        return self.a[..., None] * dc[:, None, :] + dz @ p["Wh"].T, dz_s @ p["Ws"].T


# min-char-rnn en español, con la pérdida por dentro
class RedLetras:
    def __init__(self, vocab, oculto):
        r = np.random.RandomState(3)
        self.Wxh = r.randn(vocab, oculto) * 0.4
        self.Whh = r.randn(oculto, oculto) * 0.4
        self.Why = r.randn(oculto, vocab) * 0.4
        self.bh, self.by = np.zeros(oculto), np.zeros(vocab)

    def forward(self, entradas, objetivos):
        self.xs, self.ts = entradas, objetivos
        self.hs, self.ps, perdida = {-1: np.zeros(len(self.bh))}, {}, 0.0
        for t in range(len(entradas)):
            self.hs[t] = np.tanh(self.Wxh[entradas[t]] + self.hs[t - 1] @ self.Whh + self.bh)
            y = np.exp(self.hs[t] @ self.Why + self.by)
            self.ps[t] = y / y.sum()
            perdida -= np.log(self.ps[t][objetivos[t]])
        return perdida

    def backward(self):
        for n in ("Wxh", "Whh", "Why", "bh", "by"):
            setattr(self, "d" + n, np.zeros_like(getattr(self, n)))
        dhnext = np.zeros(len(self.bh))
        for t in reversed(range(len(self.xs))):
            dy = self.ps[t].copy()
            dy[self.ts[t]] -= 1
            self.dWhy += np.outer(self.hs[t], dy)
            self.dby += dy
            draw = (dy @ self.Why.T + dhnext) * (1 - self.hs[t] ** 2)
            self.dbh += draw
            self.dWxh[self.xs[t]] += draw
            self.dWhh += np.outer(self.hs[t], draw)
            dhnext = draw @ self.Whh.T


def trozos(palabra, n=3):
    marca = f"<{palabra}>"
    for i in range(len(marca) - n + 1):
        yield marca[i : i + n]


class BolsaDeSubpalabras:
    """fastText: el vector de una palabra es la media de los de sus trigramas (tabla hash)."""

    def __init__(self, cubetas, dim):
        self.tabla = _zufall(cubetas, dim, keim=5)
        self.grad_tabla = None
        self.cubetas = cubetas

    def _filas(self, palabra):
        return [sum(31**i * ord(c) for i, c in enumerate(t)) % self.cubetas for t in trozos(palabra)]

    def forward(self, palabras):
        self.filas = [self._filas(p) for p in palabras]
        return np.stack([self.tabla[f].mean(axis=0) for f in self.filas])

    def backward(self, dsalida):
        self.grad_tabla = np.zeros_like(self.tabla)
        for f, d in zip(self.filas, dsalida, strict=True):
            for fila in f:
                self.grad_tabla[fila] += d / len(f)


def _zaehlung():
    return np.random.default_rng(7).integers(0, 30, (6, 6))


_IDS = np.array([3, 1, 3, 0]), np.array([2, 5, 1, 3]), np.array([[0, 6], [2, 2], [4, 0], [6, 5]])


def _p_tiaozi():
    m = TiaoziMoxing(7, 3)
    m.forward(*_IDS)
    m.backward()
    return pairs([m.grads[k] for k in m.params], lambda: m.forward(*_IDS), *m.params.values())


def _p_glove():
    m, X = GloVe(6, 3), _zaehlung()
    m.forward(X)
    m.backward()
    return pairs([m.dW, m.dC, m.db, m.dd], lambda: m.forward(X), m.W, m.C, m.b, m.d)


_TAGS = np.array([0, 2, 2, 1, 0])


def _p_crf():
    m, em = KetteCRF(3), _zufall(5, 3, keim=9)
    m.forward(em, _TAGS)
    d = m.backward()
    return pairs([d, m.d_uebergang, m.d_start], lambda: m.forward(em, _TAGS), em, m.uebergang, m.start)


def _biaf():
    r = np.random.default_rng(4)
    return r.normal(size=(3, 4)), r.normal(size=(5, 4)), r.normal(size=(4, 4)), r.normal(size=4)


def _p_biaf():
    xs = _biaf()
    out, cache = ocena_biafiniczna(*xs)
    g = _zufall(*out.shape, keim=6)
    return pairs(ocena_biafiniczna_wstecz(g, cache), lambda: ocena_biafiniczna(*xs)[0] * g, *xs)


def _p_ebene(m, xs, rest=(), holen=lambda m: ([], [])):
    g = _zufall(*m.forward(*xs, *rest).shape, keim=8)
    d = m.backward(g)
    d = d if isinstance(d, tuple) else (d,)
    werte, grads = holen(m)
    return pairs([*d, *grads], lambda: m.forward(*xs, *rest) * g, *xs, *werte)


_qk = lambda: (_zufall(2, 4, 6, keim=1), _zufall(2, 4, 6, keim=2))  # noqa: E731
_hs = lambda: (_zufall(2, 4, 3, keim=1), _zufall(2, 5, keim=2))  # noqa: E731
_MASC = np.array([[1, 1, 1, 0], [1, 1, 1, 1]])
_LETRAS = np.array([0, 3, 1, 1, 4, 2]), np.array([3, 1, 1, 4, 2, 0])


def _p_letras():
    m = RedLetras(5, 4)
    m.forward(*_LETRAS)
    m.backward()
    claimed = [m.dWxh, m.dWhh, m.dWhy, m.dbh, m.dby]
    return pairs(claimed, lambda: m.forward(*_LETRAS), m.Wxh, m.Whh, m.Why, m.bh, m.by)


def _p_bolsa():
    m, palabras = BolsaDeSubpalabras(13, 3), ["casa", "cosas", "cama"]
    g = _zufall(3, 3, keim=8)
    m.forward(palabras)
    m.backward(g)
    return [(m.grad_tabla, drill(lambda: m.forward(palabras) * g, m.tabla)[0])]


ENTRIES = [
    Stranger(
        "td skip-gram with negative samples in pinyin, ids repeated",
        "loss net of integers, params and grads dicts",
        lambda gradlab: gradlab.check_layer(TiaoziMoxing(7, 3), *_IDS),
        _p_tiaozi,
    ),
    Stranger(
        "td GloVe loss in German: the context bias forgets the weight",
        "loss net of counts, gradients in dW, dC, db, dd",
        lambda gradlab: gradlab.check_layer(GloVe(6, 3), _zaehlung()),
        _p_glove,
        "wrong",
        "the gradient of the context bias leaves out the weight f(X)",
        ("missing-factor",),
        ("d",),
        "        self.dd = np.where(self.da, 2 * self.diff, 0.0).sum(axis=0)\n",
        "        self.dd = e.sum(axis=0)\n",
    ),
    Stranger(
        "td linear-chain CRF in German, forward-backward",
        "loss layer with emissions, integer tags and two parameters",
        lambda gradlab: gradlab.check_layer(KetteCRF(3), _zufall(5, 3, keim=9), _TAGS),
        _p_crf,
    ),
    Stranger(
        "td biaffine arc score in Polish: U's gradient transposed",
        "pair with cache",
        lambda gradlab: gradlab.check_cached_pair(ocena_biafiniczna, ocena_biafiniczna_wstecz, _biaf()),
        _p_biaf,
        "wrong",
        "the gradient of U is transposed",
        ("transposed",),
        ("U",),
        "    dU = (dwynik @ zalezne).T @ glowy\n",
        "    dU = glowy.T @ (dwynik @ zalezne)\n",
    ),
    Stranger(
        "td log-mel energies in romaji, through rfft",
        "layer without parameters",
        lambda gradlab: gradlab.check_layer(MeruFiruta(), _zufall(3, 16, keim=3)),
        lambda: _p_ebene(MeruFiruta(), [_zufall(3, 16, keim=3)]),
    ),
    Stranger(
        "td learnable pre-emphasis: the tap looks the wrong way in backward",
        "layer with params and grads lists",
        lambda gradlab: gradlab.check_layer(PreEmphasis(), _zufall(2, 9, keim=3)),
        lambda: _p_ebene(PreEmphasis(), [_zufall(2, 9, keim=3)], (), lambda m: (m.params, m.grads)),
        "wrong",
        "x[t] gets the cotangent of y[t-1] where it feeds y[t+1]",
        ("shifted", "wrong-cotangent"),
        ("x",),
        "        dx[:, 1:] -= self.params[0] * dout[:, :-1]\n",
        "        dx[:, :-1] -= self.params[0] * dout[:, 1:]\n",
    ),
    Stranger(
        "td rotary embedding scores in French",
        "layer with two inputs",
        lambda gradlab: gradlab.check_layer(EmbeddingRotatif(6), *_qk()),
        lambda: _p_ebene(EmbeddingRotatif(6), _qk()),
    ),
    Stranger(
        "td Bahdanau attention in Spanish with a word mask",
        "layer with two inputs, a mask, and dicts in Spanish",
        lambda gradlab: gradlab.check_layer(AtencionAditiva(3, 5, 4), *_hs(), _MASC),
        lambda: _p_ebene(
            AtencionAditiva(3, 5, 4),
            _hs(),
            (_MASC,),
            lambda m: (list(m.parametros.values()), [m.gradientes[k] for k in m.parametros]),
        ),
    ),
    Stranger(
        "td min-char-rnn in Spanish: Whh's gradient with the state of the same step",
        "loss net of integers, gradients in dWxh and so on",
        lambda gradlab: gradlab.check_layer(RedLetras(5, 4), *_LETRAS),
        _p_letras,
        "wrong",
        "the gradient of Whh multiplies with the hidden state of step t instead of step t-1",
        ("wrong-operand",),
        ("Whh",),
        "            self.dWhh += np.outer(self.hs[t], draw)\n",
        "            self.dWhh += np.outer(self.hs[t - 1], draw)\n",
    ),
    Stranger(
        "td fastText bag of subwords of a list of strings",
        "layer on strings, gradient in grad_tabla",
        lambda gradlab: gradlab.check_layer(BolsaDeSubpalabras(13, 3), ["casa", "cosas", "cama"]),
        _p_bolsa,
    ),
]
