"""Early stopping, and training runs that are interrupted and resumed."""

import numpy as np
import pytest

import nn
import tensorgrad as tg

from .fits import Recorder, assert_same, data


class Scripted(nn.Callback):
    """Puts numbers into the history's rows, as if they had been measured."""

    def __init__(self, name, figures):
        self.name, self.figures = name, figures

    def on_epoch_end(self, fit):
        fit.row[self.name] = self.figures[fit.epoch - 1]


def trained(stop, name, figures):
    X, y = data(16)
    model = nn.Model(nn.MLP([4, 3], rng=0), optimizer="sgd", rng=0)
    weights = []
    keep = nn.Callback()
    keep.on_epoch_end = lambda fit: weights.append(fit.model.network.state_dict())
    model.fit(X, y, epochs=len(figures), callbacks=[Scripted(name, figures), keep, stop])
    return model, weights


@pytest.mark.parametrize(
    ("options", "name", "figures", "epochs", "best"),
    [
        ({"patience": 2}, "val_loss", [3, 2, 1, 1.5, 1.2, 0.5], 5, 3),
        ({"patience": 1}, "val_loss", [3, 2, 1, 0.5], 4, 4),
        ({"patience": 2}, "val_loss", [1, 1, 1, 0.5], 3, 1),
        ({"patience": 2, "min_delta": 0.6}, "val_loss", [3, 2, 1.5, 1.0, 0.9, 0.8], 6, 4),
        ({"patience": 2, "monitor": "x", "mode": "max"}, "x", [3, 4, 5, 1, 2, 9], 5, 3),
        ({"patience": 2, "monitor": "val_accuracy"}, "val_accuracy", [0.5, 0.9, 0.7, 0.8, 0.95], 4, 2),
        ({"patience": 1, "monitor": "val_f1"}, "val_f1", [0.1, 0.5, 0.3, 0.9], 3, 2),
        ({"patience": 1, "monitor": "val_roc_auc"}, "val_roc_auc", [0.1, 0.5, 0.3, 0.9], 3, 2),
        ({"patience": 1, "monitor": "val_log_loss"}, "val_log_loss", [0.5, 0.1, 0.3, 0.0], 3, 2),
        ({"patience": 1, "monitor": "val_r2"}, "val_r2", [-3.0, -1.0, -2.0, 0.5], 3, 2),
        (
            {"patience": 2, "monitor": "x", "mode": "min"},
            "x",
            [np.nan, 1.0, np.nan, np.nan, 0.0],
            4,
            2,
        ),
    ],
)
def test_it_stops_and_takes_the_best_weights(options, name, figures, epochs, best):
    model, weights = trained(nn.EarlyStopping(**options), name, figures)
    assert len(model.history) == epochs
    assert model.history.stopped == ("early stopping" if epochs < len(figures) or best < epochs - 1 else "")
    np.testing.assert_equal(model.network.state_dict(), weights[best - 1])


def test_the_best_running_statistics_come_back_too():
    X, y = data(16)
    network = nn.MLP([4, 5, 3], norm="batch", rng=0)
    kept = []
    keep = nn.Callback()
    keep.on_epoch_end = lambda fit: kept.append(fit.model.network.state_dict())
    callbacks = [Scripted("val_loss", [2, 1, 3, 3, 3]), keep, nn.EarlyStopping(patience=3)]
    nn.Model(network, rng=0).fit(X, y, epochs=5, callbacks=callbacks)
    name = "layers.1.running_mean"
    np.testing.assert_array_equal(network.state_dict()[name], kept[1][name])
    assert (kept[1][name] != kept[4][name]).all()


def test_the_last_weights_stay_if_wanted():
    model, weights = trained(nn.EarlyStopping(patience=2, restore_best=False), "val_loss", [1, 2, 3, 4])
    np.testing.assert_equal(model.network.state_dict(), weights[2])


def test_a_figure_that_is_not_there_is_named():
    X, y = data(16)
    with pytest.raises(
        KeyError, match=r"'val_loss' is not among loss, lr, grad_norm, seconds; give fit validation_data"
    ):
        nn.Model(nn.MLP([4, 3], rng=0)).fit(X, y, callbacks=[nn.EarlyStopping()])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.EarlyStopping(patience=0), "patience must be an integer of at least 1, got 0"),
        (lambda: nn.EarlyStopping(patience=2.5), "patience must be an integer of at least 1, got 2.5"),
        (lambda: nn.EarlyStopping(min_delta=-1.0), "min_delta must be a finite number of at least 0, got -1.0"),
        (lambda: nn.EarlyStopping(mode="least"), "mode must be 'auto', 'min' or 'max', got 'least'"),
        (lambda: nn.EarlyStopping(baseline="0.5"), "baseline must be a finite number, got '0.5'"),
        (lambda: nn.EarlyStopping(start_from_epoch=-1), "start_from_epoch must be an integer of at least 0, got -1"),
        (lambda: nn.EarlyStopping(mode="max"), "mode='max' contradicts 'val_loss', of which less is better"),
        (
            lambda: nn.EarlyStopping("accuracy", mode="min"),
            "mode='min' contradicts 'accuracy', of which more is better",
        ),
        (lambda: nn.EarlyStopping("x"), "whether more or less of 'x' is better cannot be told .* write mode='min'"),
        (lambda: nn.Checkpoint("a.npz", every=0), "every must be an integer of at least 1, got 0"),
    ],
)
def test_refusals(make, text):
    with pytest.raises(ValueError, match=text):
        make()


# --- going on -------------------------------------------------------------------------------------------


class Own(nn.Module):
    """A class that no file can rebuild, with a generator of its own."""

    def __init__(self, rng):
        super().__init__()
        self.body = nn.MLP([4, 6, 3], norm="batch", dropout=0.3, rng=rng)

    def forward(self, x):
        return self.body(x)


class PowerCut(Exception):
    pass


def cut(fit):
    raise PowerCut


def run(path, *, epochs=8, at=None, every=1, patience=5, stopped=None):
    """A program that trains, with everything in it that has state."""
    X, y = data(60)
    network = nn.Sequential(nn.Standardize(4).fit(X), nn.MLP([4, 8, 3], norm="batch", dropout=0.3, rng=1))
    model = nn.Model(
        network,
        optimizer={"name": "adamw", "lr": 0.02},
        schedule={"name": "plateau", "patience": 0},
        metrics=["accuracy"],
        rng=1,
    )
    act = (lambda fit: fit.interrupt()) if stopped else cut
    callbacks = [nn.EarlyStopping(patience=patience), Recorder(act, at=at)]
    if path is not None:
        callbacks.insert(0, nn.Checkpoint(path, every=every, resume=True))
    try:
        options = {"validation_split": 0.2, "compile": True, "on_interrupt": "return"}
        model.fit(X, y, epochs=epochs, batch_size=16, callbacks=callbacks, **options)
    except PowerCut:
        return None
    return model


def assert_same_run(a, b):
    assert_same(a, b)
    assert list(a.history) == list(b.history)
    for name, column in a.history.items():
        if name != "seconds":
            assert column == b.history[name], name
    assert a.history.gradients == b.history.gradients
    np.testing.assert_equal(a.optimizer.state_dict(), b.optimizer.state_dict())
    assert (a.schedule is None) == (b.schedule is None)
    assert a.schedule is None or a.schedule.state_dict() == b.schedule.state_dict()
    assert a.rng.bit_generator.state == b.rng.bit_generator.state


@pytest.mark.promise("H7")
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize(("every", "at"), [(1, 10), (3, 11), (3, 2)])
def test_a_training_that_was_cut_off_ends_as_one_that_was_not(tmp_path, suffix, every, at):
    path = tmp_path / f"run{suffix}"
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    assert run(path, every=every, at=at) is None
    assert path.exists() == (at >= 3 * every)
    assert_same_run(run(path, every=every), run(None))


def test_which_epochs_are_saved(tmp_path, monkeypatch):
    """Every third epoch and the last one; and the one that ended the run itself, if that comes earlier."""
    X, y = data(16)

    def saved(**options):
        epochs = []
        monkeypatch.setattr("nn._training.checkpoint.save", lambda path, model, extra: epochs.append(extra["epoch"]))
        keep = nn.Checkpoint(tmp_path / "run.npz", every=3)
        act = Recorder(lambda fit: setattr(fit, "stopped", "enough"), **options)
        nn.Model(nn.MLP([4, 3], rng=0), rng=0).fit(X, y, epochs=7, batch_size=16, callbacks=[act, keep])
        return epochs

    assert saved() == [3, 6, 7]
    assert saved(at=5) == [3, 5]
    assert saved(at=6) == [3, 6]


def test_early_stopping_has_a_state_before_a_training():
    stop = nn.EarlyStopping()
    state = stop.state_dict()
    assert state == {"best": float("inf"), "waited": 0, "weights": None}
    stop.load_state_dict(state)
    assert stop.state_dict() == state


class Mean(nn.Callback):
    """The mean of the losses, which is resumed, too."""

    def __init__(self):
        self.losses = []

    def on_epoch_end(self, fit):
        self.losses.append(fit.row["loss"])

    def state_dict(self):
        return {"losses": list(self.losses)}

    def load_state_dict(self, state):
        self.losses = list(state["losses"])


def test_a_callback_of_ones_own_goes_on_and_others_may_come(tmp_path):
    X, y = data(48)

    def fit(epochs, *others):
        model, mean = nn.Model(nn.MLP([4, 3], rng=0), rng=0), Mean()
        model.fit(X, y, epochs=epochs, callbacks=[*others, nn.Checkpoint(tmp_path / "run.npz", resume=True), mean])
        assert mean.losses == model.history["loss"]

    fit(2)
    fit(4, Recorder())
    with pytest.raises(
        tg.CheckpointError, match=r"callbacks \['Mean'\], expected one with \['EarlyStopping', 'Mean'\]"
    ):
        fit(6, nn.EarlyStopping("loss"))


def test_cut_off_again_and_again(tmp_path):
    path = tmp_path / "run.npz"
    for at in (4, 5, 7):
        assert run(path, at=at) is None
    assert_same_run(run(path), run(None))


def test_a_training_that_has_ended_is_not_run_again(tmp_path):
    path = tmp_path / "run.npz"
    first = run(path, patience=1, epochs=40)
    assert first.history.stopped == "early stopping"
    written = path.read_bytes()
    assert_same_run(run(path, patience=1, epochs=40, at=1), first)  # no step is made, or the power is cut
    assert path.read_bytes() == written


@pytest.mark.promise("H7")
@pytest.mark.parametrize("at", [1, 7, 9, 24])  # an epoch has 3 steps
@pytest.mark.parametrize("every", [1, 3])
def test_after_ctrl_c_it_ends_as_one_that_was_not_interrupted(tmp_path, at, every):
    path = tmp_path / "run.npz"
    part = run(path, at=at, every=every, stopped=True)
    assert part.history.stopped == "Ctrl-C"
    assert len(part.history) == -(-at // 3)
    assert_same_run(run(path, every=every), run(None))


def test_what_stops_itself_within_an_epoch_has_ended(tmp_path):
    X, y = data(48)

    def fit(at):
        act = Recorder(lambda fit: setattr(fit, "stopped", "enough"), at=at)
        model = nn.Model(nn.MLP([4, 3], rng=0), rng=0)
        model.fit(X, y, epochs=5, batch_size=16, callbacks=[act, nn.Checkpoint(tmp_path / "run.npz", resume=True)])
        return model

    first = fit(4)
    assert_same_run(fit(2), first)
    assert (first.history.stopped, len(first.history)) == ("enough", 2)


@pytest.mark.promise("H7")
def test_a_stream_a_network_of_ones_own_and_one_generator_for_all_go_on(path):
    X, y = data(48)

    def fit(path, at=None):
        rng = np.random.default_rng(3)
        model = nn.Model(
            Own(rng),
            optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9},
            schedule={"name": "one_cycle", "max_lr": 0.2, "total_steps": 18},
            schedule_every="step",
            rng=rng,
        )

        def batches():
            for rows in np.split(model.rng.permutation(48), 3):
                yield X[rows], y[rows], np.linspace(0, 1, 16)

        callbacks = [Recorder(cut, at=at)] if path is None else [Recorder(cut, at=at), nn.Checkpoint(path, resume=True)]
        try:
            model.fit(batches, epochs=6, callbacks=callbacks)
        except PowerCut:
            return None
        return model

    assert fit(path, at=8) is None
    assert_same_run(fit(path), fit(None))


def test_a_file_of_another_model_is_refused_and_nothing_changes(tmp_path):
    path = tmp_path / "run.npz"
    X, y = data(16)
    nn.Model(nn.MLP([4, 5, 3], rng=0), rng=0).fit(X, y, epochs=1, callbacks=[nn.Checkpoint(path)])
    model = nn.Model(nn.MLP([4, 6, 3], rng=0), rng=0)
    before = model.state_dict()
    with pytest.raises(tg.CheckpointError, match=r"network.layers.0.W: shape \(4, 5\), expected \(4, 6\)"):
        model.fit(X, y, callbacks=[nn.Checkpoint(path, resume=True)])
    np.testing.assert_equal(model.state_dict(), before)
    same = nn.Model(nn.MLP([4, 5, 3], rng=0), rng=0)
    before = same.state_dict()
    words = r"holds a training run with the callbacks \[\], expected one with \['EarlyStopping'\]"
    with pytest.raises(tg.CheckpointError, match=words):
        same.fit(X, y, callbacks=[nn.Checkpoint(path, resume=True), nn.EarlyStopping("loss")])
    for extra in (None, {"epoch": 3}, {"callbacks": []}):
        nn.save(path, nn.Model(nn.MLP([4, 5, 3], rng=1), rng=1), extra=extra)
        with pytest.raises(tg.CheckpointError, match="holds no training run, expected one with"):
            same.fit(X, y, callbacks=[nn.Checkpoint(path, resume=True)])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(tg.CheckpointError):
        same.fit(X, y, callbacks=[nn.Checkpoint(path, resume=True)])
    np.testing.assert_equal(same.state_dict(), before)
    assert same.rng.bit_generator.state == nn.Model(nn.MLP([4, 5, 3], rng=0), rng=0).rng.bit_generator.state
    assert len(same.history) == 0


def test_a_path_that_will_not_do_is_refused_before_the_training(tmp_path):
    with pytest.raises(ValueError, match=r"Checkpoint: path must end with \.npz or \.safetensors"):
        nn.Checkpoint("run.pt")
    X, y = data(16)
    model = nn.Model(nn.MLP([4, 3], rng=0), rng=0)
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        model.fit(X, y, callbacks=[nn.Checkpoint(tmp_path / "nowhere" / "run.npz")])
    assert len(model.history) == 0


def test_a_checkpoint_is_a_file_of_the_model(tmp_path):
    path = tmp_path / "run.npz"
    model = run(path, epochs=3)
    loaded = nn.load(path).model
    assert loaded.history["loss"] == model.history["loss"]
    X, y = data(60)
    for each in (model, loaded):
        each.fit(X, y, epochs=2, batch_size=16, validation_split=0.2)
    assert_same_run(loaded, model)


# --- what a resumed run says ----------------------------------------------------------------------------


def resumed(path, capfd, *, epochs=3, lr=0.01, callbacks=(), progress=True, batch_size=16, **options):
    X, y = data(32)
    model = nn.Model(nn.MLP([4, 3], rng=0), optimizer={"name": "sgd", "lr": lr}, rng=0, **options)
    keep = nn.Checkpoint(path, resume=True)
    history = model.fit(X, y, epochs=epochs, batch_size=batch_size, callbacks=[*callbacks, keep], progress=progress)
    return model, history, capfd.readouterr().err.splitlines()


def test_a_run_that_is_resumed_says_so(tmp_path, capfd):
    path = tmp_path / "run.npz"
    _, _, lines = resumed(path, capfd)
    assert len(lines) == 3
    model, history, lines = resumed(path, capfd)
    assert lines[0] == f"resumed from {path}: 3 of 3 epochs were done, nothing to train"
    assert lines[1:] == [f"epoch 3/3: loss {history['loss'][-1]:.4g}, lr 0.01, {history['seconds'][-1]:.1f} s"]
    assert len(history) == 3
    assert history == model.history
    model, history, lines = resumed(path, capfd, epochs=5)
    assert lines[0] == f"resumed from {path}: 3 of 5 epochs were done"
    assert [line.split(":")[0] for line in lines[1:]] == ["epoch 3/5", "epoch 4/5", "epoch 5/5"]
    assert len(history) == 5


def test_a_run_that_is_longer_than_asked_for(tmp_path, capfd):
    resumed(tmp_path / "run.npz", capfd)
    _, history, lines = resumed(tmp_path / "run.npz", capfd, epochs=2)
    assert "3 of 2 epochs were done, nothing to train" in lines[0]
    assert len(history) == 3


def test_a_run_with_a_schedule_that_has_ended_is_resumed_as_it_was(tmp_path, capfd):
    schedule = {"name": "cosine", "T_max": 3}
    model, _, _ = resumed(tmp_path / "run.npz", capfd, schedule=schedule)
    again, _, _ = resumed(tmp_path / "run.npz", capfd, schedule=schedule)
    assert_same_run(again, model)
    assert again.schedule.last_epoch == 3


def test_a_run_that_stopped_itself_says_why(tmp_path, capfd):
    stop = nn.EarlyStopping("loss", patience=1, min_delta=1e-5)  # sums in another order differ in the last place
    for _ in range(2):
        _, history, lines = resumed(tmp_path / "run.npz", capfd, lr=0.0, epochs=9, callbacks=[stop])
        assert (len(history), history.stopped) == (2, "early stopping")
    resumed_from = f"resumed from {tmp_path / 'run.npz'}: 2 of 9 epochs were done"
    assert lines[0] == f"{resumed_from}, then it was stopped (early stopping), nothing to train"
    assert lines[-1] == "stopped after epoch 2 of 9: early stopping"


def test_earlier_fits_are_not_part_of_a_resumed_run(tmp_path):
    X, y = data(32)

    def run(epochs):
        model = nn.Model(nn.MLP([4, 3], rng=0), rng=0)
        model.fit(X, y, epochs=2, validation_split=0.25)
        history = model.fit(X, y, epochs=epochs, callbacks=[nn.Checkpoint(tmp_path / "run.npz", resume=True)])
        return model, history

    run(3)
    model, history = run(4)
    assert (len(history), len(model.history)) == (4, 6)
    assert list(history) == ["loss", "lr", "grad_norm", "seconds"]
    assert history["loss"] == model.history["loss"][2:]


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"lr": 0.1}, r"optimizer.lr 0.01 \(now 0.1\)"),
        ({"batch_size": 8}, r"batch_size 16 \(now 8\)"),
        ({"clip_norm": 1.0}, r"clip_norm None \(now 1.0\)"),
        ({"loss": nn.CrossEntropyLoss(label_smoothing=0.1)}, r'loss "CrossEntropyLoss.*now .*label_smoothing=0.1'),
    ],
)
@pytest.mark.parametrize("epochs", [3, 4])
def test_settings_that_differ_are_named(tmp_path, capfd, changed, text, epochs):
    path = tmp_path / "run.npz"
    resumed(path, capfd)
    with pytest.warns(UserWarning, match=rf"Checkpoint: the run in .*run.npz' was begun with other settings: {text}"):
        model, _, _ = resumed(path, capfd, epochs=epochs, **changed)
    assert model.optimizer.lr == 0.01  # the file's


def test_a_rate_that_a_schedule_has_set_is_no_difference(tmp_path, capfd):
    for _ in range(2):
        for schedule in ({"name": "cosine", "T_max": 5}, {"name": "plateau", "patience": 0, "threshold": 10.0}):
            resumed(tmp_path / f"{schedule['name']}.npz", capfd, schedule=schedule)
    with pytest.warns(UserWarning, match=r"schedule.T_max 5 \(now 6\)"):
        resumed(tmp_path / "cosine.npz", capfd, schedule={"name": "cosine", "T_max": 6})


def test_a_file_without_settings_is_resumed(tmp_path, capfd, monkeypatch):
    """A file of an earlier version."""
    path = tmp_path / "run.npz"
    real = nn._training.checkpoint.save

    def save(path, model, extra):
        real(path, model, extra={name: value for name, value in extra.items() if name != "settings"})

    with monkeypatch.context() as patch:
        patch.setattr("nn._training.checkpoint.save", save)
        resumed(path, capfd)
    _, history, _ = resumed(path, capfd, lr=0.1, epochs=4)
    assert len(history) == 4
