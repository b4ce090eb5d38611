"""How the estimators train: convergence, L-BFGS, warm starts, validation data, interruptions; and what they keep."""

import os
import signal

import numpy as np
import pytest

import nn
import tensorgrad as tg

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

ESTIMATORS = [nn.FNNClassifier, nn.FNNRegressor]
UNFITTED = (
    "coefs_ intercepts_ loss_ best_loss_ loss_curve_ validation_scores_ best_validation_score_ n_layers_ n_outputs_ "
    "out_activation_ t_ n_iter_"
).split()


def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def quick(**options):
    return nn.FNNClassifier(**{"hidden_dims": (16,), "lr": 0.02, "epochs": 10, "random_state": 0, **options})


# --- beside MLPClassifier -------------------------------------------------------------------------------


def test_steps_and_weights_are_those_of_scikit_learn():
    """From the same weights, plain gradient descent goes the same way; ``alpha`` is ``l2`` as the error says."""
    X, y = iris()
    theirs = MLPClassifier(
        (5, 4), solver="sgd", activation="tanh", momentum=0, alpha=0.3, batch_size=150, learning_rate_init=0.1
    )
    theirs.partial_fit(X, y, classes=[0, 1, 2])
    options = {"activation": "tanh", "optimizer": "sgd", "lr": 0.1, "batch_size": 150, "l2": 0.3 / (2 * 150)}
    ours = nn.FNNClassifier((5, 4), **options).partial_fit(X, y, classes=[0, 1, 2])
    for own, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        own[...] = other
    for _ in range(5):
        ours.partial_fit(X, y)
        theirs.partial_fit(X, y)
    for own, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.predict_log_proba(X), theirs.predict_log_proba(X), rtol=1e-8)
    for name in ("n_layers_", "n_outputs_", "out_activation_", "t_"):
        assert getattr(ours, name) == getattr(theirs, name), name


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_attributes_of_a_fitted_estimator(kind):
    X, y = iris()
    assert not [name for name in UNFITTED if hasattr(kind(), name)]
    fitted = kind((6, 5), norm=["batch", None], epochs=4, random_state=0).fit(X, y)
    assert [w.shape for w in fitted.coefs_] == [(4, 6), (6, 5), (5, fitted.n_outputs_)]
    assert [b.shape for b in fitted.intercepts_] == [(6,), (5,), (fitted.n_outputs_,)]
    assert not fitted.intercepts_[0].any()
    assert fitted.n_layers_ == 4
    assert fitted.n_iter_ == len(fitted.loss_curve_) == 4
    assert fitted.t_ == 4 * 150
    assert fitted.loss_ == fitted.loss_curve_[-1]
    assert fitted.best_loss_ == min(fitted.loss_curve_)
    assert fitted.validation_scores_ is fitted.best_validation_score_ is None
    assert fitted.out_activation_ == ("softmax" if kind is nn.FNNClassifier else "identity")


def test_logarithms_of_probabilities():
    X, y = iris()
    classifier = quick(epochs=30).fit(X, y)
    np.testing.assert_allclose(np.exp(classifier.predict_log_proba(X)), classifier.predict_proba(X), rtol=1e-12)
    assert np.isfinite(classifier.predict_log_proba(1e3 * X)).all()  # where the probability is 0


def test_the_order_of_the_rows_may_stay():
    X, y = iris()
    kept = [quick(shuffle=False, epochs=2).fit(X, y).predict_proba(X) for _ in range(2)]
    np.testing.assert_array_equal(*kept)
    assert (quick(epochs=2).fit(X, y).predict_proba(X) != kept[0]).any()
    seen = []
    quick(shuffle=False, epochs=1, loss=lambda p, t: (seen.append(t), nn.functional.cross_entropy(p, t))[1]).fit(X, y)
    np.testing.assert_array_equal(np.concatenate(seen[-5:]), y)


def test_an_automatic_batch_has_up_to_200_rows():
    for rows, batch in ((150, 150), (500, 200)):
        X, y = (part[:rows] for part in load_breast_cancer(return_X_y=True))
        same = [quick(batch_size=size, epochs=2).fit(X, y).predict_proba(X) for size in ("auto", batch)]
        np.testing.assert_array_equal(*same)


# --- L-BFGS ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", None])
def test_lbfgs_takes_all_rows_at_once(activation):
    X, y = load_digits(n_class=3, return_X_y=True)
    sizes = []

    def loss(p, t):
        sizes.append(len(t))
        return nn.functional.cross_entropy(p, t)

    options = {"activation": activation, "optimizer": "lbfgs", "random_state": 0}
    classifier = nn.FNNClassifier((50,), loss=loss, **options).fit(X[:200] / 16, y[:200])
    assert set(sizes[1:]) == {200}
    assert classifier.score(X[:200] / 16, y[:200]) > 0.95
    assert classifier.n_iter_ == len(classifier.loss_curve_) <= 100
    assert classifier.loss_curve_ == sorted(classifier.loss_curve_, reverse=True)
    assert classifier.t_ == 200 * classifier.n_iter_


def test_lbfgs_says_if_it_has_not_converged():
    X, y = make_regression(n_samples=100, n_features=5, noise=10.0, random_state=0)
    y = y / y.std()
    with pytest.warns(ConvergenceWarning, match="L-BFGS ended after 3 iterations without converging; give more epochs"):
        short = nn.FNNRegressor((50,), optimizer="lbfgs", epochs=3, random_state=0).fit(X, y)
    assert short.n_iter_ == 3
    with pytest.warns(ConvergenceWarning, match="without converging"):
        nn.FNNRegressor((50,), optimizer={"name": "lbfgs", "max_eval": 5}, random_state=0).fit(X, y)
    rough = nn.FNNRegressor((50,), optimizer="lbfgs", epochs=500, tol=0.02, random_state=0).fit(X, y)
    fine = nn.FNNRegressor((50,), optimizer="lbfgs", epochs=500, tol=0.002, random_state=0).fit(X, y)
    assert rough.n_iter_ < fine.n_iter_
    assert fine.loss_ < rough.loss_


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lr": 0.1}, "does not use lr: .*leave it out"),
        ({"batch_size": 64, "weight_decay": 0.1}, "does not use weight_decay, batch_size: .*leave them out"),
        ({"early_stopping": True}, "does not use early_stopping"),
        ({"schedule": "cosine"}, "does not use schedule"),
        ({"callbacks": [nn.Callback()]}, "does not use callbacks"),
        ({"dropout": 0.1}, "needs a loss without noise, got dropout"),
        ({"hidden_dims": [{"units": 4, "dropout": 0.5}]}, "needs a loss without noise, got dropout"),
    ],
)
def test_lbfgs_refuses_what_it_does_not_use(options, text):
    with pytest.raises(ValueError, match=f"FNNClassifier: optimizer='lbfgs' {text}"):
        nn.FNNClassifier(optimizer="lbfgs", **options).fit(*iris())


def test_lbfgs_takes_no_validation_data_and_no_parts():
    X, y = iris()
    classifier = nn.FNNClassifier(optimizer="LBFGS", batch_size="auto", callbacks=[])
    with pytest.raises(ValueError, match="optimizer='lbfgs' does not use validation_data"):
        classifier.fit(X, y, validation_data=(X, y))
    assert not hasattr(classifier, "partial_fit")
    with pytest.raises(AttributeError) as raised:
        classifier.partial_fit(X, y)
    assert "takes all rows at once" in str(raised.value.__cause__)


# --- convergence and validation data --------------------------------------------------------------------


@pytest.mark.parametrize("patience", [2, 5])
def test_training_ends_when_the_loss_no_longer_improves(patience):
    X, y = iris()
    classifier = quick(tol=0.05, patience=patience, epochs=500).fit(X, y)
    curve = np.array(classifier.loss_curve_)
    assert patience < classifier.n_iter_ < 500
    # The last epochs improved by less than tol on the best before them, and the one before them by more.
    best = np.minimum.accumulate(curve)
    assert (curve[-patience:] >= best[-patience - 1] - 0.05).all()
    with pytest.warns(ConvergenceWarning, match="the 3 epochs ended before the loss went 5 epochs without improving"):
        quick(tol=1e-4, patience=5, epochs=3).fit(X, y)


def test_early_stopping_follows_tol():
    X, y = load_breast_cancer(return_X_y=True)
    options = {"standardize": True, "early_stopping": True, "patience": 3, "epochs": 100, "lr": 0.001}
    plain, rough = quick(**options).fit(X, y), quick(**options, tol=0.05).fit(X, y)
    assert rough.n_iter_ < plain.n_iter_
    assert plain.best_loss_ is None


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_validation_scores(kind):
    X, y = iris()
    fitted = kind(epochs=8, early_stopping=True, validation_fraction=0.2, random_state=0).fit(X, y)
    assert len(fitted.validation_scores_) == fitted.n_iter_
    assert fitted.best_validation_score_ == max(fitted.validation_scores_)
    given = kind(epochs=8, random_state=0).fit(X[::2], y[::2], validation_data=(X[1::2], y[1::2]))
    assert given.validation_scores_[-1] == pytest.approx(given.score(X[1::2], y[1::2]), rel=1e-12)
    assert given.n_iter_ == 8
    assert given.best_loss_ == min(given.loss_curve_)
    assert given.model_.history["val_loss"][-1] == pytest.approx(
        given.model_.evaluate(X[1::2], targets(given, y[1::2]))["loss"], rel=1e-12
    )


def targets(fitted, y):
    return y if isinstance(fitted, nn.FNNClassifier) else y[:, None].astype(float)


def test_weights_of_one_change_nothing_with_early_stopping():
    X, y = iris()
    plain = quick(early_stopping=True).fit(X, y)
    weighted = quick(early_stopping=True).fit(X, y, sample_weight=np.ones(150))
    np.testing.assert_allclose(plain.predict_proba(X), weighted.predict_proba(X), rtol=1e-6)


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_names_of_features_are_kept(kind):
    pd = pytest.importorskip("pandas")
    X, y = load_iris(return_X_y=True, as_frame=True)
    fitted = kind(epochs=2, early_stopping=True).fit(X, y, validation_data=(X[::2], y[::2]))
    assert fitted.feature_names_in_.tolist() == X.columns.tolist()
    fitted.score(X, y)
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(pd.DataFrame(X.to_numpy(), columns=list("abcd")))


def test_given_validation_data_take_the_place_of_held_out_rows():
    X, y = iris()
    names = np.array(["a", "b", "c"])[y]
    weight = np.r_[np.ones(25), np.zeros(25), np.ones(25)]
    stopped = quick(early_stopping=True, patience=3, epochs=300, lr=0.05)
    stopped.fit(X[::2], names[::2], validation_data=(X[1::2], names[1::2], weight))
    assert stopped.n_iter_ < 300
    assert stopped.t_ == 75 * stopped.n_iter_
    best = stopped.model_.history.best("val_loss")
    assert stopped.n_iter_ == best + 1 + 3
    kept = weight > 0
    score = stopped.score(X[1::2][kept], names[1::2][kept])
    assert stopped.validation_scores_[best] == pytest.approx(score, rel=1e-12)


def test_validation_data_that_do_not_fit_are_refused_before_any_work():
    X, y = iris()
    callback = nn.Callback()
    callback.on_fit_begin = lambda fit: pytest.fail("the training began")
    classifier = quick(callbacks=[callback])
    for wrong, error, text in [
        (X, TypeError, r"validation_data must be \(X, y\) or \(X, y, sample_weight\), got ndarray"),
        ((X,), TypeError, "got 1 values"),
        ((X[:, :3], y), ValueError, "3 features"),
        ((X, y + 1), ValueError, r"labels \[3\]"),
        ((X, y, np.zeros(150)), ValueError, "all weights are 0|non-zero"),
    ]:
        with pytest.raises(error, match=text):
            classifier.fit(X, y, validation_data=wrong)
    with pytest.raises(ValueError, match="features") as raised:
        classifier.fit(X, y, validation_data=(X[:, :3], y))
    assert raised.value.__notes__ == ["This is about validation_data of FNNClassifier.fit."]


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_too_few_rows_to_hold_some_out(kind):
    with pytest.raises(ValueError, match=r"early_stopping=True holds rows out, got 1 sample \(n_samples=1\)"):
        kind(early_stopping=True).fit([[1.0, 2.0]], [1])
    with pytest.raises(ValueError, match=r"validation_fraction=0\.9 of n_samples=3 leaves none to train on"):
        kind(early_stopping=True, validation_fraction=0.9).fit(np.eye(3), [1, 2, 3])
    two = kind(early_stopping=True, epochs=2).fit(np.eye(2), [1, 2])
    assert len(two.validation_scores_) == 2


# --- going on -------------------------------------------------------------------------------------------


def test_warm_start_goes_on_with_the_network():
    X, y = iris()
    warm = quick(warm_start=True, epochs=3).fit(X, y)
    first, curve = warm.coefs_[0].copy(), warm.loss_curve_
    warm.set_params(epochs=5, lr=0.001).fit(X, y)
    assert warm.n_iter_ == 5
    assert warm.loss_curve_[:3] == curve
    assert len(warm.loss_curve_) == len(warm.model_.history) == 8
    assert warm.t_ == 8 * 150
    assert warm.model_.optimizer.lr == 0.001
    assert warm.loss_curve_[3] < curve[0]
    assert (warm.coefs_[0] != first).any()
    cold = quick(epochs=3).fit(X, y)
    np.testing.assert_array_equal(cold.fit(X, y).coefs_[0], first)


def test_warm_start_with_early_stopping_and_with_lbfgs():
    X, y = iris()
    warm = quick(warm_start=True, early_stopping=True, epochs=3).fit(X, y)
    assert len(warm.fit(X, y).validation_scores_) == 6
    newton = nn.FNNClassifier((16,), optimizer="lbfgs", warm_start=True, tol=1e-3, random_state=0).fit(X, y)
    count = newton.n_iter_
    assert newton.fit(X, y).n_iter_ < count  # it is there already
    assert newton.loss_ <= newton.loss_curve_[0]


def test_warm_start_refuses_other_data_and_another_network():
    X, y = iris()
    warm = quick(warm_start=True, epochs=1).fit(X, y)
    with pytest.raises(ValueError, match=r"labels \[3\], which are not in classes \[0, 1, 2\]"):
        warm.fit(X, np.where(y == 2, 3, y))
    with pytest.raises(ValueError, match="3 features"):
        warm.fit(X[:, :3], y)
    with pytest.raises(ValueError, match=r"goes on with a network made with hidden_dims=\(16,\), got \(8,\)"):
        warm.set_params(hidden_dims=(8,)).fit(X, y)
    warm.set_params(hidden_dims=(16,)).fit(X[:100], y[:100])  # a class may be missing


def test_balanced_classes_cannot_be_known_in_parts():
    X, y = iris()
    online = quick(class_weight="balanced")
    with pytest.raises(ValueError, match="class_weight='balanced' would balance each part of the data by itself"):
        online.partial_fit(X, y, classes=[0, 1, 2])
    assert not hasattr(online, "model_")
    with pytest.raises(ValueError, match="partial_fit: class_weight='balanced'"):
        online.fit(X, y).partial_fit(X, y)
    factors = quick(class_weight={0: 1.0, 1: 1.0, 2: 50.0}).partial_fit(X, y, classes=[0, 1, 2])
    assert (factors.predict(X) == 2).mean() > (quick().partial_fit(X, y, classes=[0, 1, 2]).predict(X) == 2).mean()


def test_parts_may_have_labels_that_did_not_occur_yet():
    online = quick().partial_fit([[1.0], [2.0], [3.0]], ["a", "b", "c"], classes=["a", "b", "c", "d"])
    online.partial_fit([[4.0]], ["d"])
    assert online.predict_proba([[1.0]]).shape == (1, 4)


def test_early_stopping_holds_nothing_out_of_parts():
    assert not hasattr(quick(early_stopping=True), "partial_fit")
    assert hasattr(quick(), "partial_fit")


# --- schedules, callbacks, lines ------------------------------------------------------------------------


def test_a_schedule_and_callbacks_reach_the_training_run():
    X, y = iris()
    epochs = []
    callback = nn.Callback()
    callback.on_epoch_end = lambda fit: epochs.append(fit.epoch)
    classifier = quick(schedule={"name": "step", "step_size": 2, "gamma": 0.5}, callbacks=[callback], epochs=4)
    classifier.fit(X, y)
    assert epochs == [1, 2, 3, 4]
    assert classifier.model_.history["lr"] == [0.02, 0.02, 0.01, 0.01]
    each = quick(schedule={"name": "exponential", "gamma": 0.5}, schedule_every="step", batch_size=75, epochs=2)
    assert each.fit(X, y).model_.history["lr"] == [0.02, 0.005]
    with pytest.raises(TypeError, match=r"callbacks must be nn\.Callback objects, got 3"):
        quick(callbacks=[3]).fit(X, y)


def test_verbose_prints_a_line_for_each_epoch(capsys):
    X, y = iris()
    quick(epochs=2, early_stopping=True, verbose=True).fit(X, y)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert all(" loss " in line and ", val_loss " in line for line in lines)
    quick(verbose=1).partial_fit(X, y, classes=[0, 1, 2])
    assert capsys.readouterr().err.startswith("epoch 1/1: loss ")
    quick().fit(X, y)
    assert capsys.readouterr() == ("", "")


# --- how it ends ----------------------------------------------------------------------------------------


class Interrupt(nn.Callback):
    """Sends Ctrl-C in an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, fit):
        if fit.epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_is_an_interrupt_and_keeps_what_was_learned():
    X, y = iris()
    classifier = quick(callbacks=[Interrupt(3)], epochs=50)
    with pytest.raises(KeyboardInterrupt):
        classifier.fit(X, y)
    assert classifier.n_iter_ == 3
    assert len(classifier.predict(X)) == 150
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(quick(callbacks=[Interrupt(2)]), X, y, cv=2)


@pytest.mark.filterwarnings("ignore:overflow encountered")
@pytest.mark.filterwarnings("ignore:invalid value encountered")
@pytest.mark.filterwarnings("ignore:backward.. starts from a loss")
def test_a_diverging_fit_raises_one_error_that_names_the_parameter():
    X, y = make_regression(n_samples=100, random_state=0)
    regressor = nn.FNNRegressor((16,), optimizer="sgd", lr=1e3, epochs=20, random_state=0)
    with pytest.raises(tg.NonFiniteError, match=r"^SGD.step: the gradient of 'layers\.") as raised:
        regressor.fit(X, y)
    assert raised.value.__cause__ is raised.value.__context__ is None
    (note,) = raised.value.__notes__
    assert "the training run diverged in epoch" in note
    assert "a smaller lr" in note
    assert vars(regressor) == vars(clone(regressor))


def test_a_fit_that_fails_leaves_the_estimator_as_it_was():
    X, y = iris()
    names = np.array(["a", "b", "c"])[y]
    classifier = quick().fit(X, names)
    before = dict(vars(classifier))
    with pytest.raises(ValueError, match="features"):
        classifier.fit(X[:, :3], y, validation_data=(X, y))
    with pytest.raises(ValueError, match="cannot be used to seed"):
        classifier.set_params(random_state="seed").fit(X[:, :3], y)
    classifier.set_params(random_state=0)
    assert vars(classifier) == before
    assert classifier.score(X, names) > 0.9
