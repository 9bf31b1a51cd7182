"""Incremental differences against the plain loop: graph models."""

import numpy as np
import pytest

from gradlab.textbook.models.graph import (
    GRU,
    LSTM,
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GraphLayer,
    Input,
    MaxPooling2D,
    Model,
    Sequential,
)

from .plain_loop import assert_same, no_backward, sparse

__all__ = ["no_backward"]  # a fixture, for all tests here

N, D, K = 5, 6, 3
LABELS = np.array([0, 2, 1, 1, 0])
SPARSE_LOSS = "sparse_categorical_crossentropy"


def assert_model(model, x, t, loss, **compiled):
    rng = np.random.default_rng(7)
    for p in model.params.values():
        p += 0.3 * rng.standard_normal(p.shape)  # biases begin as 0
    model.compile(loss=loss, **compiled)
    kept = {name: p.copy() for name, p in model.params.items()}
    state = {name: a.copy() for name, a in model.state.items()}
    found = model.incremental_gradient(x, t, rng=3)
    assert all(np.array_equal(kept[name], p) for name, p in model.params.items())
    assert all(np.array_equal(state[name], a) for name, a in model.state.items())
    assert_same(found, lambda: model.loss(x, t, rng=3), model.params)


def classifier(*layers):
    return Sequential([*layers, Dense(K, "softmax")], rng=1)


CLASSIFIERS = {
    "dense": lambda: classifier(Dense(4, "relu", input_shape=(D,))),
    "three dense": lambda: classifier(
        Dense(4, "tanh", input_shape=(D,)), Dense(3, "elu"), Activation("sigmoid")
    ),
    "dropout": lambda: classifier(Dense(7, "relu", input_shape=(D,)), Dropout(0.4), Dense(4), Dropout(0.2)),
    "dropout of the input": lambda: classifier(Dropout(0.3, input_shape=(D,)), Dense(4, "relu")),
    "softmax in the middle": lambda: classifier(Dense(4, "softmax", input_shape=(D,))),
    "batch normalisation": lambda: classifier(
        Dense(4, "relu", input_shape=(D,)), BatchNormalization(), Dense(3, "tanh")
    ),
    "batch normalisation last": lambda: Sequential(
        [Dense(K, input_shape=(D,)), BatchNormalization(), Activation("softmax")], rng=1
    ),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("batch", [2, 5])
def test_classifiers(name, batch):
    x = sparse(np.random.default_rng(0), batch, D)
    assert_model(CLASSIFIERS[name](), x, LABELS[:batch], SPARSE_LOSS)
    assert_model(CLASSIFIERS[name](), x, np.eye(K)[LABELS[:batch]], "categorical_crossentropy")


@pytest.mark.parametrize(
    "activation", ["elu", "gelu", "relu", "selu", "silu", "softplus", "softsign", "tanh"]
)
def test_activations_and_losses_of_numbers(activation):
    rng = np.random.default_rng(0)
    x, t = sparse(rng, N, D), rng.standard_normal((N, 2))
    for loss in ("mse", "mae", "huber"):
        model = Sequential([Dense(4, activation, input_shape=(D,)), Dense(2)])
        assert_model(model, x, t, loss)


def test_two_classes():
    model = Sequential([Dense(4, "tanh", input_shape=(D,)), Dense(1, "sigmoid")])
    assert_model(model, sparse(np.random.default_rng(0), N, D), LABELS % 2, "binary_crossentropy")


def test_images():
    model = classifier(
        Conv2D(2, 3, padding="same", activation="relu", input_shape=(4, 4, 2)), MaxPooling2D(2), Flatten()
    )
    assert_model(model, np.random.default_rng(0).standard_normal((N, 4, 4, 2)), LABELS, SPARSE_LOSS)


@pytest.mark.parametrize("recurrent", [LSTM, GRU])
def test_words(recurrent):
    model = classifier(
        Embedding(9, 2, input_shape=(4,)), recurrent(3, return_sequences=True), Dense(3, "tanh"), recurrent(2)
    )
    ids = np.random.default_rng(0).integers(9, size=(N, 4))
    assert_model(model, ids, LABELS, SPARSE_LOSS)


def test_a_class_at_every_step():
    model = Sequential([GRU(3, return_sequences=True, input_shape=(4, 2)), Dense(K, "softmax")])
    rng = np.random.default_rng(0)
    assert_model(model, rng.standard_normal((N, 4, 2)), rng.integers(K, size=(N, 4)), SPARSE_LOSS)


def test_label_sequences():
    model = Sequential([Dense(3, "tanh", input_shape=(4, 2)), Dense(K, "softmax")])
    assert_model(
        model, np.random.default_rng(0).standard_normal((N, 4, 2)), np.tile([1, 2, 0], (N, 1)), "ctc"
    )


def test_branches_and_a_shared_layer():
    x = Input((D,))
    shared = Dense(D, "tanh")
    left = shared(x)
    joined = Concatenate()([Add()([left, shared(left)]), Dense(3, "silu")(x), x])
    rng = np.random.default_rng(0)
    assert_model(Model(x, Dense(2)(joined)), sparse(rng, N, D), rng.standard_normal((N, 2)), "mse")


@pytest.mark.parametrize("dropped", [0.0, 0.4])
def test_several_inputs_and_outputs(dropped):
    left, right = Input((D,), "left"), Input((2,), "right")
    both = Concatenate()([Dense(4, "relu")(left), right])
    hidden = Dropout(dropped)(both)
    model = Model([left, right], [Dense(K, "softmax")(hidden), Dense(1)(both), hidden])
    rng = np.random.default_rng(0)
    x = [sparse(rng, N, D), rng.standard_normal((N, 2))]
    t = [LABELS, rng.standard_normal(N), rng.standard_normal((N, 6))]
    assert_model(model, x, t, [SPARSE_LOSS, "mae", "mse"], loss_weights=[0.5, 2.0, -0.3])


class Noise(GraphLayer):
    """A layer of somebody else's, which draws at every call."""

    def forward(self, inputs, training, rng):
        return inputs[0] * rng.random(inputs[0].shape) + inputs[0].mean(), None


class MoreDense(Dense):
    """What it adds ties the rows, which its base class does not."""

    def forward(self, inputs, training, rng):
        y, residuals = super().forward(inputs, training, rng)
        return y + y.mean(axis=0), residuals


@pytest.mark.parametrize("layer", [Noise, lambda: MoreDense(4)])
def test_layers_of_somebody_elses(layer):
    model = classifier(Dense(4, "relu", input_shape=(D,)), Dropout(0.3), layer(), Dropout(0.3))
    assert_model(model, sparse(np.random.default_rng(0), N, D), LABELS, SPARSE_LOSS)


def test_single_precision():
    model = CLASSIFIERS["dropout"]()
    model.compile(loss=SPARSE_LOSS)
    x = sparse(np.random.default_rng(0), N, D)
    precise = model.incremental_gradient(x, LABELS, rng=3)
    found = model.astype(np.float32).incremental_gradient(x, LABELS, rng=3)
    for name, wanted in precise.items():
        assert found[name].dtype == np.float32
        # the loss has seven digits, and the step is 1e-4
        np.testing.assert_allclose(found[name], wanted, atol=1e-2)
