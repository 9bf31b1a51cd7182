"""Deep Learning from Scratch, volume 1, typed anew from memory of what the book describes."""

from collections import OrderedDict

import numpy as np

from ._differences import prove_layer, prove_net, prove_scalars, slopes, spread
from ._entry import Book

# --- functions -------------------------------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sigmoid_grad(x):
    return (1.0 - sigmoid(x)) * sigmoid(x)


def softmax(x):
    if x.ndim == 2:
        x = x.T
        x = x - np.max(x, axis=0)  # against overflow
        y = np.exp(x) / np.sum(np.exp(x), axis=0)
        return y.T
    x = x - np.max(x)
    return np.exp(x) / np.sum(np.exp(x))


def sum_squared_error(y, t):
    return 0.5 * np.sum((y - t) ** 2)


def cross_entropy_error(y, t):
    if y.ndim == 1:
        t = t.reshape(1, t.size)
        y = y.reshape(1, y.size)
    if t.size == y.size:  # one-hot: to labels
        t = t.argmax(axis=1)
    batch_size = y.shape[0]
    return -np.sum(np.log(y[np.arange(batch_size), t] + 1e-7)) / batch_size


def im2col(input_data, filter_h, filter_w, stride=1, pad=0):
    N, C, H, W = input_data.shape
    out_h = (H + 2 * pad - filter_h) // stride + 1
    out_w = (W + 2 * pad - filter_w) // stride + 1
    img = np.pad(input_data, [(0, 0), (0, 0), (pad, pad), (pad, pad)], "constant")
    col = np.zeros((N, C, filter_h, filter_w, out_h, out_w))
    for y in range(filter_h):
        y_end = y + stride * out_h
        for x in range(filter_w):
            x_end = x + stride * out_w
            col[:, :, y, x, :, :] = img[:, :, y:y_end:stride, x:x_end:stride]
    return col.transpose(0, 4, 5, 1, 2, 3).reshape(N * out_h * out_w, -1)


def col2im(col, input_shape, filter_h, filter_w, stride=1, pad=0):
    N, C, H, W = input_shape
    out_h = (H + 2 * pad - filter_h) // stride + 1
    out_w = (W + 2 * pad - filter_w) // stride + 1
    col = col.reshape(N, out_h, out_w, C, filter_h, filter_w).transpose(0, 3, 4, 5, 1, 2)
    img = np.zeros((N, C, H + 2 * pad + stride - 1, W + 2 * pad + stride - 1))
    for y in range(filter_h):
        y_end = y + stride * out_h
        for x in range(filter_w):
            x_end = x + stride * out_w
            img[:, :, y:y_end:stride, x:x_end:stride] += col[:, :, y, x, :, :]
    return img[:, :, pad : H + pad, pad : W + pad]


# --- layers ----------------------------------------------------------------------------------------------------------


class MulLayer:
    def __init__(self):
        self.x = None
        self.y = None

    def forward(self, x, y):
        self.x = x
        self.y = y
        out = x * y
        return out

    def backward(self, dout):
        dx = dout * self.y  # the other one
        dy = dout * self.x
        return dx, dy


class AddLayer:
    def __init__(self):
        pass

    def forward(self, x, y):
        out = x + y
        return out

    def backward(self, dout):
        dx = dout * 1
        dy = dout * 1
        return dx, dy


class FruitShop:
    """Apples and oranges with consumption tax."""

    def __init__(self):
        self.mul_apple_layer = MulLayer()
        self.mul_orange_layer = MulLayer()
        self.add_apple_orange_layer = AddLayer()
        self.mul_tax_layer = MulLayer()

    def forward(self, apple, apple_num, orange, orange_num, tax):
        apple_price = self.mul_apple_layer.forward(apple, apple_num)
        orange_price = self.mul_orange_layer.forward(orange, orange_num)
        all_price = self.add_apple_orange_layer.forward(apple_price, orange_price)
        price = self.mul_tax_layer.forward(all_price, tax)
        return price

    def backward(self, dprice):
        dall_price, dtax = self.mul_tax_layer.backward(dprice)
        dapple_price, dorange_price = self.add_apple_orange_layer.backward(dall_price)
        dorange, dorange_num = self.mul_orange_layer.backward(dorange_price)
        dapple, dapple_num = self.mul_apple_layer.backward(dapple_price)
        return dapple, dapple_num, dorange, dorange_num, dtax


class Relu:
    def __init__(self):
        self.mask = None

    def forward(self, x):
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dout[self.mask] = 0
        dx = dout
        return dx


class Sigmoid:
    def __init__(self):
        self.out = None

    def forward(self, x):
        out = sigmoid(x)
        self.out = out
        return out

    def backward(self, dout):
        dx = dout * (1.0 - self.out) * self.out
        return dx


class Affine:
    """For matrices."""

    def __init__(self, W, b):
        self.W = W
        self.b = b
        self.x = None
        self.dW = None
        self.db = None

    def forward(self, x):
        self.x = x
        out = np.dot(x, self.W) + self.b
        return out

    def backward(self, dout):
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return dx


class TensorAffine:
    """For tensors too."""

    def __init__(self, W, b):
        self.W = W
        self.b = b
        self.x = None
        self.original_x_shape = None
        self.dW = None
        self.db = None

    def forward(self, x):
        self.original_x_shape = x.shape
        x = x.reshape(x.shape[0], -1)
        self.x = x
        return np.dot(self.x, self.W) + self.b

    def backward(self, dout):
        dx = np.dot(dout, self.W.T)
        self.dW = np.dot(self.x.T, dout)
        self.db = np.sum(dout, axis=0)
        return dx.reshape(*self.original_x_shape)


class SoftmaxWithLoss:
    def __init__(self):
        self.loss = None
        self.y = None
        self.t = None

    def forward(self, x, t):
        self.t = t
        self.y = softmax(x)
        self.loss = cross_entropy_error(self.y, self.t)
        return self.loss

    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        if self.t.size == self.y.size:
            dx = (self.y - self.t) / batch_size
        else:
            dx = self.y.copy()
            dx[np.arange(batch_size), self.t] -= 1
            dx = dx / batch_size
        return dx


class FirstSoftmaxWithLoss:
    """As chapter 5 has it first: one-hot only."""

    def __init__(self):
        self.loss = None
        self.y = None
        self.t = None

    def forward(self, x, t):
        self.t = t
        self.y = softmax(x)
        self.loss = cross_entropy_error(self.y, self.t)
        return self.loss

    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        dx = (self.y - self.t) / batch_size
        return dx


class IdentityWithLoss:
    """The identity and the sum of squares, which give y - t as well."""

    def __init__(self):
        self.loss = None
        self.y = None
        self.t = None

    def forward(self, x, t):
        self.t = t
        self.y = x
        self.loss = sum_squared_error(self.y, self.t) / len(x)
        return self.loss

    def backward(self, dout=1):
        batch_size = self.t.shape[0]
        return (self.y - self.t) / batch_size


class Dropout:
    def __init__(self, dropout_ratio=0.5):
        self.dropout_ratio = dropout_ratio
        self.mask = None

    def forward(self, x, train_flg=True):
        if train_flg:
            self.mask = np.random.rand(*x.shape) > self.dropout_ratio
            return x * self.mask
        else:
            return x * (1.0 - self.dropout_ratio)

    def backward(self, dout):
        return dout * self.mask


class BatchNormalization:
    def __init__(self, gamma, beta, momentum=0.9, running_mean=None, running_var=None):
        self.gamma = gamma
        self.beta = beta
        self.momentum = momentum
        self.input_shape = None
        self.running_mean = running_mean
        self.running_var = running_var
        self.batch_size = None
        self.xc = None
        self.std = None
        self.dgamma = None
        self.dbeta = None

    def forward(self, x, train_flg=True):
        self.input_shape = x.shape
        if x.ndim != 2:
            x = x.reshape(x.shape[0], -1)
        out = self.__forward(x, train_flg)
        return out.reshape(*self.input_shape)

    def __forward(self, x, train_flg):
        if self.running_mean is None:
            D = x.shape[1]
            self.running_mean = np.zeros(D)
            self.running_var = np.zeros(D)
        if train_flg:
            mu = x.mean(axis=0)
            xc = x - mu
            var = np.mean(xc**2, axis=0)
            std = np.sqrt(var + 10e-7)
            xn = xc / std
            self.batch_size = x.shape[0]
            self.xc = xc
            self.xn = xn
            self.std = std
            self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mu
            self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        else:
            xc = x - self.running_mean
            xn = xc / np.sqrt(self.running_var + 10e-7)
        return self.gamma * xn + self.beta

    def backward(self, dout):
        if dout.ndim != 2:
            dout = dout.reshape(dout.shape[0], -1)
        dx = self.__backward(dout)
        return dx.reshape(*self.input_shape)

    def __backward(self, dout):
        dbeta = dout.sum(axis=0)
        dgamma = np.sum(self.xn * dout, axis=0)
        dxn = self.gamma * dout
        dxc = dxn / self.std
        dstd = -np.sum((dxn * self.xc) / (self.std * self.std), axis=0)
        dvar = 0.5 * dstd / self.std
        dxc += (2.0 / self.batch_size) * self.xc * dvar
        dmu = np.sum(dxc, axis=0)
        dx = dxc - dmu / self.batch_size
        self.dgamma = dgamma
        self.dbeta = dbeta
        return dx


class Convolution:
    def __init__(self, W, b, stride=1, pad=0):
        self.W = W
        self.b = b
        self.stride = stride
        self.pad = pad
        self.x = None
        self.col = None
        self.col_W = None
        self.dW = None
        self.db = None

    def forward(self, x):
        FN, C, FH, FW = self.W.shape
        N, C, H, W = x.shape
        out_h = 1 + int((H + 2 * self.pad - FH) / self.stride)
        out_w = 1 + int((W + 2 * self.pad - FW) / self.stride)
        col = im2col(x, FH, FW, self.stride, self.pad)
        col_W = self.W.reshape(FN, -1).T
        out = np.dot(col, col_W) + self.b
        out = out.reshape(N, out_h, out_w, -1).transpose(0, 3, 1, 2)
        self.x = x
        self.col = col
        self.col_W = col_W
        return out

    def backward(self, dout):
        FN, C, FH, FW = self.W.shape
        dout = dout.transpose(0, 2, 3, 1).reshape(-1, FN)
        self.db = np.sum(dout, axis=0)
        self.dW = np.dot(self.col.T, dout)
        self.dW = self.dW.transpose(1, 0).reshape(FN, C, FH, FW)
        dcol = np.dot(dout, self.col_W.T)
        return col2im(dcol, self.x.shape, FH, FW, self.stride, self.pad)


class Pooling:
    def __init__(self, pool_h, pool_w, stride=2, pad=0):
        self.pool_h = pool_h
        self.pool_w = pool_w
        self.stride = stride
        self.pad = pad
        self.x = None
        self.arg_max = None

    def forward(self, x):
        N, C, H, W = x.shape
        out_h = int(1 + (H - self.pool_h) / self.stride)
        out_w = int(1 + (W - self.pool_w) / self.stride)
        col = im2col(x, self.pool_h, self.pool_w, self.stride, self.pad)
        col = col.reshape(-1, self.pool_h * self.pool_w)
        arg_max = np.argmax(col, axis=1)
        out = np.max(col, axis=1)
        out = out.reshape(N, out_h, out_w, C).transpose(0, 3, 1, 2)
        self.x = x
        self.arg_max = arg_max
        return out

    def backward(self, dout):
        dout = dout.transpose(0, 2, 3, 1)
        pool_size = self.pool_h * self.pool_w
        dmax = np.zeros((dout.size, pool_size))
        dmax[np.arange(self.arg_max.size), self.arg_max.flatten()] = dout.flatten()
        dmax = dmax.reshape(dout.shape + (pool_size,))
        dcol = dmax.reshape(dmax.shape[0] * dmax.shape[1] * dmax.shape[2], -1)
        return col2im(dcol, self.x.shape, self.pool_h, self.pool_w, self.stride, self.pad)


# --- networks --------------------------------------------------------------------------------------------------------


class NumericalTwoLayerNet:
    """Chapter 4."""

    def __init__(self, input_size, hidden_size, output_size, weight_init_std=0.01):
        self.params = {}
        self.params["W1"] = weight_init_std * np.random.randn(input_size, hidden_size)
        self.params["b1"] = np.zeros(hidden_size)
        self.params["W2"] = weight_init_std * np.random.randn(hidden_size, output_size)
        self.params["b2"] = np.zeros(output_size)

    def predict(self, x):
        W1, W2 = self.params["W1"], self.params["W2"]
        b1, b2 = self.params["b1"], self.params["b2"]
        a1 = np.dot(x, W1) + b1
        z1 = sigmoid(a1)
        a2 = np.dot(z1, W2) + b2
        y = softmax(a2)
        return y

    def loss(self, x, t):
        y = self.predict(x)
        return cross_entropy_error(y, t)

    def accuracy(self, x, t):
        y = np.argmax(self.predict(x), axis=1)
        t = np.argmax(t, axis=1)
        return np.sum(y == t) / float(x.shape[0])

    def numerical_gradient(self, x, t):
        return {
            key: slopes(lambda: self.loss(x, t), self.params[key], 1e-4) for key in ("W1", "b1", "W2", "b2")
        }

    def gradient(self, x, t):
        W1, W2 = self.params["W1"], self.params["W2"]
        b1, b2 = self.params["b1"], self.params["b2"]
        grads = {}
        batch_num = x.shape[0]

        a1 = np.dot(x, W1) + b1
        z1 = sigmoid(a1)
        a2 = np.dot(z1, W2) + b2
        y = softmax(a2)

        dy = (y - t) / batch_num
        grads["W2"] = np.dot(z1.T, dy)
        grads["b2"] = np.sum(dy, axis=0)
        dz1 = np.dot(dy, W2.T)
        da1 = sigmoid_grad(a1) * dz1
        grads["W1"] = np.dot(x.T, da1)
        grads["b1"] = np.sum(da1, axis=0)
        return grads


class TwoLayerNet:
    """Chapter 5."""

    def __init__(self, input_size, hidden_size, output_size, weight_init_std=0.01):
        self.params = {}
        self.params["W1"] = weight_init_std * np.random.randn(input_size, hidden_size)
        self.params["b1"] = np.zeros(hidden_size)
        self.params["W2"] = weight_init_std * np.random.randn(hidden_size, output_size)
        self.params["b2"] = np.zeros(output_size)

        self.layers = OrderedDict()
        self.layers["Affine1"] = TensorAffine(self.params["W1"], self.params["b1"])
        self.layers["Relu1"] = Relu()
        self.layers["Affine2"] = TensorAffine(self.params["W2"], self.params["b2"])
        self.lastLayer = SoftmaxWithLoss()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        y = self.predict(x)
        return self.lastLayer.forward(y, t)

    def accuracy(self, x, t):
        y = np.argmax(self.predict(x), axis=1)
        if t.ndim != 1:
            t = np.argmax(t, axis=1)
        return np.sum(y == t) / float(x.shape[0])

    def numerical_gradient(self, x, t):
        return {
            key: slopes(lambda: self.loss(x, t), self.params[key], 1e-4) for key in ("W1", "b1", "W2", "b2")
        }

    def gradient(self, x, t):
        self.loss(x, t)

        dout = 1
        dout = self.lastLayer.backward(dout)
        layers = list(self.layers.values())
        layers.reverse()
        for layer in layers:
            dout = layer.backward(dout)

        grads = {}
        grads["W1"], grads["b1"] = self.layers["Affine1"].dW, self.layers["Affine1"].db
        grads["W2"], grads["b2"] = self.layers["Affine2"].dW, self.layers["Affine2"].db
        return grads


class MultiLayerNet:
    def __init__(
        self,
        input_size,
        hidden_size_list,
        output_size,
        activation="relu",
        weight_init_std="relu",
        weight_decay_lambda=0,
    ):
        self.input_size = input_size
        self.output_size = output_size
        self.hidden_size_list = hidden_size_list
        self.hidden_layer_num = len(hidden_size_list)
        self.weight_decay_lambda = weight_decay_lambda
        self.params = {}
        self.__init_weight(weight_init_std)

        activation_layer = {"sigmoid": Sigmoid, "relu": Relu}
        self.layers = OrderedDict()
        for idx in range(1, self.hidden_layer_num + 1):
            self.layers["Affine" + str(idx)] = TensorAffine(
                self.params["W" + str(idx)], self.params["b" + str(idx)]
            )
            self.layers["Activation_function" + str(idx)] = activation_layer[activation]()
        idx = self.hidden_layer_num + 1
        self.layers["Affine" + str(idx)] = TensorAffine(
            self.params["W" + str(idx)], self.params["b" + str(idx)]
        )
        self.last_layer = SoftmaxWithLoss()

    def __init_weight(self, weight_init_std):
        all_size_list = [self.input_size] + self.hidden_size_list + [self.output_size]
        for idx in range(1, len(all_size_list)):
            scale = weight_init_std
            if str(weight_init_std).lower() in ("relu", "he"):
                scale = np.sqrt(2.0 / all_size_list[idx - 1])
            elif str(weight_init_std).lower() in ("sigmoid", "xavier"):
                scale = np.sqrt(1.0 / all_size_list[idx - 1])
            self.params["W" + str(idx)] = scale * np.random.randn(all_size_list[idx - 1], all_size_list[idx])
            self.params["b" + str(idx)] = np.zeros(all_size_list[idx])

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        y = self.predict(x)
        weight_decay = 0
        for idx in range(1, self.hidden_layer_num + 2):
            W = self.params["W" + str(idx)]
            weight_decay += 0.5 * self.weight_decay_lambda * np.sum(W**2)
        return self.last_layer.forward(y, t) + weight_decay

    def gradient(self, x, t):
        self.loss(x, t)
        dout = 1
        dout = self.last_layer.backward(dout)
        layers = list(self.layers.values())
        layers.reverse()
        for layer in layers:
            dout = layer.backward(dout)

        grads = {}
        for idx in range(1, self.hidden_layer_num + 2):
            affine = self.layers["Affine" + str(idx)]
            grads["W" + str(idx)] = affine.dW + self.weight_decay_lambda * affine.W
            grads["b" + str(idx)] = affine.db
        return grads


class MultiLayerNetExtend:
    def __init__(
        self,
        input_size,
        hidden_size_list,
        output_size,
        activation="relu",
        weight_init_std="relu",
        weight_decay_lambda=0,
        use_dropout=False,
        dropout_ration=0.5,
        use_batchnorm=False,
    ):
        self.input_size = input_size
        self.output_size = output_size
        self.hidden_size_list = hidden_size_list
        self.hidden_layer_num = len(hidden_size_list)
        self.use_dropout = use_dropout
        self.weight_decay_lambda = weight_decay_lambda
        self.use_batchnorm = use_batchnorm
        self.params = {}
        self.__init_weight(weight_init_std)

        activation_layer = {"sigmoid": Sigmoid, "relu": Relu}
        self.layers = OrderedDict()
        for idx in range(1, self.hidden_layer_num + 1):
            self.layers["Affine" + str(idx)] = TensorAffine(
                self.params["W" + str(idx)], self.params["b" + str(idx)]
            )
            if self.use_batchnorm:
                self.params["gamma" + str(idx)] = np.ones(hidden_size_list[idx - 1])
                self.params["beta" + str(idx)] = np.zeros(hidden_size_list[idx - 1])
                self.layers["BatchNorm" + str(idx)] = BatchNormalization(
                    self.params["gamma" + str(idx)], self.params["beta" + str(idx)]
                )
            self.layers["Activation_function" + str(idx)] = activation_layer[activation]()
            if self.use_dropout:
                self.layers["Dropout" + str(idx)] = Dropout(dropout_ration)
        idx = self.hidden_layer_num + 1
        self.layers["Affine" + str(idx)] = TensorAffine(
            self.params["W" + str(idx)], self.params["b" + str(idx)]
        )
        self.last_layer = SoftmaxWithLoss()

    def __init_weight(self, weight_init_std):
        all_size_list = [self.input_size] + self.hidden_size_list + [self.output_size]
        for idx in range(1, len(all_size_list)):
            scale = weight_init_std
            if str(weight_init_std).lower() in ("relu", "he"):
                scale = np.sqrt(2.0 / all_size_list[idx - 1])
            elif str(weight_init_std).lower() in ("sigmoid", "xavier"):
                scale = np.sqrt(1.0 / all_size_list[idx - 1])
            self.params["W" + str(idx)] = scale * np.random.randn(all_size_list[idx - 1], all_size_list[idx])
            self.params["b" + str(idx)] = np.zeros(all_size_list[idx])

    def predict(self, x, train_flg=False):
        for key, layer in self.layers.items():
            if "Dropout" in key or "BatchNorm" in key:
                x = layer.forward(x, train_flg)
            else:
                x = layer.forward(x)
        return x

    def loss(self, x, t, train_flg=False):
        y = self.predict(x, train_flg)
        weight_decay = 0
        for idx in range(1, self.hidden_layer_num + 2):
            W = self.params["W" + str(idx)]
            weight_decay += 0.5 * self.weight_decay_lambda * np.sum(W**2)
        return self.last_layer.forward(y, t) + weight_decay

    def numerical_gradient(self, X, T):
        return {
            key: slopes(lambda: self.loss(X, T, train_flg=True), p, 1e-4) for key, p in self.params.items()
        }

    def gradient(self, x, t):
        self.loss(x, t, train_flg=True)
        dout = 1
        dout = self.last_layer.backward(dout)
        layers = list(self.layers.values())
        layers.reverse()
        for layer in layers:
            dout = layer.backward(dout)

        grads = {}
        for idx in range(1, self.hidden_layer_num + 2):
            affine = self.layers["Affine" + str(idx)]
            grads["W" + str(idx)] = affine.dW + self.weight_decay_lambda * affine.W
            grads["b" + str(idx)] = affine.db
            if self.use_batchnorm and idx != self.hidden_layer_num + 1:
                grads["gamma" + str(idx)] = self.layers["BatchNorm" + str(idx)].dgamma
                grads["beta" + str(idx)] = self.layers["BatchNorm" + str(idx)].dbeta
        return grads


class SimpleConvNet:
    """conv - relu - pool - affine - relu - affine - softmax"""

    def __init__(
        self,
        input_dim=(1, 28, 28),
        conv_param={"filter_num": 30, "filter_size": 5, "pad": 0, "stride": 1},
        hidden_size=100,
        output_size=10,
        weight_init_std=0.01,
    ):
        filter_num = conv_param["filter_num"]
        filter_size = conv_param["filter_size"]
        filter_pad = conv_param["pad"]
        filter_stride = conv_param["stride"]
        input_size = input_dim[1]
        conv_output_size = int((input_size - filter_size + 2 * filter_pad) / filter_stride + 1)
        pool_output_size = int(filter_num * (conv_output_size / 2) * (conv_output_size / 2))

        self.params = {}
        self.params["W1"] = weight_init_std * np.random.randn(
            filter_num, input_dim[0], filter_size, filter_size
        )
        self.params["b1"] = np.zeros(filter_num)
        self.params["W2"] = weight_init_std * np.random.randn(pool_output_size, hidden_size)
        self.params["b2"] = np.zeros(hidden_size)
        self.params["W3"] = weight_init_std * np.random.randn(hidden_size, output_size)
        self.params["b3"] = np.zeros(output_size)

        self.layers = OrderedDict()
        self.layers["Conv1"] = Convolution(
            self.params["W1"], self.params["b1"], conv_param["stride"], conv_param["pad"]
        )
        self.layers["Relu1"] = Relu()
        self.layers["Pool1"] = Pooling(pool_h=2, pool_w=2, stride=2)
        self.layers["Affine1"] = TensorAffine(self.params["W2"], self.params["b2"])
        self.layers["Relu2"] = Relu()
        self.layers["Affine2"] = TensorAffine(self.params["W3"], self.params["b3"])
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x):
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        y = self.predict(x)
        return self.last_layer.forward(y, t)

    def gradient(self, x, t):
        self.loss(x, t)
        dout = 1
        dout = self.last_layer.backward(dout)
        layers = list(self.layers.values())
        layers.reverse()
        for layer in layers:
            dout = layer.backward(dout)

        grads = {}
        grads["W1"], grads["b1"] = self.layers["Conv1"].dW, self.layers["Conv1"].db
        grads["W2"], grads["b2"] = self.layers["Affine1"].dW, self.layers["Affine1"].db
        grads["W3"], grads["b3"] = self.layers["Affine2"].dW, self.layers["Affine2"].db
        return grads


class DeepConvNet:
    """(conv - relu - conv - relu - pool) three times, affine - relu - dropout - affine - dropout - softmax"""

    def __init__(self, input_dim, conv_params, hidden_size, output_size, dropout_ratio=0.5):
        self.params = {}
        pre_channel_num, size = input_dim[0], input_dim[1]
        for idx, conv_param in enumerate(conv_params):
            fan_in = pre_channel_num * conv_param["filter_size"] ** 2
            self.params["W" + str(idx + 1)] = np.sqrt(2.0 / fan_in) * np.random.randn(
                conv_param["filter_num"],
                pre_channel_num,
                conv_param["filter_size"],
                conv_param["filter_size"],
            )
            self.params["b" + str(idx + 1)] = np.zeros(conv_param["filter_num"])
            pre_channel_num = conv_param["filter_num"]
            size = 1 + (size + 2 * conv_param["pad"] - conv_param["filter_size"]) // conv_param["stride"]
            if idx % 2 == 1:
                size = size // 2
        flat = pre_channel_num * size * size
        self.params["W7"] = np.sqrt(2.0 / flat) * np.random.randn(flat, hidden_size)
        self.params["b7"] = np.zeros(hidden_size)
        self.params["W8"] = np.sqrt(2.0 / hidden_size) * np.random.randn(hidden_size, output_size)
        self.params["b8"] = np.zeros(output_size)

        self.layers = []
        for idx, conv_param in enumerate(conv_params):
            self.layers.append(
                Convolution(
                    self.params["W" + str(idx + 1)],
                    self.params["b" + str(idx + 1)],
                    conv_param["stride"],
                    conv_param["pad"],
                )
            )
            self.layers.append(Relu())
            if idx % 2 == 1:
                self.layers.append(Pooling(pool_h=2, pool_w=2, stride=2))
        self.layers.append(TensorAffine(self.params["W7"], self.params["b7"]))
        self.layers.append(Relu())
        self.layers.append(Dropout(dropout_ratio))
        self.layers.append(TensorAffine(self.params["W8"], self.params["b8"]))
        self.layers.append(Dropout(dropout_ratio))
        self.last_layer = SoftmaxWithLoss()

    def predict(self, x, train_flg=False):
        for layer in self.layers:
            if isinstance(layer, Dropout):
                x = layer.forward(x, train_flg)
            else:
                x = layer.forward(x)
        return x

    def loss(self, x, t):
        y = self.predict(x, train_flg=True)
        return self.last_layer.forward(y, t)

    def gradient(self, x, t):
        self.loss(x, t)
        dout = 1
        dout = self.last_layer.backward(dout)
        tmp_layers = self.layers.copy()
        tmp_layers.reverse()
        for layer in tmp_layers:
            dout = layer.backward(dout)

        grads = {}
        with_weights = [layer for layer in self.layers if isinstance(layer, (Convolution, TensorAffine))]
        for i, layer in enumerate(with_weights):
            grads["W" + str(i + 1)] = layer.dW
            grads["b" + str(i + 1)] = layer.db
        return grads


# --- what is checked -------------------------------------------------------------------------------------------------


def W_b(layer):
    return [(layer.W, layer.dW), (layer.b, layer.db)]


def gamma_beta(layer):
    return [(layer.gamma, layer.dgamma), (layer.beta, layer.dbeta)]


def layer_book(name, form, make, wrt=(0,), weights=lambda layer: [], before=lambda: None):
    """make() -> (layer, inputs)"""

    def call(gradlab):
        before()
        layer, inputs = make()
        return gradlab.check_layer(layer, *inputs)

    def prove():
        layer, inputs = make()
        return prove_layer(layer, inputs, wrt, weights, before)

    return Book("volume 1: " + name, form, call, prove)


def net_book(name, form, make, before=lambda: None, loss=None, joined=()):
    """make() -> (net, x, t)"""

    def call(gradlab):
        before()
        net, x, t = make()
        return gradlab.check_model(net, x, t)

    def prove():
        net, x, t = make()
        return prove_net(net, x, t, before, None if loss is None else lambda x, t: loss(net, x, t), joined)

    return Book("volume 1: " + name, form, call, prove)


def make_mul():
    rng = np.random.default_rng(101)
    return MulLayer(), (rng.standard_normal((3, 4)), rng.standard_normal((3, 4)))


def make_add():
    rng = np.random.default_rng(102)
    return AddLayer(), (rng.standard_normal((2, 5)), rng.standard_normal((2, 5)))


def make_shop_of_arrays():
    rng = np.random.default_rng(103)
    return FruitShop(), tuple(rng.uniform(0.5, 2.0, 4) for _ in range(5))


def make_relu():
    return Relu(), (spread(np.random.default_rng(104), 4, 5),)


def make_sigmoid():
    return Sigmoid(), (np.random.default_rng(105).standard_normal((4, 5)),)


def make_affine():
    rng = np.random.default_rng(106)
    return Affine(rng.standard_normal((3, 4)), rng.standard_normal(4)), (rng.standard_normal((5, 3)),)


def make_tensor_affine():
    rng = np.random.default_rng(107)
    return TensorAffine(rng.standard_normal((12, 4)), rng.standard_normal(4)), (
        rng.standard_normal((3, 2, 3, 2)),
    )


def make_softmax_one_hot():
    rng = np.random.default_rng(108)
    return SoftmaxWithLoss(), (rng.standard_normal((4, 5)), np.eye(5)[[1, 0, 4, 2]])


def make_softmax_labels():
    rng = np.random.default_rng(109)
    return SoftmaxWithLoss(), (rng.standard_normal((4, 5)), np.array([3, 0, 4, 3]))


def make_first_softmax():
    rng = np.random.default_rng(110)
    return FirstSoftmaxWithLoss(), (0.4 * rng.standard_normal((3, 10)), np.eye(10, dtype=int)[[7, 2, 1]])


def make_identity():
    rng = np.random.default_rng(111)
    return IdentityWithLoss(), (rng.standard_normal((4, 3)), rng.standard_normal((4, 3)))


def make_dropout():
    return Dropout(0.3), (np.random.default_rng(112).standard_normal((6, 5)),)


def make_batch_norm():
    rng = np.random.default_rng(113)
    return BatchNormalization(rng.uniform(0.5, 1.5, 4), rng.standard_normal(4)), (
        rng.standard_normal((6, 4)),
    )


def make_batch_norm_of_images():
    rng = np.random.default_rng(114)
    layer = BatchNormalization(rng.uniform(0.5, 1.5, 12), rng.standard_normal(12))
    return layer, (2.0 * rng.standard_normal((5, 3, 2, 2)) + 1.0,)


def make_conv():
    rng = np.random.default_rng(115)
    return Convolution(rng.standard_normal((3, 2, 3, 3)), rng.standard_normal(3)), (
        rng.standard_normal((2, 2, 5, 4)),
    )


def make_strided_conv():
    rng = np.random.default_rng(116)
    layer = Convolution(rng.standard_normal((2, 2, 3, 3)), rng.standard_normal(2), stride=2, pad=1)
    return layer, (rng.standard_normal((2, 2, 5, 5)),)


def make_uneven_conv():
    rng = np.random.default_rng(117)
    layer = Convolution(rng.standard_normal((2, 1, 2, 3)), rng.standard_normal(2), stride=2, pad=0)
    return layer, (rng.standard_normal((2, 1, 5, 6)),)


def make_pool():
    return Pooling(2, 2), (spread(np.random.default_rng(118), 2, 2, 4, 4),)


def make_overlapping_pool():
    return Pooling(3, 2, stride=1), (spread(np.random.default_rng(119), 2, 2, 4, 4),)


def train_biases(net):
    """Away from the zeros that they begin with, at which a relu behind nothing but zeros is at its kink."""
    for key, param in net.params.items():
        if key.startswith("b"):
            param += 0.2 * np.random.randn(*param.shape)


def make_numerical_net():
    np.random.seed(120)
    net = NumericalTwoLayerNet(input_size=6, hidden_size=4, output_size=3, weight_init_std=0.5)
    return net, np.random.rand(5, 6), np.eye(3)[[0, 2, 1, 1, 0]]


def make_numerical_net_small_weights():
    np.random.seed(121)
    net = NumericalTwoLayerNet(input_size=8, hidden_size=5, output_size=3)
    return net, np.random.rand(4, 8), np.eye(3)[[0, 2, 1, 2]]


def make_two_layer_net():
    np.random.seed(122)
    net = TwoLayerNet(input_size=6, hidden_size=5, output_size=3, weight_init_std=0.7)
    return net, np.random.rand(4, 6), np.eye(3)[[0, 2, 1, 1]]


def make_two_layer_net_labels():
    np.random.seed(123)
    net = TwoLayerNet(input_size=6, hidden_size=5, output_size=3, weight_init_std=0.7)
    return net, np.random.rand(4, 6), np.array([2, 0, 1, 1])


def make_two_layer_net_small_weights():
    np.random.seed(1024)
    net = TwoLayerNet(input_size=8, hidden_size=3, output_size=3)
    return net, np.random.rand(3, 8), np.eye(3)[[0, 2, 1]]


def make_multi_layer_net():
    np.random.seed(125)
    net = MultiLayerNet(input_size=5, hidden_size_list=[6, 5], output_size=3, weight_decay_lambda=0.1)
    return net, np.random.randn(4, 5), np.array([2, 0, 1, 1])


def make_sigmoid_multi_layer_net():
    np.random.seed(126)
    net = MultiLayerNet(
        5, [4, 3], 3, activation="sigmoid", weight_init_std="sigmoid", weight_decay_lambda=0.2
    )
    return net, np.random.randn(4, 5), np.eye(3)[[2, 0, 1, 1]]


def make_undecayed_multi_layer_net():
    np.random.seed(427)
    net = MultiLayerNet(5, [6, 5, 5], 3)
    return net, np.random.randn(4, 5), np.array([2, 0, 0, 1])


def make_batch_norm_net():
    np.random.seed(128)
    net = MultiLayerNetExtend(4, [4, 3], 3, use_batchnorm=True)
    return net, np.random.randn(6, 4), np.array([2, 0, 1, 1, 0, 2])


def make_dropout_net():
    np.random.seed(129)
    net = MultiLayerNetExtend(4, [6, 5], 3, use_dropout=True, dropout_ration=0.2, weight_decay_lambda=0.05)
    train_biases(net)
    return net, np.random.randn(4, 4), np.eye(3)[[2, 0, 1, 1]]


def make_dropout_batch_norm_net():
    np.random.seed(130)
    net = MultiLayerNetExtend(
        4, [5, 4], 3, activation="sigmoid", weight_init_std="sigmoid", use_dropout=True, dropout_ration=0.2,
        use_batchnorm=True, weight_decay_lambda=0.05,
    )  # fmt: skip
    return net, np.random.randn(6, 4), np.array([2, 0, 1, 1, 0, 2])


def make_simple_conv_net():
    np.random.seed(131)
    net = SimpleConvNet(
        input_dim=(1, 6, 6),
        conv_param={"filter_num": 2, "filter_size": 3, "pad": 0, "stride": 1},
        hidden_size=5,
        output_size=3,
        weight_init_std=0.5,
    )
    return net, np.random.rand(3, 1, 6, 6), np.array([2, 0, 1])


def make_deep_conv_net():
    np.random.seed(632)
    pads = [1, 1, 1, 2, 1, 1]
    channels = [2, 2, 2, 3, 3, 3]
    net = DeepConvNet(
        (1, 8, 8),
        [
            {"filter_num": c, "filter_size": 3, "pad": p, "stride": 1}
            for c, p in zip(channels, pads, strict=True)
        ],
        hidden_size=6,
        output_size=3,
        dropout_ratio=0.2,
    )
    train_biases(net)
    return net, np.random.randn(2, 1, 8, 8), np.array([2, 0])


def prove_sum_squared_error():
    rng = np.random.default_rng(133)
    y, t = rng.standard_normal(6), rng.standard_normal(6)
    return [(y - t, slopes(lambda: sum_squared_error(y, t), y))]


def call_sum_squared_error(gradlab):
    rng = np.random.default_rng(133)
    y, t = rng.standard_normal(6), rng.standard_normal(6)
    return gradlab.check_gradient(sum_squared_error, lambda y, t: y - t, y, args=(t,))


def cross_entropy_error_grad(y, t):
    return -t / (y + 1e-7) / y.shape[0]


def make_cross_entropy():
    return softmax(np.random.default_rng(134).standard_normal((3, 4))), np.eye(4)[[1, 3, 0]]


def prove_cross_entropy():
    y, t = make_cross_entropy()
    return [(cross_entropy_error_grad(y, t), slopes(lambda: cross_entropy_error(y, t), y))]


def call_cross_entropy(gradlab):
    y, t = make_cross_entropy()
    return gradlab.check_gradient(cross_entropy_error, cross_entropy_error_grad, y, args=(t,))


def call_sigmoid_grad(gradlab):
    x = np.random.default_rng(135).standard_normal(7)
    return gradlab.check_gradient(lambda x: np.sum(sigmoid(x)), sigmoid_grad, x)


def prove_sigmoid_grad():
    x = np.random.default_rng(135).standard_normal(7)
    return [(sigmoid_grad(x), slopes(lambda: np.sum(sigmoid(x)), x))]


def trained(net, x, t):
    return net.loss(x, t, train_flg=True)


ENTRIES = [
    Book(
        "volume 1: MulLayer, numbers",
        "two plain floats, as with the apples",
        lambda gradlab: gradlab.check_layer(MulLayer(), 100.0, 2.0),
        lambda: prove_scalars(MulLayer(), (100.0, 2.0)),
    ),
    layer_book("MulLayer", "two arrays in, dx and dy out", make_mul, (0, 1)),
    Book(
        "volume 1: AddLayer, numbers",
        "two plain floats; keeps nothing",
        lambda gradlab: gradlab.check_layer(AddLayer(), 200.0, 450.0),
        lambda: prove_scalars(AddLayer(), (200.0, 450.0)),
    ),
    layer_book("AddLayer", "two arrays in, dx and dy out; keeps nothing", make_add, (0, 1)),
    Book(
        "volume 1: apples and oranges, numbers",
        "a graph of four layers over five plain floats",
        lambda gradlab: gradlab.check_layer(FruitShop(), 100.0, 2.0, 150.0, 3.0, 1.1),
        lambda: prove_scalars(FruitShop(), (100.0, 2.0, 150.0, 3.0, 1.1)),
    ),
    layer_book(
        "apples and oranges", "a graph of four layers over five arrays", make_shop_of_arrays, tuple(range(5))
    ),
    layer_book("Relu", "mask; backward overwrites dout in place and returns it", make_relu),
    layer_book("Sigmoid", "keeps out", make_sigmoid),
    layer_book("Affine", "matrices; dW and db as attributes", make_affine, (0,), W_b),
    layer_book(
        "Affine, tensors", "reshapes four axes to two and back; dW and db", make_tensor_affine, (0,), W_b
    ),
    layer_book(
        "SoftmaxWithLoss, one-hot",
        "backward(dout=1) ignores dout, divides by the batch",
        make_softmax_one_hot,
    ),
    layer_book(
        "SoftmaxWithLoss, labels", "backward(dout=1) ignores dout, divides by the batch", make_softmax_labels
    ),
    layer_book("SoftmaxWithLoss, first form", "integer one-hot only; ignores dout", make_first_softmax),
    layer_book(
        "identity with sum of squares", "y - t over the batch; ignores dout, no gradient of t", make_identity
    ),
    Book(
        "volume 1: sum_squared_error",
        "a function and its gradient y - t",
        call_sum_squared_error,
        prove_sum_squared_error,
    ),
    Book(
        "volume 1: cross_entropy_error",
        "+ 1e-7 in the log, batch, one-hot; a function and its gradient",
        call_cross_entropy,
        prove_cross_entropy,
    ),
    Book(
        "volume 1: sigmoid_grad", "the derivative as a function of x", call_sigmoid_grad, prove_sigmoid_grad
    ),
    layer_book(
        "Dropout",
        "a new mask from np.random.rand in every forward; not scaled",
        make_dropout,
        before=lambda: np.random.seed(1),
    ),
    layer_book(
        "BatchNormalization", "running averages change with every forward", make_batch_norm, (0,), gamma_beta
    ),
    layer_book(
        "BatchNormalization, images", "four axes, flattened", make_batch_norm_of_images, (0,), gamma_beta
    ),
    layer_book("Convolution", "im2col and col2im", make_conv, (0,), W_b),
    layer_book(
        "Convolution, stride and pad", "im2col and col2im, stride 2, pad 1", make_strided_conv, (0,), W_b
    ),
    layer_book(
        "Convolution, uneven",
        "a filter 2 x 3 whose strides leave a border unused",
        make_uneven_conv,
        (0,),
        W_b,
    ),
    layer_book("Pooling", "argmax of im2col", make_pool),
    layer_book("Pooling, overlapping", "windows 3 x 2 with stride 1", make_overlapping_pool),
    net_book("TwoLayerNet, chapter 4", "gradient() by hand, sigmoid, one-hot", make_numerical_net),
    net_book(
        "TwoLayerNet, chapter 4, std 0.01", "the book's own initial weights", make_numerical_net_small_weights
    ),
    net_book("TwoLayerNet, chapter 5", "layers in an OrderedDict, one-hot", make_two_layer_net),
    net_book("TwoLayerNet, chapter 5, labels", "layers in an OrderedDict, labels", make_two_layer_net_labels),
    net_book(
        "TwoLayerNet, chapter 5, std 0.01", "the book's own initial weights", make_two_layer_net_small_weights
    ),
    net_book("MultiLayerNet", "relu, He, weight decay", make_multi_layer_net),
    net_book(
        "MultiLayerNet, sigmoid", "sigmoid, Xavier, weight decay, one-hot", make_sigmoid_multi_layer_net
    ),
    net_book("MultiLayerNet, no decay", "three hidden layers of relu", make_undecayed_multi_layer_net),
    net_book(
        "MultiLayerNetExtend, batch norm",
        "loss(x, t, train_flg=False), but gradient() is that of train_flg=True",
        make_batch_norm_net,
        loss=trained,
        joined=[("W1", "b1"), ("W2", "b2")],
    ),
    net_book(
        "MultiLayerNetExtend, dropout",
        "loss(x, t, train_flg=False), but gradient() is that of train_flg=True; masks from np.random",
        make_dropout_net,
        before=lambda: np.random.seed(2),
        loss=trained,
    ),
    net_book(
        "MultiLayerNetExtend, batch norm and dropout",
        "loss(x, t, train_flg=False), but gradient() is that of train_flg=True; masks from np.random",
        make_dropout_batch_norm_net,
        before=lambda: np.random.seed(3),
        loss=trained,
        joined=[("W1", "b1"), ("W2", "b2")],
    ),
    net_book("SimpleConvNet", "conv, pool, two affines", make_simple_conv_net),
    net_book(
        "DeepConvNet",
        "six convs, three pools; loss() draws new dropout masks from np.random each time",
        make_deep_conv_net,
        before=lambda: np.random.seed(4),
    ),
]
