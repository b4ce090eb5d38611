"""What the estimators take as data: sparse matrices, several labels, counts; and the losses for them."""

import numpy as np
import pytest

import nn
import tensorgrad as tg

pytest.importorskip("sklearn")
from scipy import sparse
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification, make_regression
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import accuracy_score, mean_pinball_loss, roc_auc_score

FORMATS = ("csr_matrix", "csr_array", "csc_matrix", "coo_array", "lil_matrix")


def several(**options):
    return nn.FNNClassifier(**{"hidden_dims": (50,), "lr": 0.01, "epochs": 60, "random_state": 0, **options})


# --- sparse matrices ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_a_sparse_matrix_trains_the_network_of_the_dense_one(kind):
    X, y = load_digits(n_class=3, return_X_y=True)
    made = getattr(sparse, kind)(X)
    weight = np.linspace(0.5, 1.5, len(X))
    weight[::7] = 0
    options = {"epochs": 3, "standardize": True, "early_stopping": True, "random_state": 0}
    plain, ours = (nn.FNNClassifier(**options).fit(data, y, sample_weight=weight) for data in (X, made))
    assert len(plain.validation_scores_) == len(ours.validation_scores_)
    np.testing.assert_allclose(plain.predict_proba(X), ours.predict_proba(made), rtol=1e-8)
    assert ours.score(made, y) == pytest.approx(plain.score(X, y), rel=0.02)
    plain, ours = (nn.FNNRegressor(random_state=0).partial_fit(data, y) for data in (X, made))
    np.testing.assert_allclose(plain.predict(X), ours.predict(made), rtol=1e-8)


def test_a_sparse_matrix_is_never_dense_as_a_whole(monkeypatch):
    X = sparse.random(3000, 40, density=0.1, format="csr", random_state=0)
    y = np.arange(3000) % 2
    most, whole = [], type(X).toarray
    monkeypatch.setattr(type(X), "toarray", lambda self, *a, **k: (most.append(self.shape[0]), whole(self, *a, **k))[1])
    classifier = nn.FNNClassifier((4,), epochs=2, early_stopping=True, random_state=0).fit(X, y)
    assert max(most) <= 1024
    assert sum(most) >= 2 * 3000
    most.clear()
    assert len(classifier.predict(X)) == 3000
    assert max(most) <= 1024


# --- several labels -------------------------------------------------------------------------------------


def test_several_labels_have_a_probability_each():
    X, Y = make_multilabel_classification(n_samples=100, random_state=0)
    classifier = several(standardize=True).fit(X, Y)
    p = classifier.predict_proba(X)
    assert p.shape == Y.shape
    assert classifier.classes_.tolist() == [0, 1, 2, 3, 4]
    assert (classifier.out_activation_, classifier.n_outputs_) == ("logistic", 5)
    assert np.ptp(p.sum(axis=1)) > 0.5  # they do not add up to 1
    np.testing.assert_array_equal(classifier.predict(X), p > 0.5)
    np.testing.assert_allclose(np.exp(classifier.predict_log_proba(X)), p, rtol=1e-12)
    assert roc_auc_score(Y, p) > 0.99
    assert classifier.score(X, Y) == accuracy_score(Y, classifier.predict(X)) > 0.9
    logits = classifier.model_.predict(X)
    np.testing.assert_allclose(p, 1 / (1 + np.exp(-logits)), rtol=1e-12)


def test_several_labels_in_other_forms():
    X, Y = make_multilabel_classification(n_samples=60, random_state=0)
    plain = several(epochs=3).fit(X, Y).predict_proba(X)
    for given in (Y.astype(bool), Y.astype(float), sparse.csr_matrix(Y), Y.tolist()):
        np.testing.assert_array_equal(several(epochs=3).fit(X, given).predict_proba(X), plain)
    one_hot = np.eye(3)[load_iris().target]
    hot = several(lr=0.02).fit(load_iris().data, one_hot)
    assert hot.score(load_iris().data, one_hot) > 0.8
    stopped = several(early_stopping=True).fit(X, Y)
    assert max(stopped.validation_scores_) == stopped.best_validation_score_


def test_several_labels_in_parts():
    X, Y = make_multilabel_classification(n_samples=60, random_state=0)
    online = several()
    for _ in range(3):
        online.partial_fit(X, Y)
    assert online.n_iter_ == 3
    online.partial_fit(X[:5], np.zeros((5, 5), int), classes=range(5))
    with pytest.raises(ValueError, match=r"y has shape \(60,\), expected \(samples, 5\): 0 and 1 of each label"):
        online.partial_fit(X, Y[:, 0])
    with pytest.raises(ValueError, match=r"y has 4 columns, expected one for each of the labels \[0, 1, 2, 3, 4\]"):
        online.partial_fit(X, Y[:, :4])
    single = several().partial_fit(X, Y[:, 0], classes=[0, 1])
    with pytest.raises(ValueError, match=r"y has shape \(60, 5\), expected \(samples,\), as in the fit before"):
        single.partial_fit(X, Y)


@pytest.mark.parametrize(
    ("options", "y", "text"),
    [
        ({}, np.array([[0, 2], [1, 0], [2, 1]]), r"stands for several labels, each 0 or 1, got \[0, 1, 2\]"),
        ({}, np.array([[1, 2], [2, 1], [1, 1]]), r"stands for several labels, each 0 or 1, got \[1, 2\]"),
        ({"class_weight": "balanced"}, np.eye(3, dtype=int), "class_weight is for one label of each row"),
        ({"loss": "cross_entropy"}, np.eye(3, dtype=int), "loss for several labels.* must be 'bce_with_logits'"),
        ({"loss": "mse"}, np.arange(3), "loss for one label of each row must be 'cross_entropy'"),
    ],
)
def test_targets_that_do_not_fit_are_refused(options, y, text):
    with pytest.raises(ValueError, match=text):
        several(**options).fit(np.eye(3), y)


# --- losses ---------------------------------------------------------------------------------------------


def test_the_classifiers_loss_may_have_options_or_be_a_function():
    X, y = load_iris(return_X_y=True)
    smooth = {"name": "cross_entropy", "label_smoothing": 0.2}
    by_name = several(loss=smooth).fit(X, y)
    by_hand = several(loss=lambda p, t: nn.functional.cross_entropy(p, t, label_smoothing=0.2)).fit(X, y)
    np.testing.assert_array_equal(by_name.predict_proba(X), by_hand.predict_proba(X))
    assert by_name.predict_proba(X).max() < several().fit(X, y).predict_proba(X).max()
    XX, Y = make_multilabel_classification(n_samples=60, n_classes=3, random_state=0)
    weighted = several(epochs=5, loss={"name": "bce_with_logits", "pos_weight": [20.0] * 3}).fit(XX, Y)
    assert weighted.predict(XX).mean() > several(epochs=5).fit(XX, Y).predict(XX).mean()


def test_poisson_without_a_hidden_layer_is_the_generalised_linear_model():
    rng = np.random.default_rng(0)
    X = np.linspace(0, 1, 100).reshape(-1, 1)
    y = rng.poisson(np.exp(X[:, 0] + 1))
    peer = PoissonRegressor(alpha=0, tol=1e-7).fit(X, y)
    ours = nn.FNNRegressor((), loss="poisson", optimizer="lbfgs", epochs=200, random_state=0).fit(X, y)
    np.testing.assert_allclose(ours.predict(X), peer.predict(X), rtol=1e-3)
    assert ours.out_activation_ == "exp"
    assert ours.model_.predict(X)[0, 0] == pytest.approx(np.log(ours.predict(X)[0]), rel=1e-12)
    with pytest.raises(ValueError, match="leave log_input out"):
        nn.FNNRegressor(loss={"name": "poisson", "log_input": False}).fit(X, y)
    full = nn.FNNRegressor(loss={"name": "poisson", "full": True}, epochs=1).fit(X, y)
    assert full.out_activation_ == "exp"
    with pytest.raises(ValueError, match=r"loss='poisson' is for counts and rates, at least 0, got -1\.0 in y"):
        ours.fit(X, y - 1.0 - y.min())


@pytest.mark.parametrize("q", [0.1, 0.5, 0.9])
def test_the_quantile_loss_predicts_the_quantile(q):
    y = np.random.default_rng(0).normal(size=400)
    X = np.ones((400, 1))
    options = {"lr": 0.1, "schedule": {"name": "cosine", "T_max": 30}, "epochs": 30, "random_state": 0}
    predicted = nn.FNNRegressor((), loss={"name": "quantile", "q": q}, **options).fit(X, y).predict(X)
    best = np.full(400, np.quantile(y, q))
    assert mean_pinball_loss(y, predicted, alpha=q) < 1.01 * mean_pinball_loss(y, best, alpha=q)
    assert abs((y < predicted).mean() - q) < 0.04


def test_the_regressors_loss_by_name_and_by_hand():
    X, y = make_regression(n_samples=60, n_features=3, random_state=0)
    y = y / y.std()

    def fit(loss):
        return nn.FNNRegressor((8,), loss=loss, epochs=3, random_state=0).fit(X, y)

    by_hand = fit(lambda p, t: tg.mean(tg.abs(p - t)))
    np.testing.assert_array_equal(fit("l1").predict(X), by_hand.predict(X))
    by_object, by_name = fit(nn.HuberLoss(delta=0.5)), fit({"name": "huber", "delta": 0.5})
    np.testing.assert_array_equal(by_object.predict(X), by_name.predict(X))
    assert (fit("huber").predict(X) != fit("mse").predict(X)).any()
    with pytest.raises(ValueError, match="loss must be one of mse, l1, huber, smooth_l1, quantile, poisson"):
        fit("hinge")


def test_a_regressor_needs_as_many_targets_as_before():
    X, y = make_regression(n_samples=20, n_features=3, n_targets=2, random_state=0)
    online = nn.FNNRegressor(random_state=0).partial_fit(X, y)
    with pytest.raises(ValueError, match="y has 1 columns, expected 2 as in the fit before"):
        online.partial_fit(X, y[:, 0])
