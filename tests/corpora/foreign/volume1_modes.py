"""Dropout and batch normalisation as the first textbook writes them: `train_flg` chooses the mode."""

import numpy as np

from ._entry import Foreign, drawn, normal
from ._use import attributes, passed


class Dropout:
    """Values survive unscaled in training, and all are scaled in evaluation."""

    def __init__(self, dropout_ratio=0.5):
        self.dropout_ratio = dropout_ratio
        self.mask = None

    def forward(self, x, train_flg=True):
        if train_flg:
            self.mask = np.random.rand(*x.shape) > self.dropout_ratio  # noqa: NPY002 as the book has it
            return x * self.mask
        self.mask = 1.0 - self.dropout_ratio
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask


class DropoutForgetsItsMask(Dropout):
    def backward(self, dout):
        return dout * 1.0


class DropoutTrainsOnly(Dropout):
    def forward(self, x, train_flg=True):
        out = super().forward(x, train_flg)
        self.mask = self.mask if train_flg else 1.0
        return out


class BatchNormalization:
    def __init__(self, gamma, beta, momentum=0.9, running_mean=None, running_var=None):
        self.gamma = gamma
        self.beta = beta
        self.momentum = momentum
        self.running_mean = running_mean
        self.running_var = running_var
        self.dgamma = None
        self.dbeta = None

    def forward(self, x, train_flg=True):
        if self.running_mean is None:
            self.running_mean = np.zeros(x.shape[1])
            self.running_var = np.zeros(x.shape[1])
        self.training = train_flg
        mu, var = (x.mean(axis=0), x.var(axis=0)) if train_flg else (self.running_mean, self.running_var)
        self.batch_size = x.shape[0]
        self.xc = x - mu
        self.std = np.sqrt(var + 10e-7)
        self.xn = self.xc / self.std
        if train_flg:
            self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mu
            self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        return self.gamma * self.xn + self.beta

    def backward(self, dout):
        self.dbeta = dout.sum(axis=0)
        self.dgamma = np.sum(self.xn * dout, axis=0)
        dxn = self.gamma * dout
        return self.through_the_batch(dxn) if self.training else dxn / self.std

    def through_the_batch(self, dxn):
        dxc = dxn / self.std
        dstd = -np.sum((dxn * self.xc) / (self.std * self.std), axis=0)
        dvar = 0.5 * dstd / self.std
        dxc += (2.0 / self.batch_size) * self.xc * dvar
        return dxc - self.mean_part(dxc)

    def mean_part(self, dxc):
        return np.sum(dxc, axis=0) / self.batch_size


class BatchNormalizationForgetsTheMean(BatchNormalization):
    def mean_part(self, dxc):
        return 0.0


class BatchNormalizationAlwaysTrains(BatchNormalization):
    def backward(self, dout):
        self.training = True
        return super().backward(dout)


def batch_normalization(cls, *running):
    return lambda: cls(normal(11, 3), normal(12, 3), 0.9, *running)


RUNNING = (np.array([0.2, -0.1, 0.4]), np.array([0.8, 1.3, 0.6]))
VOLUME_1 = {"style": "volume 1", "cotangent": "passed"}
dropout = Foreign(
    **VOLUME_1,
    name="dropout in training",
    how="Call forward(x, train_flg=True), which draws from NumPy's global generator, then dx = backward(dout).",
    make=lambda: Dropout(0.4),
    inputs=drawn((4, 5)),
    settings={"train_flg": True},
    use=passed(),
)
dropout_off = dropout.varied(
    "dropout in evaluation",
    how="Call forward(x, train_flg=False), which scales by 1 - dropout_ratio, then dx = backward(dout).",
    make=lambda: Dropout(0.3),
    settings={"train_flg": False},
    truth=lambda g, x: (0.7 * g,),
)
batch_norm = Foreign(
    **VOLUME_1,
    name="batch normalization in training",
    stored="attributes",
    how="Call forward(x, train_flg=True), then dx = backward(dout); dgamma and dbeta are left in the layer.",
    make=batch_normalization(BatchNormalization),
    inputs=drawn((5, 3)),
    settings={"train_flg": True},
    use=attributes("gamma", "beta"),
)
batch_norm_off = batch_norm.varied(
    "batch normalization in evaluation",
    how="Call forward(x, train_flg=False), which uses the running statistics, then dx = backward(dout).",
    make=batch_normalization(BatchNormalization, *RUNNING),
    settings={"train_flg": False},
)
ENTRIES = [
    dropout,
    dropout.spoiled("mask forgotten", lambda: DropoutForgetsItsMask(0.4), "masked-region", "x"),
    dropout_off,
    dropout_off.spoiled("scale forgotten", lambda: DropoutTrainsOnly(0.3), "constant-factor", "x"),
    batch_norm,
    batch_norm.spoiled(
        "the mean's path forgotten",
        batch_normalization(BatchNormalizationForgetsTheMean),
        "missing-term",
        "x",
    ),
    batch_norm_off,
    batch_norm_off.spoiled(
        "the batch's paths taken in evaluation too",
        batch_normalization(BatchNormalizationAlwaysTrains, *RUNNING),
        "missing-term",
        "x",
    ),
]
