"""What the estimators say to scikit-learn's words, and to arguments out of range."""

import inspect

import numpy as np
import pytest

import nn

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

PAIRS = [(nn.FNNClassifier, MLPClassifier), (nn.FNNRegressor, MLPRegressor)]


@pytest.mark.parametrize(("kind", "peer"), PAIRS)
def test_each_of_scikit_learns_parameters_is_ours_or_has_advice(kind, peer):
    ours = inspect.signature(kind).parameters
    for name in inspect.signature(peer).parameters:
        if name in ours:
            continue
        with pytest.raises(TypeError, match=f"^{kind.__name__} has no parameter {name}=; write ") as raised:
            kind(**{name: 1})
        advice = str(raised.value).split("write ")[1]
        assert advice.split("=")[0] in ours, advice
        with pytest.raises(ValueError, match=f"has no parameter {name}=; write "):
            kind().set_params(**{name: 1})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"hidden_layer_sizes": 3}, "write hidden_dims=$"),
        ({"learning_rate_init": 0.1}, "write lr=$"),
        ({"alpha": 0.1}, r"write l2=alpha / \(2 \* batch_size\)$"),
        ({"hiden_dims": 3}, r"did you mean hidden_dims=\?"),
        ({"foo": 3}, "it takes hidden_dims, activation, "),
    ],
)
def test_an_unknown_parameter_names_the_nearest(given, text):
    with pytest.raises(TypeError, match=text):
        nn.FNNClassifier(**given)
    with pytest.raises(ValueError, match=text):
        make_pipeline(StandardScaler(), nn.FNNClassifier()).set_params(
            **{f"fnnclassifier__{name}": value for name, value in given.items()}
        )


@pytest.mark.parametrize("kind", [pair[0] for pair in PAIRS])
def test_the_signature_is_explicit_and_clones_are_alike(kind):
    signature = inspect.signature(kind)
    assert "hidden_dims" in signature.parameters
    assert not any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in signature.parameters.values())
    estimator = kind((3,), tol=0.1, callbacks=[nn.Callback()])
    assert set(estimator.get_params()) == set(signature.parameters)
    assert clone(estimator).get_params().keys() == estimator.get_params().keys()
    assert repr(estimator).startswith(f"{kind.__name__}(")


class Narrow(nn.FNNClassifier):
    """A user's own, with fewer arguments."""

    def __init__(self, hidden_dims=(3,), *, lr=0.1, optimizer="adam"):
        super().__init__(hidden_dims, lr=lr, optimizer=optimizer)


def test_a_subclass_with_arguments_of_its_own():
    narrow = Narrow(lr=0.2).fit(np.eye(4), [0, 1, 0, 1])
    assert narrow.get_params() == {"hidden_dims": (3,), "lr": 0.2, "optimizer": "adam"}
    assert Narrow(optimizer="lbfgs").fit(np.eye(4), [0, 1, 0, 1]).score(np.eye(4), [0, 1, 0, 1]) == 1
    with pytest.raises(ValueError, match="optimizer='lbfgs' does not use lr"):
        narrow.set_params(optimizer="lbfgs").fit(np.eye(4), [0, 1, 0, 1])
    assert clone(narrow).lr == 0.2
    assert Narrow().set_params(lr=0.3).lr == 0.3


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"activation": "logistic"}, "activation='logistic' is scikit-learn's word; write activation=\"sigmoid\""),
        ({"activation": ["identity"]}, "write activation=None"),
        ({"activation": {"name": "logistic"}}, 'write activation="sigmoid"'),
        ({"schedule": "adaptive"}, 'write schedule="plateau"'),
        ({"hidden_dims": None}, r"hidden_dims must be a width or a list of .*, got None; write \(\) for no hidden"),
        ({"hidden_dims": "100"}, "hidden_dims must be a width or a list"),
        ({"hidden_dims": 2.5}, "hidden_dims must be a width or a list"),
        ({"hidden_dims": (2.5,)}, r"sizes\[1\]: units must be an integer of at least 1, got 2\.5"),
        ({"batch_size": "all"}, "batch_size must be an integer or 'auto', got 'all'"),
        ({"batch_size": 2.5}, "batch_size must be an integer of at least 1, got 2.5"),
        ({"epochs": "10"}, "epochs must be an integer of at least 1, got '10'"),
        ({"tol": -1.0}, "tol must be a finite number of at least 0, got -1.0"),
        ({"tol": "auto"}, "tol must be a finite number of at least 0, got 'auto'"),
        ({"patience": 0}, "patience must be an integer of at least 1, got 0"),
        ({"shuffle": "no"}, "shuffle must be True or False, got 'no'"),
        ({"warm_start": 1}, "warm_start must be True or False, got 1"),
        ({"early_stopping": True, "validation_fraction": None}, "validation_fraction must be a finite number, got"),
    ],
)
@pytest.mark.parametrize("kind", [pair[0] for pair in PAIRS])
def test_arguments_out_of_range_are_named(kind, options, text):
    with pytest.raises(ValueError, match=text):
        kind(**options).fit(np.eye(4), [0, 1, 0, 1])


def test_the_regressor_knows_scikit_learns_losses():
    for theirs, ours in (("squared_error", "mse"), ("absolute_error", "l1")):
        with pytest.raises(ValueError, match=f'write loss="{ours}"'):
            nn.FNNRegressor(loss=theirs).fit(np.eye(4), [0, 1, 0, 1])
