"""Every node of the family recurrent agrees with torch, on random shapes, blocks of steps and starts of them."""

import pytest

from gradlab.node import as_tuple

from ._torch import batch, compare, numbers, torch


def blocks(rng, steps, count, units, *names):
    """Return settings of a truncation, or none; now and then with the states that the blocks begin with."""
    if rng.integers(3) == 0:
        return {}
    truncation = int(rng.integers(1, steps + 2))
    settings = {"truncation": truncation}
    later = -(-steps // truncation) - 1
    # of several states all are given, or none
    given = names if rng.integers(2) else ()
    return settings | {name: numbers(rng, count, later, units) for name in given}


def in_blocks(step, x, states, settings, names):
    """Return the outputs of all blocks of steps, and the last states.

    Every block but the first begins with given states, or with those of the block before, as data.
    """
    outputs = []
    for i, block in enumerate(x.split(settings.get("truncation", x.shape[1]), dim=1)):
        if i:
            states = [
                torch.tensor(settings[name][:, i - 1]) if name in settings else state.detach()
                for state, name in zip(states, names, strict=True)
            ]
        output, states = step(block, states)
        outputs.append(output)
    return torch.cat(outputs, dim=1), states


def arrays(rng, gates, states):
    # torch wants at least one step
    count, steps = batch(rng), int(rng.integers(1, 6))
    features, units = (int(n) for n in rng.integers(1, 5, 2))
    x, Wx = numbers(rng, count, steps, features), rng.standard_normal((features, gates * units))
    Wh, b = rng.standard_normal((units, gates * units)), rng.standard_normal(gates * units)
    return x, *(numbers(rng, count, units) for _ in range(states)), Wx, Wh, b


def named(Wx, Wh, b, ending=""):
    """Return the weights by torch's names; there is a second bias there, of h."""
    weights = {"weight_ih": Wx.T, "weight_hh": Wh.T, "bias_ih": b, "bias_hh": torch.zeros_like(b)}
    return {name + ending: weight for name, weight in weights.items()}


def torch_layer(kind, Wx, Wh, b):
    """Return a layer of torch with these weights, as a function of x and a list of states."""
    layer = kind(len(Wx), len(Wh), batch_first=True, dtype=torch.float64)

    def run(x, states):
        first = tuple(state[None] for state in states)
        first = first if len(first) > 1 else first[0]
        output, last = torch.func.functional_call(layer, named(Wx, Wh, b, "_l0"), (x, first))
        return output, [state[0] for state in as_tuple(last)]

    return run


def torch_cell(kind, x, state, Wx, Wh, b):
    cell = kind(len(Wx), len(Wh), dtype=torch.float64)
    return torch.func.functional_call(cell, named(Wx, Wh, b), (x, state))


def reordered(order, *weights, signs=None):
    """Return weights with their blocks of columns in another order, as torch has them."""
    blocks = [w.chunk(len(order), dim=-1) for w in weights]
    return [torch.cat([w[i] * (signs[i] if signs else 1) for i in order], dim=-1) for w in blocks]


def lstm_as_torch(*weights):
    # f, g, i, o there are i, f, g, o in torch
    return reordered((2, 0, 1, 3), *weights)


def gru_as_torch(*weights):
    # z, r, n are r, z, n in torch, whose z keeps where this one renews: 1 - sigmoid(a) is sigmoid(-a)
    return reordered((1, 0, 2), *weights, signs=(-1, 1, 1))


def textbook_gru(x, h, Wx, Wh, b):
    """Return the next h where the gate r acts on h before the product with the weights, in operations of torch.

    In torch's own cell r multiplies the product instead; with a single unit the two are one.
    """
    (Wx_z, Wx_r, Wx_n), (Wh_z, Wh_r, Wh_n), (b_z, b_r, b_n) = (w.chunk(3, dim=-1) for w in (Wx, Wh, b))
    z = torch.sigmoid(x @ Wx_z + h @ Wh_z + b_z)
    r = torch.sigmoid(x @ Wx_r + h @ Wh_r + b_r)
    return torch.lerp(h, torch.tanh(x @ Wx_n + (r * h) @ Wh_n + b_n), z)


def rnn(rng):
    primals = arrays(rng, 1, 1)
    settings = blocks(rng, primals[0].shape[1], *primals[1].shape, "starts")

    def function(x, h0, *weights):
        return in_blocks(torch_layer(torch.nn.RNN, *weights), x, [h0], settings, ["starts"])[0]

    return primals, settings, function


def lstm(rng):
    primals = arrays(rng, 4, 2)
    names = "h_starts", "c_starts"
    settings = blocks(rng, primals[0].shape[1], *primals[1].shape, *names)

    def function(x, h0, c0, *weights):
        run = torch_layer(torch.nn.LSTM, *lstm_as_torch(*weights))
        outputs, (_, c) = in_blocks(run, x, [h0, c0], settings, names)
        return outputs, c

    return primals, settings, function


def gru(rng):
    primals = arrays(rng, 3, 1)
    settings = blocks(rng, primals[0].shape[1], *primals[1].shape, "starts")

    def function(x, h0, *weights):
        def run(block, states):
            (h,) = states
            outputs = [h := textbook_gru(step, h, *weights) for step in block.unbind(1)]
            return torch.stack(outputs, dim=1), [h]

        if h0.shape[1] == 1:
            run = torch_layer(torch.nn.GRU, *gru_as_torch(*weights))
        return in_blocks(run, x, [h0], settings, ["starts"])[0]

    return primals, settings, function


def cell_arrays(rng, gates, states):
    x, *others = arrays(rng, gates, states)
    return x[:, 0], *others


def rnn_cell(rng):
    return cell_arrays(rng, 1, 1), {}, lambda x, h, *weights: torch_cell(torch.nn.RNNCell, x, h, *weights)


def lstm_cell(rng):
    def function(x, h, c, *weights):
        return torch_cell(torch.nn.LSTMCell, x, (h, c), *lstm_as_torch(*weights))

    return cell_arrays(rng, 4, 2), {}, function


def gru_cell(rng):
    def function(x, h, *weights):
        if h.shape[1] == 1:
            return torch_cell(torch.nn.GRUCell, x, h, *gru_as_torch(*weights))
        return textbook_gru(x, h, *weights)

    return cell_arrays(rng, 3, 1), {}, function


# Where every unit is saturated, 1 - h^2 and the nodes' 1 - z are what rounding leaves of a difference of equals,
# times primals of about 30. In torch so is 1 - h^2, but its tanh rounds otherwise than NumPy's.
FLOOR = 1e-13

DRAWN = {
    "gru": gru,
    "gru_cell": gru_cell,
    "lstm": lstm,
    "lstm_cell": lstm_cell,
    "rnn": rnn,
    "rnn_cell": rnn_cell,
}


@pytest.mark.parametrize("name", DRAWN)
def test_as_torch(name):
    compare(name, DRAWN[name], FLOOR)
