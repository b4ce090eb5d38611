"""The estimators as scikit-learn sees them, and as users use them."""

import pickle

import numpy as np
import pytest

import nn

pytest.importorskip("sklearn")
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

ESTIMATORS = [nn.FNNClassifier, nn.FNNRegressor]


def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def quick(**options):
    return nn.FNNClassifier(**{"hidden_dims": (16,), "lr": 0.02, "epochs": 30, "random_state": 0, **options})


@pytest.mark.slow
@pytest.mark.parametrize("kind", ESTIMATORS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_check_estimator_passes_without_an_expected_failure(kind):
    results = check_estimator(kind(), on_fail="raise", on_skip=None)
    assert len(results) > 50
    assert {result["status"] for result in results} <= {"passed", "skipped"}
    # The skipped checks need pandas, SciPy's switch for other array libraries, or a decision function.
    assert sum(result["status"] == "skipped" for result in results) <= 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"norm": "batch", "dropout": 0.1, "optimizer": "AdamW", "lr": 0.005, "weight_decay": 0.01},
        {"standardize": True, "early_stopping": True, "activation": "tanh", "lr": 0.005},
        {"optimizer": {"name": "rmsprop", "lr": 0.005}, "clip_norm": 1.0},
    ],
)
def test_check_estimator_passes_with_other_arguments(options):
    # With batches smaller than the data, a row of weight 2 is not the same as a row that occurs twice.
    expected = dict.fromkeys(
        (f"check_sample_weight_equivalence_on_{kind}_data" for kind in ("dense", "sparse")), "batches differ"
    )
    classifier = nn.FNNClassifier((32,), batch_size=16, epochs=15, **options)  # some checks ask it to learn
    check_estimator(classifier, on_fail="raise", on_skip=None, expected_failed_checks=expected)


def test_string_labels_come_back():
    X, y = iris()
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    classifier = quick().fit(X, names)
    assert classifier.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert set(classifier.predict(X)) <= set(names)
    assert classifier.score(X, names) > 0.95


def test_probabilities():
    X, y = iris()
    classifier = quick().fit(X, y)
    p = classifier.predict_proba(X)
    assert p.shape == (150, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    assert (p >= 0).all()
    np.testing.assert_array_equal(p.argmax(axis=1), classifier.predict(X))


def test_no_hidden_layer_is_logistic_regression():
    """Trained to convergence without a penalty, on all data at once, both have the same optimum."""
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)[:, :3]
    peer = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10000).fit(X, y)
    ours = nn.FNNClassifier((), optimizer="lbfgs", epochs=500, random_state=0).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), peer.predict_proba(X), atol=1e-4)


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    X, y = iris()
    first, second, other = (quick(random_state=seed, dropout=0.2).fit(X, y).predict_proba(X) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_dtype_follows_X():
    X, y = iris()
    assert quick().fit(X, y).predict_proba(X).dtype == np.float64
    narrow = quick().fit(X.astype(np.float32), y)
    assert narrow.predict_proba(X.astype(np.float32)).dtype == np.float32
    assert {p.dtype for p in narrow.model_.parameters()} == {np.dtype(np.float32)}


def test_attributes_of_a_fitted_estimator():
    X, y = iris()
    classifier = quick(epochs=7).fit(X, y)
    assert classifier.n_iter_ == len(classifier.loss_curve_) == 7
    assert classifier.n_features_in_ == 4
    assert classifier.loss_curve_[-1] < classifier.loss_curve_[0]
    assert not any(module.training for module in classifier.model_.modules())


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_unfitted_says_so_first(kind):
    with pytest.raises(NotFittedError):
        kind().predict(object())


def test_fitting_again_begins_anew_and_partial_fit_goes_on():
    X, y = iris()
    classifier = quick(epochs=3).fit(X, y)
    assert classifier.fit(X, y).n_iter_ == 3
    assert classifier.partial_fit(X, y).n_iter_ == 4
    online = quick()
    with pytest.raises(ValueError, match="classes is missing; the first call needs all labels"):
        online.partial_fit(X[:50], y[:50])
    for start in range(0, 150, 50):
        online.partial_fit(X[start : start + 50], y[start : start + 50], classes=[0, 1, 2])
    assert online.n_iter_ == 3
    assert online.predict_proba(X).shape == (150, 3)
    with pytest.raises(ValueError, match="differ from those of the first call"):
        online.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match=r"labels \[3\]"):
        online.partial_fit(X, y + 1)


def test_partial_fit_is_an_epoch_of_fit():
    X, y = iris()
    whole = quick(epochs=2).fit(X, y)
    parts = quick().partial_fit(X, y, classes=[0, 1, 2]).partial_fit(X, y)
    np.testing.assert_array_equal(whole.predict_proba(X), parts.predict_proba(X))


def test_weights_of_zero_leave_samples_out():
    X, y = iris()
    weight = np.r_[np.ones(100), np.zeros(50)]
    weighted = quick(batch_size=200).fit(X, y, sample_weight=weight)
    assert weighted.predict_proba(X)[:, 2].max() < 0.5  # a class that was never seen
    with pytest.raises(ValueError, match=r"all weights are 0|non-zero"):
        quick().fit(X, y, sample_weight=np.zeros(150))


def test_a_class_weight_hides_no_negative_sample_weight():
    """The product of the weight -1 and a class weight of 0 or -2 would pass."""
    X, y = iris()
    for factor in (0.0, -2.0):
        with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
            quick(class_weight={0: factor, 1: 1, 2: 1}).fit(X, y, sample_weight=np.where(y == 0, -1.0, 1.0))


def test_class_weights_move_the_border():
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(0, 1, (300, 2)), rng.normal(1, 1, (30, 2))]
    y = np.r_[np.zeros(300, int), np.ones(30, int)]
    plain, balanced, weighted = (
        quick(class_weight=weight).fit(X, y).predict(X)[y == 1].mean() for weight in (None, "balanced", {0: 1, 1: 10})
    )
    assert balanced > plain + 0.2
    np.testing.assert_allclose(weighted, balanced, atol=0.1)


def test_early_stopping_ends_before_the_last_epoch_with_the_best_weights():
    X, y = load_breast_cancer(return_X_y=True)
    options = {"standardize": True, "early_stopping": True, "patience": 3, "epochs": 200, "hidden_dims": (64,)}
    classifier = quick(**options).fit(X, y)
    history = classifier.model_.history
    assert classifier.n_iter_ < 200
    assert history.stopped == "early stopping"
    assert len(history) == history.best("val_loss") + 1 + 3


def test_regression_of_one_and_of_several_targets():
    X, y = load_diabetes(return_X_y=True)
    X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()
    one = nn.FNNRegressor((32,), epochs=40, random_state=0).fit(X, y)
    assert one.predict(X).shape == y.shape
    assert one.score(X, y) > 0.4
    several = nn.FNNRegressor((32,), epochs=40, random_state=0).fit(X, np.c_[y, -y])
    assert several.predict(X).shape == (len(y), 2)
    assert several.score(X, np.c_[y, -y]) > 0.4


def test_pipeline_grid_search_and_parallel_jobs():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), quick())
    assert cross_val_score(pipeline, X, y, cv=3).min() > 0.85
    grid = {"fnnclassifier__hidden_dims": [(4,), (16, 16)], "fnnclassifier__norm": [None, "batch"]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(X, y)
    assert search.best_score_ > 0.9
    assert len(search.cv_results_["mean_test_score"]) == 4


def test_clone_has_the_arguments_and_nothing_learned():
    hidden = [8, nn.Layer(units=4, activation="selu"), {"units": 2, "norm": "layer"}]
    classifier = quick(hidden_dims=hidden).fit(*iris())
    twin = clone(classifier)
    assert not hasattr(twin, "model_")
    assert twin.get_params()["lr"] == 0.02
    np.testing.assert_array_equal(twin.fit(*iris()).predict_proba(iris()[0]), classifier.predict_proba(iris()[0]))
    assert [type(m).__name__ for m in twin.model_.network.layers] == [
        *("Linear", "ReLU", "Linear", "SELU", "Linear", "LayerNorm", "ReLU", "Linear")
    ]


def test_pickle_predicts_the_same():
    X, y = iris()
    classifier = quick(norm="batch", dropout=0.1).fit(X, y)
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(X), classifier.predict_proba(X))
    again.partial_fit(X, y)


def test_standardize_is_the_first_layer_and_is_saved(tmp_path):
    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    classifier = quick(standardize=True).fit(X_train, y_train)
    assert classifier.score(X_test, y_test) > 0.93
    np.testing.assert_allclose(classifier.model_.network[0].mean.data, X_train.mean(axis=0), rtol=1e-12)
    nn.save(tmp_path / "model.npz", classifier.model_)
    model = nn.load(tmp_path / "model.npz").model
    np.testing.assert_array_equal(model.predict(X_test).argmax(axis=1), classifier.predict(X_test))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"activation": "rleu"}, r"sizes\[1\]: activation 'rleu' is not one of auto, relu"),
        (
            {"hidden_dims": (8, 8), "dropout": [0.1]},
            "dropout has 1 entries, expected one for each of the 2 hidden layers",
        ),
        ({"hidden_dims": (0,)}, r"sizes\[1\]: units must be an integer"),
        ({"optimizer": "adom"}, "optimizer 'adom' is not one of sgd"),
        ({"lr": -1.0}, "lr must be"),
        ({"beta_1": 1.0}, "betas must be"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"epochs": 0}, "epochs must be"),
        ({"early_stopping": True, "validation_fraction": 1.5}, "validation_fraction must be"),
        ({"early_stopping": True, "patience": 0}, "patience must be"),
    ],
)
def test_bad_arguments_are_named(options, text):
    with pytest.raises(ValueError, match=text):
        quick(**options).fit(*iris())


def test_one_width_and_any_case_of_a_name():
    X, y = iris()
    one, listed = quick(hidden_dims=16, optimizer="AdamW").fit(X, y), quick(optimizer="adamw").fit(X, y)
    np.testing.assert_array_equal(one.predict_proba(X), listed.predict_proba(X))
    skipping = quick(optimizer={"name": "adam", "skip_nonfinite": True}).fit(X, y)
    assert skipping.model_.optimizer.skipped == 0
    for wrong in (None, nn.Adam):
        with pytest.raises(ValueError, match="optimizer must be a name, or a dict of name and options"):
            quick(optimizer=wrong).fit(X, y)


@pytest.mark.parametrize("partial", [False, True])
def test_no_row_is_left_out_of_an_epoch(partial):
    """A batch norm learns badly from a batch of few rows, so 63 rows are 32 and 31, not 32 and a rest."""
    X, y = (part[::2][:63] for part in iris())
    seen = []

    def loss(logits, labels):
        seen.append(len(labels))
        return nn.functional.cross_entropy(logits, labels)

    classifier = quick(norm="batch", batch_size=32, epochs=1, loss=loss)
    classifier.partial_fit(X, y, classes=[0, 1, 2]) if partial else classifier.fit(X, y)
    assert seen[-2:] == [32, 31]


def test_scikit_learn_knows_what_they_are():
    assert is_classifier(nn.FNNClassifier())
    assert is_regressor(nn.FNNRegressor())
