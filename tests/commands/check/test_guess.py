"""What nobody said is guessed, and said."""

import json
import shlex

import pytest

MORE = """
    import numpy as np

    class Linear:
        def __init__(self, in_features, out_features, bias=True):
            self.W = np.random.randn(out_features, in_features)
            self.b = np.random.randn(out_features)
        def forward(self, x):
            self.x = x
            return x @ self.W.T + self.b
        def backward(self, dout):
            self.dW, self.db = dout.T @ self.x, dout.sum(axis=0)
            return dout @ self.W

    class Columns:
        def __init__(self, n_in: int, n_out: int):
            self.W, self.b = np.random.randn(n_out, n_in), np.random.randn(n_out, 1)
        def forward(self, x):
            self.x = x
            return self.W @ x + self.b
        def backward(self, dout):
            self.dW, self.db = dout @ self.x.T, dout.sum(axis=1, keepdims=True)
            return self.W.T @ dout

    class Embedding:
        def __init__(self, W):
            self.params, self.grads = [W], [np.zeros_like(W)]
        def forward(self, idx):
            self.idx = idx
            return self.params[0][idx]
        def backward(self, dout):
            self.grads[0][...] = 0
            np.add.at(self.grads[0], self.idx, dout)

    class RNN:
        def __init__(self, Wx, Wh, b):
            self.params = [Wx, Wh, b]
            self.grads = [np.zeros_like(p) for p in self.params]
        def forward(self, x, h_prev):
            Wx, Wh, b = self.params
            self.x, self.h_prev, self.h = x, h_prev, np.tanh(h_prev @ Wh + x @ Wx + b)
            return self.h
        def backward(self, dh):
            Wx, Wh, b = self.params
            dt = dh * (1 - self.h**2)
            for grad, new in zip(self.grads, (self.x.T @ dt, self.h_prev.T @ dt, dt.sum(axis=0))):
                grad[...] = new
            return dt @ Wx.T, dt @ Wh.T

    class AveragePool:
        def __init__(self, pool_h, pool_w):
            self.h, self.w = pool_h, pool_w
        def forward(self, x):
            N, C, H, W = self.shape = x.shape
            return x.reshape(N, C, H // self.h, self.h, W // self.w, self.w).mean(axis=(3, 5))
        def backward(self, dout):
            return np.repeat(np.repeat(dout, self.h, axis=2), self.w, axis=3) / (self.h * self.w)

    class BatchNorm:
        def __init__(self, hidden_size, eps=1e-5):
            self.gamma, self.beta, self.eps = np.ones(hidden_size), np.zeros(hidden_size), eps
        def forward(self, x):
            self.std = np.sqrt(x.var(axis=0) + self.eps)
            self.xn = (x - x.mean(axis=0)) / self.std
            return self.gamma * self.xn + self.beta
        def backward(self, dout):
            self.dgamma, self.dbeta = (dout * self.xn).sum(axis=0), dout.sum(axis=0)
            d = dout * self.gamma
            return (d - d.mean(axis=0) - self.xn * (d * self.xn).mean(axis=0)) / self.std

    class CrossEntropy:
        def forward(self, y, t):
            self.y, self.t = y, t
            return -np.sum(t * np.log(y)) / len(y)
        def backward(self, dout=1):
            return -dout * self.t / self.y / len(self.y)

    class LabelLoss:
        def forward(self, x, t=None):
            e = np.exp(x - x.max(axis=1, keepdims=True))
            self.y, self.t = e / e.sum(axis=1, keepdims=True), t
            return -np.mean(np.log(self.y[np.arange(len(x)), t]))
        def backward(self, dout=1):
            d = self.y.copy()
            d[np.arange(len(d)), self.t] -= 1
            return dout * d / len(d)

    class Log:
        def forward(self, x):
            self.x = x
            return np.log(x)
        def backward(self, dout):
            return dout / self.x

    class Multiply:
        def forward(self, x, y):
            self.x, self.y = x, y
            return x * y
        def backward(self, dout):
            return dout * self.y, dout * self.x

    class TimeAffine:
        def __init__(self, W, b):
            self.W, self.b = W, b
        def forward(self, xs):
            N, T, D = xs.shape
            self.xs = xs
            return (xs.reshape(N * T, D) @ self.W + self.b).reshape(N, T, -1)
        def backward(self, dout):
            N, T, D = self.xs.shape
            d = dout.reshape(N * T, -1)
            self.dW, self.db = self.xs.reshape(N * T, D).T @ d, d.sum(axis=0)
            return (d @ self.W.T).reshape(N, T, D)
"""
GUESSED = {
    "Linear": '--init \'{"in_features": 4, "out_features": 5}\' --input 3x4',
    "Columns": '--init \'{"n_in": 3, "n_out": 5}\' --input 3x4',
    "Embedding": "--init '{\"W\": {\"shape\": [6, 5]}}' --input '3:int<6'",
    "RNN": '--init \'{"Wx": {"shape": [4, 5]}, "Wh": {"shape": [5, 5]}, "b": {"shape": [5]}}\''
    " --input 3x4 --input 3x5",
    "AveragePool": '--init \'{"pool_h": 2, "pool_w": 2}\' --input 2x3x2x4',
    "BatchNorm": "--init '{\"hidden_size\": 4}' --input 3x4",
    "CrossEntropy": "--input 3x4:probabilities --input 3x4:onehot",
    "LabelLoss": "--input 3x4 --input '3:int<4'",
    "Log": "--input 3x4:probabilities",
    "Multiply": "--input 3x4 --input 3x4",
    "TimeAffine": '--init \'{"W": {"shape": [4, 5]}, "b": {"shape": [5]}}\' --input 2x3x4',
}


@pytest.mark.parametrize("name", GUESSED)
def test_a_layer_is_made_and_called_by_what_its_names_say(project, check, name):
    project.write("more.py", MORE)
    target = f"more:{name}"
    status, out, _ = check(target, "--format", "json")
    assert json.loads(out)["environment"]["guessed"] == {target: GUESSED[name]}
    assert status == 0
    # what is said can be given, and then nothing is guessed
    status, again, _ = check(target, *shlex.split(GUESSED[name]), "--format", "json")
    assert status == 0
    assert "guessed" not in json.loads(again)["environment"]
    assert len(json.loads(again)["rows"]) == len(json.loads(out)["rows"])


def test_weights_fit_the_inputs_that_were_given(project, check):
    project.write("more.py", MORE)
    status, out, _ = check("more:Linear", "--input", "2x7", "--format", "json")
    assert status == 0
    assert json.loads(out)["environment"]["guessed"] == {
        "more:Linear": '--init \'{"in_features": 7, "out_features": 5}\''
    }


def test_inputs_fit_the_weights_that_were_given(project, check):
    status, out, _ = check(
        "layers:Affine", "--init", '{"W": {"shape": [4, 2]}, "b": [0.5, 1.5]}', "--format", "json"
    )
    assert status == 0
    assert json.loads(out)["environment"]["guessed"] == {"layers:Affine": "--input 3x4"}


def test_the_table_says_what_was_guessed(check):
    _, out, _ = check("layers:SQUARE")
    assert "Guessed, where nothing was said (give what is meant instead):\nlayers:SQUARE --input 3x4" in out
    assert "guessed" not in check("layers:SQUARE", "--input", "3x4")[1]


def test_inputs_that_no_guess_fits(project, check):
    project.write(
        "five.py",
        """
        class Five:
            def forward(self, x, y):
                if x.shape != (5, 5, 5):
                    raise ValueError(f"no {x.shape}")
                return x
            def backward(self, dout):
                return dout
        """,
    )
    status, _, err = check("five:Five")
    assert status == 2
    assert "with --input 3x4 --input 3x4 Five.forward raised ValueError: no (3, 4)" in err
    assert "give --input SHAPE for each of x, y, or --samples MODULE:FUNCTION" in err


@pytest.mark.parametrize(("given", "status"), [("dout", 0), ("(0 * dout + 7.0)", 1)])
def test_a_layer_whose_backward_raises_at_the_first_guess_is_tried_at_others(project, check, given, status):
    project.write(
        "images.py",
        f"""
        class Shift:
            def forward(self, x):
                return x + 1.0
            def backward(self, dout):
                return {given}.transpose(0, 2, 3, 1).transpose(0, 3, 1, 2).copy()
        """,
    )
    found, out, _ = check("images:Shift", "--format", "json")
    assert found == status
    assert json.loads(out)["environment"]["guessed"] == {"images:Shift": "--input 2x3x2x4"}


def test_a_layer_of_sequences_that_takes_rows_too_is_looked_at_where_it_is_right(project, check):
    project.write(
        "sequences.py",
        """
        import numpy as np

        class Shift:
            def __init__(self, beta):
                self.beta = beta
            def forward(self, xs):
                return xs + self.beta
            def backward(self, dout):
                self.dbeta = dout.sum(axis=(0, 1))
                return dout.copy()

        class SingleSample:
            def __init__(self, b):
                self.b = b
            def forward(self, x):
                return x + self.b
            def backward(self, dout):
                self.db = dout[0].copy() if dout.ndim > 1 else dout.copy()
                return dout.copy()
        """,
    )
    status, out, _ = check("sequences:Shift", "--format", "json")
    assert (status, json.loads(out)["environment"]["guessed"]) == (
        0,
        {"sequences:Shift": '--init \'{"beta": {"shape": [4]}}\' --input 2x3x4'},
    )
    # with fewer axes it would be right, and a sum over the batch is what it forgets
    assert check("sequences:SingleSample")[0] == 1


def test_weights_one_behind_the_other(project, check):
    project.write(
        "nets.py",
        """
        import numpy as np

        class TwoLayers:
            def __init__(self, W1, b1, W2, b2):
                self.params = [W1, b1, W2, b2]
                self.grads = [np.zeros_like(p) for p in self.params]
            def forward(self, x):
                W1, b1, W2, b2 = self.params
                self.x, self.h = x, np.tanh(x @ W1 + b1)
                return self.h @ W2 + b2
            def backward(self, dout):
                W1, b1, W2, b2 = self.params
                dh = (dout @ W2.T) * (1 - self.h**2)
                for grad, new in zip(self.grads, (self.x.T @ dh, dh.sum(0), self.h.T @ dout, dout.sum(0))):
                    grad[...] = new
                return dh @ W1.T
        """,
    )
    status, out, _ = check("nets:TwoLayers", "--format", "json")
    assert status == 0
    assert (
        '"W2": {"shape": [5, 3]}, "b2": {"shape": [3]}'
        in json.loads(out)["environment"]["guessed"]["nets:TwoLayers"]
    )
