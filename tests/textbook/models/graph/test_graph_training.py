"""Losses by task, and training: compile, fit, evaluate, predict."""

import re
import warnings

import numpy as np
import pytest

from gradlab.nodes import NODES
from gradlab.textbook.datasets import make_digits
from gradlab.textbook.models.graph import (
    LSTM,
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
    read_out,
)
from gradlab.textbook.models.graph.layers.layer import GraphLayer
from gradlab.textbook.optimizers import SGD, RMSprop

RNG = np.random.default_rng(0)
X, T = RNG.standard_normal((30, 4)), RNG.integers(3, size=30)


def classifier(activation="softmax", units=3, features=4, **more):
    return Sequential([Dense(units, activation, input_shape=(features,))], **more)


def test_a_small_convolutional_model_learns_digits():
    x, t = make_digits(500, seed=0)
    x = x.reshape(-1, 28, 28, 1)
    model = Sequential(
        [
            Conv2D(6, 5, strides=2, activation="relu", input_shape=(28, 28, 1)),
            BatchNormalization(momentum=0.9),
            MaxPooling2D(2),
            Flatten(),
            Dropout(0.1),
            Dense(10, activation="softmax"),
        ],
        dtype=np.float32,
    )
    model.compile(optimizer=RMSprop(0.01), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x[:400], t[:400], batch_size=20, epochs=5, validation_data=(x[400:], t[400:])).history
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert {len(scores) for scores in history.values()} == {5}
    assert history["loss"][-1] < history["loss"][0] / 3
    assert history["val_accuracy"][-1] > 0.8
    loss, accuracy = model.evaluate(x[400:], t[400:])
    assert model.metrics_names == ["loss", "accuracy"]
    assert (loss, accuracy) == pytest.approx((history["val_loss"][-1], history["val_accuracy"][-1]))
    assert accuracy == np.mean(model.predict(x[400:]).argmax(axis=1) == t[400:])


def test_a_lstm_learns_what_came_first():
    ids = RNG.integers(4, size=(120, 5))
    model = Sequential([Embedding(4, 4, input_shape=(5,)), LSTM(8), Dense(4, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.compiled.optimizer.lr = 0.03
    history = model.fit(ids, ids[:, 0], batch_size=20, epochs=15).history
    assert history["accuracy"][-1] > 0.95 > 0.5 > history["accuracy"][0]


def test_a_ctc_model_learns_to_read():
    t = np.array([[1, 2], [2, 1], [1, 0], [2, 2]])
    # each label lights its input twice, and nothing lights between
    steps = [[[1, 1, 0, 2, 2, 0], [2, 2, 0, 1, 1, 0], [1, 1, 0, 0, 0, 0], [2, 2, 0, 2, 2, 0]]]
    x = np.eye(3)[np.array(steps[0])]
    model = Sequential([LSTM(6, return_sequences=True, input_shape=(6, 3)), Dense(3, "softmax")])
    model.compile(RMSprop(0.02), "ctc", ["accuracy"])
    before, untrained = model.evaluate(x, t)
    model.fit(x, t, epochs=80)
    after, trained = model.evaluate(x, t)
    assert untrained < 1 == trained
    assert after < before / 4
    assert read_out(model.predict(x)) == [[1, 2], [2, 1], [1], [2, 2]]


def test_one_step_is_the_optimizers():
    model = classifier()
    model.compile(SGD(0.5), "sparse_categorical_crossentropy")
    gradient = model.gradient(X, T)
    expected = {name: p - 0.5 * gradient[name] for name, p in model.params.items()}
    loss = model.loss(X, T)
    history = model.fit(X, T, batch_size=100)
    for name, p in model.params.items():
        np.testing.assert_allclose(p, expected[name], rtol=1e-12, atol=1e-15)
    assert history.history["loss"] == pytest.approx([loss])
    assert not history.interrupted


def test_the_same_seed_trains_the_same():
    def trained(rng):
        model = Sequential([Dropout(0.5, input_shape=(4,)), Dense(3, "softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model.fit(X, T, batch_size=7, epochs=2, rng=rng).history["loss"]

    assert trained(1) == trained(1) == trained(np.random.default_rng(1)) != trained(2)


def test_every_row_once_an_epoch_and_in_another_order():
    seen = []

    class Spy(GraphLayer):
        def forward(self, inputs, training, rng):
            seen.append(inputs[0][:, 0].astype(int))
            return inputs[0], None

        def backward(self, residuals, g):
            return (g,), {}

    model = Sequential([Spy(input_shape=(1,)), Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.arange(10)[:, None] / 1.0, np.zeros(10), batch_size=4, epochs=2)
    assert [len(batch) for batch in seen] == [4, 4, 2] * 2
    first, second = (np.concatenate(batches).tolist() for batches in (seen[:3], seen[3:]))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second != list(range(10)) != first


def test_evaluate_and_predict_do_not_depend_on_the_batch_size():
    model = classifier()
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy", "categorical_crossentropy"])
    with pytest.raises(ValueError, match="sparse_categorical"):
        model.evaluate(X, T)  # a metric takes the same targets
    model.compile("sgd", "sparse_categorical_crossentropy", ["accuracy"])
    assert model.evaluate(X, T, batch_size=7) == pytest.approx(model.evaluate(X, T, batch_size=30))
    np.testing.assert_allclose(model.predict(X, batch_size=7), model.predict(X, batch_size=30))


def two_outputs():
    x = Input((4,))
    hidden = Dense(3, "tanh")(x)
    model = Model(x, [Dense(1, name="size")(hidden), Dense(3, "softmax", name="kind")(hidden)])
    return model, [X[:, 0], np.eye(3)[T]]


def test_several_losses_are_averaged_or_weighted():
    model, t = two_outputs()
    names = {"size": "mse", "kind": "categorical_crossentropy"}
    model.compile("sgd", names, metrics={"size": ["mae"], "kind": ["accuracy"]})
    assert model.metrics_names == ["loss", "size_loss", "kind_loss", "size_mae", "kind_accuracy"]
    total, size, kind, mae, accuracy = model.evaluate(X, t)
    assert total == pytest.approx((size + kind) / 2)
    y, p = model.predict(X)
    assert size == pytest.approx(np.mean((y[:, 0] - t[0]) ** 2))
    assert mae == pytest.approx(np.mean(np.abs(y[:, 0] - t[0])))
    assert kind == pytest.approx(-np.mean(np.log(p[np.arange(30), T])))
    assert accuracy == np.mean(p.argmax(axis=1) == T)
    even = model.gradient(X, t)
    for weights in ([3.0, 0.5], {"kind": 0.5, "size": 3.0}):
        model.compile("sgd", names, loss_weights=weights)
        assert model.evaluate(X, t)[0] == pytest.approx(3 * size + 0.5 * kind)
        assert model.loss(X, t) == pytest.approx(3 * size + 0.5 * kind)
    weighted = model.gradient(X, t)
    np.testing.assert_allclose(weighted["size/W"], 6 * even["size/W"])
    np.testing.assert_allclose(weighted["kind/W"], even["kind/W"])
    history = model.fit(X, t, epochs=3, validation_data=(X, t)).history
    assert list(history)[:3] == ["loss", "size_loss", "kind_loss"]
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize(
    ("loss", "activation", "node", "t"),
    [
        ("mse", None, "mean_squared_error", RNG.standard_normal((30, 3))),
        ("mean_squared_error", "tanh", "mean_squared_error", RNG.standard_normal((30, 3))),
        ("mae", None, "mean_absolute_error", RNG.standard_normal((30, 3))),
        ("huber", None, "huber", 3 * RNG.standard_normal((30, 3))),
        ("binary_crossentropy", "sigmoid", "binary_cross_entropy", RNG.integers(2, size=(30, 3))),
        ("categorical_crossentropy", "softmax", "categorical_cross_entropy", np.eye(3)[T]),
        ("sparse_categorical_crossentropy", "softmax", "categorical_cross_entropy", T),
        ("sparse_categorical_crossentropy", "softmax", "categorical_cross_entropy", T[:, None]),
    ],
)
def test_losses_are_what_their_names_say(loss, activation, node, t):
    model = classifier(activation)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # these pairs are right
        model.compile("sgd", loss)
    rows = t.reshape(-1) if loss.startswith("sparse") else t
    if node in ("mean_squared_error", "mean_absolute_error", "huber"):
        expected, _ = NODES[node].forward(model.predict(X), rows)
    else:
        expected, _ = NODES[node].forward(model.predict(X), t=rows)
    assert model.loss(X, t) == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "activation", "t"),
    [
        ("categorical_crossentropy", "softmax", np.array([[0.0, 1.0, 0.0]])),
        ("sparse_categorical_crossentropy", "softmax", np.array([1])),
        ("binary_crossentropy", "sigmoid", np.array([[0.0, 1.0, 0.0]])),
    ],
)
def test_cross_entropy_is_taken_of_the_logits(loss, activation, t):
    model = classifier(activation)
    model.compile("sgd", loss)
    model.params["dense/W"] = np.zeros((4, 3))
    model.params["dense/b"] = np.array([800.0, -800.0, -800.0])
    x = np.zeros((1, 4))
    assert model.predict(x)[0, 1] == 0  # whose logarithm is none
    assert model.loss(x, t) == pytest.approx(1600 if activation == "softmax" else 1600 / 3)
    g = model.gradient(x, t)["dense/b"]
    assert g == pytest.approx([1, -1, 0] if activation == "softmax" else [1 / 3, -1 / 3, 0])


@pytest.mark.parametrize(
    ("activation", "loss", "message"),
    [
        (
            "softmax",
            "binary_crossentropy",
            "goes with sigmoid as the last activation, and this one is softmax",
        ),
        (
            "sigmoid",
            "categorical_crossentropy",
            "goes with softmax .* sigmoid: use activation='softmax' or loss='bin",
        ),
        (None, "sparse_categorical_crossentropy", "goes with softmax .* and this one is linear"),
        (None, "binary_crossentropy", "linear: use activation='sigmoid' or loss='mse'"),
        ("softmax", "mse", "regression.*use activation='linear' or loss='categorical_crossentropy'"),
    ],
)
def test_a_loss_that_does_not_go_with_the_activation_is_warned_of(activation, loss, message):
    with pytest.warns(UserWarning, match=message) as found:
        classifier(activation).compile("sgd", loss)
    assert found[0].filename == __file__
    assert "\n" not in str(found[0].message)


def test_softmax_over_one_unit_is_warned_of():
    with pytest.warns(UserWarning, match="softmax over one unit is always 1"):
        classifier("softmax", units=1).compile("sgd", "categorical_crossentropy")


def test_a_layer_behind_softmax_hides_it():
    model = Sequential([Dense(3, "softmax", input_shape=(4,)), Dropout(0.1)])
    with pytest.warns(UserWarning, match="and this one is linear"):
        model.compile("sgd", "categorical_crossentropy")


def test_accuracy_of_two_classes_and_of_several_labels():
    model = classifier("sigmoid", units=1)
    model.compile("sgd", "binary_crossentropy", metrics="accuracy")
    t = RNG.integers(2, size=30)
    assert model.evaluate(X, t)[1] == np.mean((model.predict(X)[:, 0] > 0.5) == t)
    several = classifier("sigmoid")
    several.compile("sgd", "binary_crossentropy", ["acc"])
    t = RNG.integers(2, size=(30, 3))
    assert several.evaluate(X, t)[1] == np.mean((several.predict(X) > 0.5) == t)


@pytest.mark.parametrize(
    ("loss", "activation", "t", "message"),
    [
        ("mse", None, np.ones((30, 2)), r"t has shape \(30, 2\) for an output of shape \(30, 3\)"),
        ("mse", None, np.ones(30), r"t has shape \(30,\)"),
        ("categorical_crossentropy", "softmax", T, "take loss='sparse_categorical_crossentropy'"),
        ("categorical_crossentropy", "softmax", np.ones((30, 1)), "give a one-hot row for each row"),
        ("sparse_categorical_crossentropy", "softmax", T.astype(float), "give class indices"),
        ("sparse_categorical_crossentropy", "softmax", np.eye(3)[T], "give class indices"),
        ("sparse_categorical_crossentropy", "softmax", T + 1, "the label 3, which is no class"),
        ("mse", None, np.ones((29, 3)), "t for dense has 29 rows and x 30"),
    ],
)
def test_targets_that_do_not_fit_are_refused(loss, activation, t, message):
    model = classifier(activation)
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match=message):
        model.loss(X, t)


@pytest.mark.parametrize(
    ("t", "message"),
    [
        (np.array([[1, 0, 2]]), "a label behind a 0"),
        (np.array([[1, 1, 1]]), r"row 0 of t needs 5 steps of time, and the output has 4"),
        (np.array([[1.0, 2.0]]), "give labels"),
        (np.array([1]), "give labels"),
        (np.array([[1, 3]]), "labels holds 3"),
    ],
)
def test_label_sequences_that_do_not_fit_are_refused(t, message):
    model = Sequential([Dense(3, "softmax", input_shape=(4, 2))])
    model.compile("sgd", "ctc")
    with pytest.raises(ValueError, match=message):
        model.loss(np.ones((1, 4, 2)), t)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "msee"}, "no loss is named 'msee': did you mean 'mse'?"),
        ({}, "no loss is named None: there are mse, mae"),
        ({"loss": ["mse", "mse", "mse"]}, "loss holds 3 for 2: give a list or a dict of size, kind"),
        ({"loss": {"size": "mse"}}, "loss has the names size: give size, kind"),
        ({"loss": "mse", "metrics": ["acuracy"]}, "no metric is named 'acuracy': give 'accuracy'"),
        ({"loss": "mse", "loss_weights": [1.0]}, "loss_weights holds 1 for 2"),
        ({"loss": "mse", "optimizer": "sdg"}, "no optimizer is named 'sdg'"),
    ],
)
@pytest.mark.filterwarnings("ignore:kind")
def test_what_compile_does_not_know(arguments, message):
    model, _ = two_outputs()
    with pytest.raises(ValueError, match=re.escape(message)):
        model.compile(**arguments)


@pytest.mark.parametrize("optimizer", [SGD, 0.1, None])
def test_an_optimizer_is_an_object(optimizer):
    with pytest.raises(TypeError, match="give a name or an object"):
        classifier().compile(optimizer, "categorical_crossentropy")


def test_any_optimizer_with_update_will_do():
    class Nothing:
        def update(self, params, grads):
            assert list(params) == list(grads) == ["dense/W", "dense/b"]
            self.called = True

    optimizer, model = Nothing(), classifier()
    model.compile(optimizer, "sparse_categorical_crossentropy")
    model.fit(X, T)
    assert optimizer.called


def test_before_compile():
    with pytest.raises(RuntimeError, match="call compile"):
        classifier().fit(X, T)


@pytest.mark.parametrize("arguments", [{"epochs": 0}, {"batch_size": 0}, {"batch_size": 2.5}])
def test_numbers_that_are_none(arguments):
    model = classifier()
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="give a whole number above 0"):
        model.fit(X, T, **arguments)


def test_ctrl_c_keeps_what_was_reached():
    class Interrupted(SGD):
        steps = 0

        def update(self, params, grads):
            self.steps += 1
            if self.steps == 6:
                raise KeyboardInterrupt
            super().update(params, grads)

    model = classifier()
    model.compile(Interrupted(0.1), "sparse_categorical_crossentropy")
    history = model.fit(X, T, batch_size=15, epochs=10)
    assert history.interrupted
    assert len(history.history["loss"]) == 2


def test_no_bar_where_there_is_no_terminal(capfd):
    model = classifier()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(X, T)
    assert capfd.readouterr() == ("", "")


def test_two_losses_of_one_tensor_add_up():
    x = Input((4,))
    y = Dense(2)(x)
    model = Model(x, [y, y, Concatenate()([y, y])])
    assert model.output_names == ["dense", "dense_1", "concatenate"]
    t = RNG.standard_normal((30, 2))
    model.compile("sgd", ["mse", "mae", "mse"], loss_weights=[1, 2, 0])
    both = model.gradient(X, [t, t, np.hstack([t, t])])
    alone = Model(x, y)
    parts = []
    for loss in ("mse", "mae"):
        alone.compile("sgd", loss)
        parts.append(alone.gradient(X, t)["dense/W"])
    np.testing.assert_allclose(both["dense/W"], parts[0] + 2 * parts[1])
