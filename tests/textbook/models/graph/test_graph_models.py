"""Sequential and graph models: shapes, gradients, and what is refused when a model is built."""

import doctest
from importlib import import_module

import numpy as np
import pytest

from gradlab.nodes import NODES
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
    Input,
    MaxPooling2D,
    Model,
    Sequential,
)
from gradlab.textbook.models.model_check import check_model

RNG = np.random.default_rng(0)


def whole_error(report):
    """Return the relative error of the gradient as one vector."""
    (row,) = [row for row in report.rows if row.primal == "all"]
    return row.relative_error


def assert_right(model, x, t):
    before = {name: a.copy() for name, a in {**model.params, **model.state}.items()}
    report = check_model(model, x, t)
    report.raise_if_failed()
    assert [row.primal for row in report.rows] == [*model.params, "all"]
    assert whole_error(report) < 1e-8
    assert all(np.array_equal(before[name], a) for name, a in {**model.params, **model.state}.items())


def compiled(model, loss, **more):
    model.compile("sgd", loss, **more)
    return model


def test_shapes_are_inferred_after_the_first_layer():
    model = Sequential(
        [Dense(32, activation="relu", input_shape=(784,)), Dense(10, activation="softmax")], rng=3
    )
    assert {name: a.shape for name, a in model.params.items()} == {
        "dense/W": (784, 32),
        "dense/b": (32,),
        "dense_1/W": (32, 10),
        "dense_1/b": (10,),
    }
    y = model.predict(RNG.standard_normal((5, 784)))
    assert y.shape == (5, 10)
    np.testing.assert_allclose(y.sum(axis=1), 1)
    assert np.abs(model.params["dense/W"]).max() <= np.sqrt(6 / (784 + 32))
    again = Sequential([Dense(32, activation="relu", input_shape=(784,)), Dense(10)], rng=3)
    assert np.array_equal(model.params["dense/W"], again.params["dense/W"])


def test_recurrent_parameters_begin_as_in_keras():
    model = Sequential([Embedding(9, 5, input_shape=(4,)), LSTM(3, return_sequences=True), GRU(2)])
    p = model.params
    assert 0.02 < np.abs(p["embedding/W"]).max() <= 0.05
    assert np.abs(p["lstm/Wx"]).max() <= np.sqrt(6 / (5 + 12))
    assert p["lstm/b"].tolist() == [1] * 3 + [0] * 9
    assert p["gru/b"].tolist() == [0] * 6
    np.testing.assert_allclose(p["lstm/Wh"] @ p["lstm/Wh"].T, np.eye(3), atol=1e-12)


def test_tensors_are_joined_along_any_axis_but_the_batchs():
    x, y = Input((4, 3, 2)), Input((4, 5, 2))
    model = Model([x, y], Concatenate(axis=2)([x, y]))
    assert model.outputs[0].shape == (4, 8, 2)
    a, b = RNG.standard_normal((2, 4, 3, 2)), RNG.standard_normal((2, 4, 5, 2))
    np.testing.assert_array_equal(model.predict([a, b]), np.concatenate([a, b], axis=2))


def test_a_sequential_model_may_begin_with_an_input():
    one = Sequential([Input((4,)), Dense(2, "tanh")])
    other = Sequential([Dense(2, "tanh", input_shape=(4,))])
    x = RNG.standard_normal((3, 4))
    assert np.array_equal(one.predict(x), other.predict(x))


def test_a_model_is_what_its_nodes_are():
    model = Sequential([Dense(3, "relu", input_shape=(4,)), Dense(2)])
    x, p = RNG.standard_normal((5, 4)), model.params
    hidden = NODES["relu"].forward(x @ p["dense/W"] + p["dense/b"])[0]
    np.testing.assert_allclose(model.predict(x), hidden @ p["dense_1/W"] + p["dense_1/b"])


@pytest.fixture
def branches():
    """Two inputs through a shared layer, two branches, two outputs."""
    a, b = Input((4,), "a"), Input((4,), "b")
    shared = Dense(3, "tanh")
    left, right = shared(a), shared(b)
    yes = Dense(1, "sigmoid", name="yes")(Concatenate()([left, right]))
    which = Dense(3, "softmax", name="which")(Dense(3, "relu")(Add()([left, right, left])))
    model = Model([a, b], [yes, which], rng=1)
    model.compile("sgd", ["binary_crossentropy", "sparse_categorical_crossentropy"], metrics=["accuracy"])
    x = [RNG.standard_normal((5, 4)), RNG.standard_normal((5, 4))]
    return model, x, [np.array([0, 1, 1, 0, 1]), np.array([0, 1, 2, 0, 1])]


def test_two_branches_a_shared_layer_and_two_losses(branches):
    assert_right(*branches)


def test_a_shared_layers_gradient_is_the_sum_over_its_calls():
    shared, alone = Dense(2), [Dense(2), Dense(2)]
    a, b = Input((3,)), Input((3,))
    x, t = [RNG.standard_normal((4, 3)), RNG.standard_normal((4, 3))], RNG.standard_normal((4, 2))
    once = compiled(Model([a, b], Add()([shared(a), shared(b)])), "mse")
    twice = compiled(Model([a, b], Add()([alone[0](a), alone[1](b)])), "mse")
    for name in ("dense", "dense_1"):
        twice.params[f"{name}/W"] = once.params["dense/W"]
    found, parts = once.gradient(x, t), twice.gradient(x, t)
    np.testing.assert_allclose(found["dense/W"], parts["dense/W"] + parts["dense_1/W"])
    np.testing.assert_allclose(found["dense/b"], parts["dense/b"] + parts["dense_1/b"])


def test_a_layer_on_its_own_output():
    layer, x = Dense(3, "tanh"), Input((3,))
    model = compiled(Model(x, layer(layer(layer(x)))), "mse")
    assert_right(model, RNG.standard_normal((2, 3)), RNG.standard_normal((2, 3)))


def test_an_inception_block():
    x = Input((2, 3, 2))
    paths = [
        Conv2D(1, 1, padding="same", activation="relu")(x),
        Conv2D(1, 3, padding="same", activation="relu")(Conv2D(1, 1, activation="relu")(x)),
        Conv2D(2, (1, 2), padding="same")(x),
        MaxPooling2D(3, strides=1, padding="same")(x),
    ]
    block = Concatenate()(paths)
    assert block.shape == (2, 3, 6)
    model = compiled(Model(x, Dense(1)(Flatten()(block)), rng=2), "mse")
    assert_right(model, RNG.standard_normal((2, 2, 3, 2)), RNG.standard_normal(2))


def test_an_lstm_classifier():
    model = Sequential(
        [Embedding(4, 1, input_shape=(3,)), LSTM(2, return_sequences=True), LSTM(1), Dense(3, "softmax")]
    )
    ids = RNG.integers(4, size=(3, 3))
    assert_right(compiled(model, "categorical_crossentropy"), ids, np.eye(3)[[0, 2, 1]])


def test_a_gru_with_an_output_at_every_step():
    model = Sequential([GRU(2, return_sequences=True, input_shape=(3, 2)), Dense(2, "tanh"), GRU(1)])
    assert_right(compiled(model, "mse"), RNG.standard_normal((2, 3, 2)), RNG.standard_normal(2))


@pytest.mark.parametrize("activation", ["softmax", None])
def test_a_ctc_model_on_short_sequences(activation):
    model = Sequential([LSTM(2, return_sequences=True, input_shape=(4, 1)), Dense(3, activation)], rng=4)
    t = np.array([[1, 2, 1], [2, 0, 0], [1, 1, 0]])
    assert_right(compiled(model, "ctc"), RNG.standard_normal((3, 4, 1)), t)


def test_convolution_with_strides_and_batch_normalisation():
    model = Sequential(
        [
            Conv2D(2, (3, 2), strides=(2, 1), padding="same", input_shape=(5, 4, 2)),
            BatchNormalization(),
            Activation("relu"),
            MaxPooling2D((1, 2)),
            Flatten(),
            Dense(1),
        ],
        rng=1,
    )
    assert_right(compiled(model, "huber"), RNG.standard_normal((3, 5, 4, 2)), RNG.standard_normal(3))


def test_dropout_is_held_by_its_generator():
    model = Sequential([Dense(6, "tanh", input_shape=(3,)), Dropout(0.5), Dense(2)])
    x, t = RNG.standard_normal((4, 3)), RNG.standard_normal((4, 2))
    assert_right(compiled(model, "mse"), x, t)
    assert model.loss(x, t) == model.loss(x, t, rng=0) != model.loss(x, t, rng=1)
    assert not np.array_equal(model.gradient(x, t, rng=1)["dense/W"], model.gradient(x, t)["dense/W"])


def test_dropout_drops_its_share_in_training_and_nothing_otherwise():
    model = compiled(Sequential([Dropout(0.3, input_shape=(1000,)), Dense(1)]), "mse")
    model.params["dense/W"] = np.ones((1000, 1))
    # t = 0, so the loss is the square of the mean of what is kept, scaled to the mean of all
    x, t = np.full((1, 1000), 1e-3), np.zeros(1)
    assert model.evaluate(x, t) == pytest.approx((1.0,))
    losses = [model.loss(x, t, rng=seed) for seed in range(20)]
    assert len(set(losses)) > 10
    assert np.mean(losses) == pytest.approx(1, abs=0.02)


def test_batch_statistics_in_training_and_running_ones_otherwise():
    model = Sequential([BatchNormalization(momentum=0.8, epsilon=1e-5, input_shape=(3,))])
    model.compile("sgd", "mse")
    x = 5 + 2 * RNG.standard_normal((40, 3))
    model.gradient(x, x)
    assert model.state["batch_normalization/mean"].tolist() == [0, 0, 0]  # only a step of training moves them
    model.fit(x, x, batch_size=40, epochs=2)
    np.testing.assert_allclose(model.state["batch_normalization/mean"], x.mean(axis=0) * (1 - 0.8**2))
    np.testing.assert_allclose(
        model.state["batch_normalization/variance"], 0.8**2 + x.var(axis=0) * (1 - 0.8**2)
    )
    gamma, beta = model.params["batch_normalization/gamma"], model.params["batch_normalization/beta"]
    mean, variance = model.state["batch_normalization/mean"], model.state["batch_normalization/variance"]
    np.testing.assert_allclose(model.predict(x), gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta)


def test_images_have_their_channels_last():
    model = Sequential([Conv2D(2, (2, 3), padding="same", strides=2, input_shape=(5, 6, 3))])
    x, W = RNG.standard_normal((1, 5, 6, 3)), model.params["conv2d/W"]
    assert model.outputs[0].shape == (3, 3, 2)
    # rows 2 and 3, columns 1, 2 and 3: the odd border lies below and to the right
    expected = np.einsum("hwc,fchw->f", x[0, 2:4, 2:5], W)
    np.testing.assert_allclose(model.predict(x)[0, 1, 1], expected)
    pooled = Sequential([MaxPooling2D(2, padding="same", input_shape=(3, 3, 2))])
    x = -1 - np.arange(18.0).reshape(1, 3, 3, 2)
    assert pooled.predict(x)[0, :, :, 0].tolist() == [[-1, -5], [-13, -17]]


def test_parameters_may_be_assigned_and_are_the_layers_own():
    layer = Dense(2, input_shape=(3,))
    model = Sequential([layer])
    model.params["dense/W"] = np.ones((3, 2))
    assert layer.params["W"] is model.params["dense/W"]
    assert model.predict(np.ones((1, 3))).tolist() == [[3, 3]]


def test_two_models_share_a_layer():
    x = Input((3,))
    hidden = Dense(2, "tanh")(x)
    whole = compiled(Model(x, Dense(1)(hidden)), "mse")
    part = Model(x, hidden, rng=99)
    assert part.params["dense/W"] is whole.params["dense/W"]
    with pytest.raises(
        ValueError, match="has parameters of float64 from another model, and this one is of float32"
    ):
        Model(x, hidden, dtype=np.float32)


def test_float32_stays_float32():
    model = Sequential(
        [
            Conv2D(2, 2, activation="gelu", padding="same", input_shape=(3, 3, 1)),
            BatchNormalization(),
            MaxPooling2D(2),
            Dropout(0.2),
            Flatten(),
            Dense(2, "softmax"),
        ],
        dtype=np.float32,
    )
    compiled(model, "categorical_crossentropy")
    x, t = RNG.standard_normal((4, 3, 3, 1)), np.eye(2)[[0, 1, 1, 0]]
    assert model.predict(x).dtype == np.float32
    assert {g.dtype for g in model.gradient(x, t).values()} == {np.dtype(np.float32)}
    report = check_model(model, x, t)
    report.raise_if_failed()
    assert {row.dtype for row in report.rows} == {"float32"}
    model.fit(x, t, epochs=2)
    assert {a.dtype for a in [*model.params.values(), *model.state.values()]} == {np.dtype(np.float32)}
    recurrent = Sequential([LSTM(2, return_sequences=True, input_shape=(3, 2)), GRU(2)], dtype=np.float32)
    compiled(recurrent, "mae")
    x, t = RNG.standard_normal((4, 3, 2)), RNG.standard_normal((4, 2))
    assert {g.dtype for g in recurrent.gradient(x, t).values()} == {np.dtype(np.float32)}
    assert recurrent.predict(x).dtype == np.float32


def test_a_copy_in_another_dtype_has_its_own_parameters(branches):
    model, x, t = branches
    copy = model.astype(np.float32)
    assert list(copy.params) == list(model.params)
    assert copy.loss(x, t) == pytest.approx(model.loss(x, t), rel=1e-5)
    copy.params["dense/W"] = np.zeros((4, 3))
    assert model.params["dense/W"].all()


def test_data_by_name_or_in_order(branches):
    model, (a, b), (yes, which) = branches
    named = model.predict({"b": b, "a": a})
    assert all(np.array_equal(*pair) for pair in zip(named, model.predict([a, b]), strict=True))
    t = {"which": which, "yes": yes}
    assert model.loss({"b": b, "a": a}, t) == model.loss([a, b], [yes, which])


def test_a_thousand_layers_deep():
    x = y = Input((1,))
    layer = Dense(1)
    for _ in range(1500):
        y = layer(y)
    model = compiled(Model(x, y), "mse")
    model.params["dense/W"] = np.array([[1.0]])
    model.params["dense/b"] = np.array([1e-3])
    assert model.predict(np.zeros((1, 1))).item() == pytest.approx(1.5)
    assert model.gradient(np.zeros((1, 1)), np.zeros(1))["dense/b"].item() == pytest.approx(2 * 1.5 * 1500)
    assert len(repr(y)) < 200


def test_summary_is_a_table(branches):
    lines = branches[0].summary().splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "shape", "parameters", "from"]
    cells = [[cell.strip() for cell in line.split("  ") if cell] for line in lines[2:]]
    assert ["dense", "Dense, tanh", "(N, 3)", "15", "a; b"] in cells
    assert ["yes", "Dense, sigmoid", "(N, 1)", "7", "concatenate"] in cells
    assert ["add", "Add", "(N, 3)", "0", "dense+dense+dense"] in cells
    assert lines[-1] == "46 parameters are trained."
    kept = Sequential([BatchNormalization(input_shape=(3,))]).summary().splitlines()[-1]
    assert kept == "6 parameters are trained, 6 running statistics kept."


@pytest.mark.parametrize("name", ["model", "sequential"])
def test_the_docstrings_examples(name):
    module = import_module(f"gradlab.textbook.models.graph.{name}")
    found = doctest.testmod(module, extraglobs={"np": np})
    assert found.attempted > 2
    assert not found.failed


FLAT, IMAGE, SERIES = Input((4,)), Input((5, 5, 2)), Input((6, 3))
SHARED = Dense(2)
SHARED(FLAT)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: Dense(3)(IMAGE),
            r"dense: got a tensor of shape \(5, 5, 2\), and takes \(features,\).*Flatten",
        ),
        (
            lambda: Conv2D(3, 2)(FLAT),
            r"conv2d: got a tensor of shape \(4,\), and takes \(height, width, channels\)",
        ),
        (lambda: Conv2D(3, 6)(IMAGE), r"shape \(5, 5, 2\), into which no window of \(6, 6\) fits: .*same"),
        (
            lambda: MaxPooling2D(2)(SERIES),
            r"max_pooling2d: got a tensor of shape \(6, 3\), and takes \(height",
        ),
        (lambda: MaxPooling2D((2, 7))(IMAGE), r"no window of \(2, 7\) fits"),
        (lambda: LSTM(3)(FLAT), r"lstm: got a tensor of shape \(4,\), and takes \(time, features\)"),
        (lambda: GRU(3)(LSTM(2)(SERIES)), r"gru: got a tensor of shape \(2,\).*return_sequences=True"),
        (lambda: SHARED(Input((5,))), r"got a tensor of shape \(5,\), and its parameters are for \(4,\)"),
        (lambda: Add()([FLAT, Input((3,))]), r"add: got tensors of shapes \(4,\) and \(3,\)"),
        (lambda: Add()(FLAT), "joins tensors and got 1"),
        (lambda: Concatenate()([IMAGE, Input((5, 4, 2))]), r"shapes \(5, 5, 2\) and \(5, 4, 2\): .*axis -1"),
        (lambda: Concatenate()([IMAGE, SERIES]), r"shapes \(5, 5, 2\) and \(6, 3\)"),
        (lambda: Concatenate(axis=0)([FLAT, FLAT]), "no axis 0 besides the batch's: give -1, or 1 to 1"),
        (lambda: Concatenate(axis=2)([FLAT, FLAT]), "no axis 2"),
        (lambda: Embedding(5, 2)(Dense(3)(FLAT)), "got the output of dense, and takes word ids"),
        (lambda: Dense(3)([FLAT, FLAT]), "takes one tensor and got 2: join them"),
        (lambda: BatchNormalization()(Input(())), r"shape \(\)"),
        (
            lambda: Sequential([Dense(3)]),
            "the first layer and does not say what it takes: give it an input_shape",
        ),
        (lambda: Sequential([]), "layers is empty"),
        (
            lambda: Sequential([Conv2D(2, 3, input_shape=(8, 8, 1)), Dense(3)]),
            r"shape \(6, 6, 2\), and takes \(features,\)",
        ),
        (
            lambda: Model(FLAT, Add()([FLAT, Input((4,), "other")])),
            "need the input other, which is not given",
        ),
        (lambda: Model([FLAT, SERIES], Dense(1)(FLAT)), "input_1 leads to no output"),
        (
            lambda: Model(FLAT, Dense(1, name="a")(Dense(1, name="a")(FLAT))),
            "two layers or inputs are named 'a'",
        ),
        (lambda: Model([], []), "no tensors"),
        (lambda: Input(784), r"shape is 784: give a tuple"),
        (lambda: Input((3, -1)), r"shape is \(3, -1\)"),
        (lambda: Dense(0), "units is 0: give a whole number above 0"),
        (lambda: Dense(2.5), "units is 2.5"),
        (lambda: Dense(2, "rleu"), "no activation is named 'rleu': did you mean 'relu'?"),
        (lambda: Conv2D(2, (3, 3, 3)), r"kernel_size is \(3, 3, 3\)"),
        (lambda: Conv2D(2, 3, padding="full"), "padding is 'full': give 'valid' or 'same'"),
        (lambda: Dropout(1), "rate is 1"),
        (lambda: BatchNormalization(momentum=2), "momentum is 2"),
        (lambda: BatchNormalization(epsilon=0), "epsilon is 0"),
    ],
)
def test_what_does_not_fit_is_refused_when_the_model_is_built(build, message):
    with pytest.raises(ValueError, match=message) as error:
        build()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Dense(3)(np.ones((2, 4))),
        lambda: Sequential([Dense(3, input_shape=(4,)), Dense]),
        lambda: Model(np.ones(3), FLAT),
    ],
)
def test_what_is_no_tensor_is_refused(build):
    with pytest.raises(TypeError, match=r"call it on an Input|give layers|give an Input"):
        build()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((2, 5)), r"input has shape \(2, 5\): give an array of shape \(N, 4\)"),
        (np.ones(4), r"input has shape \(4,\)"),
        (np.ones((0, 4)), "N at least 1"),
        ({"a": np.ones((2, 4))}, "x has the names a: give input"),
    ],
)
def test_data_of_another_shape_is_refused(x, message):
    with pytest.raises(ValueError, match=message):
        Sequential([Dense(3, input_shape=(4,))]).predict(x)


def test_several_inputs_need_as_many_arrays(branches):
    model, (a, b), t = branches
    with pytest.raises(ValueError, match="x holds 1 for 2: give a list or a dict of a, b"):
        model.predict(a)
    with pytest.raises(ValueError, match="b has 4 rows and a 5"):
        model.predict([a, b[:4]])
    with pytest.raises(ValueError, match="t for which has 4 rows and x 5"):
        model.loss([a, b], [t[0], t[1][:4]])
