"""Files of estimators and of arrays by name."""

import functools
import hashlib
import re
import sys
import warnings

import numpy as np
import pytest

import nn
import tensorgrad as tg
from nn._files import npz
from nn._files.header import sealed

from .saved import Net, bits

X = np.random.default_rng(0).normal(size=(60, 3))


@functools.cache
def classifier(labels):
    pytest.importorskip("sklearn")
    y = np.array(labels)[(X[:, 0] > 0).astype(int)]
    made = nn.FNNClassifier((5, nn.Layer(4)), norm="batch", dropout=0.1, standardize=True, epochs=2, random_state=0)
    return made.fit(X.astype(np.float32) if labels == (1, 2) else X, y)


# --- estimators ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [("yes", "a longer no"), (1, 2), (1.0, -3.0), (True, False)], ids=str)
def test_a_classifier_comes_back(path, labels):
    model = classifier(labels)
    nn.save(path, model, extra={"score": 0.5})
    again, optimizer, extra = nn.load(path)
    assert (type(again), optimizer, extra) == (nn.FNNClassifier, None, {"score": 0.5})
    assert (again.classes_.dtype, again.classes_.tolist()) == (model.classes_.dtype, model.classes_.tolist())
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.predict(X).dtype == model.predict(X).dtype
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    dtypes = [{p.dtype.name for p in one.model_.parameters()} for one in (again, model)]
    assert dtypes == [{"float32" if labels == (1, 2) else "float64"}] * 2
    assert repr(again) == repr(model)
    assert vars(again).keys() == vars(model).keys()


def test_training_goes_on_alike(path):
    pytest.importorskip("sklearn")
    model = nn.FNNRegressor(8, optimizer="adamw", weight_decay=0.1, epochs=2, random_state=0).fit(X, X[:, :2])
    nn.save(path, model)
    again = nn.load(path).model
    for one in (model, again):
        one.partial_fit(X, X[:, :2])
    assert again.predict(X).shape == (60, 2)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert bits(again.model_.optimizer.state_dict()) == bits(model.model_.optimizer.state_dict())


@pytest.mark.parametrize(
    ("options", "y"),
    [
        ({"early_stopping": True, "tol": 1e-3, "schedule": {"name": "step", "step_size": 2}}, X[:, :2] > 0),
        ({"loss": {"name": "poisson", "full": True}, "warm_start": True}, np.floor(np.exp(X[:, 0]))),
        ({"loss": "quantile", "optimizer": {"name": "lbfgs", "max_iter": 500}}, X[:, 0]),
    ],
    ids=["several labels", "counts", "L-BFGS"],
)
def test_estimators_of_every_kind_come_back(path, options, y):
    pytest.importorskip("sklearn")
    kind = nn.FNNClassifier if y.ndim == 2 else nn.FNNRegressor
    model = kind((4,), epochs=20, patience=10, random_state=0, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it need not converge
        model.fit(X, y)
        nn.save(path, model)
        again = nn.load(path).model
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        for name in ("out_activation_", "loss_curve_", "validation_scores_", "best_validation_score_", "t_"):
            assert getattr(again, name) == getattr(model, name), name
        if again.warm_start:
            np.testing.assert_allclose(again.fit(X, y).predict(X), model.fit(X, y).predict(X), rtol=1e-9)


def test_names_of_columns_and_labels_in_an_array_of_objects_come_back(path):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("sklearn")
    frame = pandas.DataFrame(X, columns=["a", "b", "ü"])
    model = nn.FNNClassifier(4, epochs=1, random_state=0).fit(frame, np.array(["x", "yy"] * 30, object))
    nn.save(path, model)
    again = nn.load(path).model
    assert again.classes_.dtype == model.classes_.dtype
    assert again.feature_names_in_.dtype == object
    assert again.feature_names_in_.tolist() == ["a", "b", "ü"]
    np.testing.assert_array_equal(again.predict(frame), model.predict(frame))


def test_the_network_of_an_estimator_is_loaded_into_a_model_made_the_same_way(path):
    model = classifier(("yes", "a longer no"))
    nn.save(path, model)
    other = nn.FNNClassifier((5, nn.Layer(4)), norm="batch", dropout=0.1, standardize=True, epochs=1, random_state=1)
    other.fit(X, X[:, 0] > 0)
    nn.load(path, model=other.model_)
    np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))


def test_estimators_that_are_not_saved(path):
    pytest.importorskip("sklearn")
    with pytest.raises(ValueError, match="this FNNClassifier is not fitted; call fit first"):
        nn.save(path, nn.FNNClassifier())
    model = nn.FNNRegressor(4, activation=nn.GELU, epochs=1, random_state=0).fit(X, X[:, 0])
    with pytest.raises(TypeError, match="activation: GELU is a function or a class, not data; give an estimator names"):
        nn.save(path, model)
    model = nn.FNNRegressor(4, epochs=1, random_state=np.random.RandomState(0)).fit(X, X[:, 0])
    with pytest.raises(TypeError, match="random_state: RandomState is not a plain value; give an estimator"):
        nn.save(path, model)
    with pytest.raises(TypeError, match="an optimizer is saved together with its model"):
        nn.save(path, model, model.model_.optimizer)

    class Mine(nn.FNNClassifier):
        pass

    with pytest.raises(TypeError, match="an estimator of nn, or a mapping of names to arrays, got Mine"):
        nn.save(path, Mine(4, epochs=1).fit(X, X[:, 0] > 0))
    with pytest.raises(TypeError, match=r"got FNNRegressor; an estimator is rebuilt from its file: write nn.load\("):
        nn.load(path, model=model)
    assert not path.exists()


def test_an_estimator_without_scikit_learn_says_what_to_install(path, monkeypatch):
    nn.save(path, classifier(("yes", "a longer no")))
    for name in [name for name in sys.modules if name.startswith("nn._estimators")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delattr(nn, "_estimators")
    with pytest.raises(ImportError, match=r"nn.FNNClassifier needs scikit-learn: pip install"):
        nn.load(path)


# --- labels that were forged ---------------------------------------------------------------------------------

FORGED = {
    "a wide dtype": (
        rb'"labels":"<U\d+"',
        b'"labels":"<U99999999"',
        "labels of dtype <U99999999 take 799,999,992",
    ),
    "another dtype": (rb'"labels":"<U\d+"', b'"labels":"<M8[s]"', "not a dtype of labels"),
    "a narrow dtype": (rb'"labels":"<U\d+"', b'"labels":"<U1"', "does not fit into dtype <U1"),
    "another shape": (rb'"shape":\[2\],"values"', b'"shape":[3],"values"', "2 labels do not have the shape"),
    "a length of -1": (rb'"shape":\[2\],"values"', b'"shape":[-1],"values"', "not a list of at most 64 lengths"),
    "a negative shape": (rb'"shape":\[2\],"values"', b'"shape":[-2,-1],"values"', "not a list of at most 64 lengths"),
    "lists": (rb'"values":\["a longer no"', b'"values":[["a longer no"]', "not a list of plain values"),
    "numbers": (rb'"values":\["a longer no"', b'"values":[3', "does not fit into dtype"),
    "no model": (rb'\["model_",\{"object":\d+\}\]', b'["model_",3]', "model_ of FNNClassifier is not a Module"),
    "the other model": (rb'"model":\{"object":\d+', b'"model":{"object":0', "must be a Module, an estimator or a dict"),
}


@pytest.mark.parametrize(("old", "new", "said"), FORGED.values(), ids=FORGED)
def test_forged_labels_are_refused(tmp_path, monkeypatch, old, new, said):
    def forged(header, arrays):
        text, _ = sealed(header, arrays)
        changed, count = re.subn(old, lambda match: new, text, count=1)
        assert count == 1
        return changed, hashlib.sha256(changed).hexdigest()

    model = classifier(("yes", "a longer no"))
    with monkeypatch.context() as patch:
        patch.setattr(npz, "sealed", forged)
        nn.save(tmp_path / "model.npz", model)
    with pytest.raises(tg.CheckpointError, match=said):
        nn.load(tmp_path / "model.npz")


# --- arrays by name ------------------------------------------------------------------------------------------


def test_a_state_dict_comes_back_and_goes_into_a_model(path):
    net, other = Net(), Net(rng=1)
    state = net.state_dict()
    nn.save(path, state, extra={"epoch": 3})
    loaded = nn.load(path)
    assert (bits(loaded.model), loaded.optimizer, loaded.extra) == (bits(state), None, {"epoch": 3})
    into = nn.load(path, model=other)
    assert (into.model, into.extra) == (other, {"epoch": 3})
    assert bits(other.state_dict()) == bits(state)
    bare = nn.MLP([2, 3])
    with pytest.raises(tg.CheckpointError, match=r"does not fit MLP .*\n  missing: layers.0.W"):
        nn.load(path, model=bare)


def test_tensors_and_arrays_of_other_libraries_are_saved_by_name(path):
    shared = np.arange(3)
    nn.save(path, {"a": nn.Parameter([1.0]), "b": shared, "c": shared, "d": np.float32(2.0), "": np.zeros((2, 0))})
    loaded = nn.load(path).model
    assert {name: (a.dtype.name, a.tolist()) for name, a in loaded.items()} == {
        "a": ("float64", [1.0]),
        "b": ("int64", [0, 1, 2]),
        "c": ("int64", [0, 1, 2]),
        "d": ("float32", 2.0),
        "": ("float64", [[], []]),
    }


@pytest.mark.parametrize(
    ("state", "error", "text"),
    [
        ({3: np.ones(2)}, TypeError, "must have names as keys, got 3"),
        ({"w": "text"}, TypeError, "'w' must be an array, got str"),
        ({"w": np.array(["text"])}, tg.DTypeError, "'w' has dtype <U4, expected bool or numbers"),
        ({"w": np.array([{}])}, tg.DTypeError, "'w' has dtype object"),
        (
            nn.SGD([nn.Parameter([1.0])]).state_dict(),
            TypeError,
            r"'state' must be an array, .*nn.save\(path, model, op",
        ),
    ],
)
def test_what_is_not_arrays_by_name(path, state, error, text):
    with pytest.raises(error, match=text):
        nn.save(path, state)
    assert not path.exists()
