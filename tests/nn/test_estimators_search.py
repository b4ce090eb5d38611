"""Estimators in other processes: searches over arguments, and what a pickle of one holds."""

import pickle

import numpy as np
import pytest

import nn

pytest.importorskip("sklearn")
from joblib import parallel_config
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_info

GRID = {"hidden_dims": [(16,), (16, 16)], "norm": [None, "batch"]}


def digits():
    X, y = load_digits(n_class=4, return_X_y=True)
    return (X / 16).astype(np.float32), y


def scores(classifier, X, y):
    """The accuracy, and how many threads BLAS has where the classifier runs."""
    threads = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {"accuracy": accuracy_score(y, classifier.predict(X)), "threads": max(threads, default=1)}


def search(**options):
    classifier = nn.FNNClassifier(dropout=0.1, optimizer="adamw", lr=0.01, epochs=5, random_state=0, **options)
    return GridSearchCV(classifier, GRID, cv=2, scoring=scores, refit="accuracy").fit(*digits()).cv_results_


def test_a_search_in_loky_finds_what_one_in_this_process_finds():
    alone = search()
    with parallel_config(backend="loky", n_jobs=2, inner_max_num_threads=1):
        spread = search()
    np.testing.assert_allclose(spread["mean_test_accuracy"], alone["mean_test_accuracy"], atol=0.02)
    assert spread["params"] == alone["params"]
    assert (spread["mean_test_threads"] == 1).all()
    assert alone["mean_test_accuracy"].max() > 0.7


@pytest.mark.parametrize(
    "options",
    [{}, {"early_stopping": True, "verbose": True}, {"norm": "batch", "schedule": {"name": "cosine", "T_max": 9}}],
)
def test_a_pickle_holds_the_weights_and_the_optimisers_state_alone(options):
    X, y = digits()
    classifier = nn.FNNClassifier((100,), epochs=5, random_state=0, **options).fit(X, y)
    size = len(pickle.dumps(classifier))
    weights = sum(p.data.nbytes for p in classifier.model_.parameters())
    assert weights < 3 * weights < size < 3 * weights + 12_000  # Adam keeps two moments
    assert size < X.nbytes / 2


@pytest.mark.parametrize("options", [{}, {"norm": "batch", "dropout": 0.1}])
def test_training_goes_on_from_a_pickle(options):
    X, y = digits()
    classifier = nn.FNNClassifier((8,), epochs=2, random_state=0, **options).fit(X, y)
    again = pickle.loads(pickle.dumps(classifier))
    for one in (classifier, again):
        one.partial_fit(X, y)
    np.testing.assert_allclose(again.predict_proba(X), classifier.predict_proba(X), rtol=1e-4)
    assert again.loss_curve_ == pytest.approx(classifier.loss_curve_, rel=1e-4)
    assert again.n_iter_ == 3
