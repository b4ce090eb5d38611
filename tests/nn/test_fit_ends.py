"""How a training run ends: by a callback, by Ctrl-C, with an error."""

import signal
import threading

import numpy as np
import pytest

import nn

from .fits import Recorder, assert_same, data, made


def test_callbacks_are_called_in_order_and_may_end_it():
    X, y = data(32)
    watch = Recorder()
    made().fit(X, y, epochs=2, callbacks=[watch])
    assert watch.calls == ["begin", 1, 2, "end"]

    def stop(fit):
        fit.stopped = "enough"

    watch = Recorder(stop, at=5)
    history = made().fit(X, y, epochs=9, batch_size=8, callbacks=[watch])
    assert watch.calls == ["begin", 1, 2, "end"]
    assert watch.steps == 5
    assert history.stopped == "enough"


def test_why_a_fit_ended_is_forgotten_when_the_next_begins():
    X, y = data(32)
    model, seen = made(), []

    def stop(fit):
        fit.stopped = "enough"

    model.fit(X, y, epochs=2, callbacks=[Recorder(stop, at=1)])
    assert model.history.stopped == "enough"
    model.fit(X, y, epochs=2, callbacks=[Recorder(lambda fit: seen.append(fit.model.history.stopped), at=1)])
    assert seen == [""]
    assert model.history.stopped == ""


@pytest.mark.promise("J4")
@pytest.mark.parametrize("compile", [False, True])
def test_ctrl_c_ends_the_epoch_after_a_whole_step(compile):
    X, y = data(64)
    handler = signal.getsignal(signal.SIGINT)
    interrupt = Recorder(lambda fit: signal.raise_signal(signal.SIGINT), at=6)
    model, twin = made(), made()
    options = {"epochs": 9, "batch_size": 16, "validation_split": 0.25}
    history = model.fit(X, y, callbacks=[interrupt], compile=compile, on_interrupt="return", **options)
    assert history.stopped == "Ctrl-C"
    assert len(history) == 2
    assert np.isfinite(history["val_loss"]).all()
    assert signal.getsignal(signal.SIGINT) is handler

    def stop(fit):
        fit.stopped = "here"

    twin.fit(X, y, callbacks=[Recorder(stop, at=6)], **options)
    assert_same(model, twin)
    np.testing.assert_equal(model.optimizer.state_dict(), twin.optimizer.state_dict())
    assert model.fit(X, y, epochs=1).stopped == ""


@pytest.mark.promise("J4")
def test_ctrl_c_raises_once_all_is_kept():
    X, y = data(64)
    interrupt = Recorder(lambda fit: signal.raise_signal(signal.SIGINT), at=6)
    model, twin = made(), made()
    with pytest.raises(KeyboardInterrupt, match=r"fit: stopped after epoch 2 of 9; the model keeps its weights"):
        model.fit(X, y, epochs=9, batch_size=16, callbacks=[interrupt])
    assert interrupt.calls == ["begin", 1, 2, "end"]
    interrupt = Recorder(lambda fit: signal.raise_signal(signal.SIGINT), at=6)
    history = twin.fit(X, y, epochs=9, batch_size=16, callbacks=[interrupt], on_interrupt="return")
    assert_same(model, twin)
    assert model.history["loss"] == twin.history["loss"] == history["loss"]
    assert model.history.stopped == history.stopped == "Ctrl-C"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not model.training
    assert model.fit(X, y, epochs=1).stopped == ""


def test_a_callback_interrupts_as_ctrl_c_does():
    X, y = data(64)
    stop = Recorder(lambda fit: fit.interrupt(), at=6)
    with pytest.raises(KeyboardInterrupt, match="stopped after epoch 2 of 9"):
        made().fit(X, y, epochs=9, batch_size=16, callbacks=[stop])


def test_estimators_raise_so_that_no_score_is_of_half_a_model():
    pytest.importorskip("sklearn")
    from sklearn.model_selection import cross_val_score

    X, y = data(90)
    before = signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            cross_val_score(nn.FNNClassifier(epochs=10**6, random_state=0), X, y, cv=3)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_what_follows_an_interrupt_is_one_of_two():
    X, y = data(8)
    with pytest.raises(ValueError, match="fit: on_interrupt must be 'raise' or 'return', got 'stop'"):
        made().fit(X, y, on_interrupt="stop")


class Alarm(nn.Callback):
    """Ctrl-C, some time after the first step."""

    def __init__(self, seconds):
        self.seconds = seconds

    def on_step_end(self, fit):
        if self.seconds:
            signal.setitimer(signal.ITIMER_REAL, self.seconds)
        self.seconds = 0.0


@pytest.mark.promise("J4")
@pytest.mark.parametrize("compile", [False, True])
def test_ctrl_c_at_any_moment(compile):
    X, y = data(300)
    rng = np.random.default_rng(0)
    before = signal.signal(signal.SIGALRM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    arguments = {"epochs": 10_000, "batch_size": 32, "validation_split": 0.2, "compile": compile}

    def stop(fit):
        fit.stopped = "here"

    try:
        for _ in range(12):
            model, twin = made(schedule="plateau"), made(schedule="plateau")
            history = model.fit(X, y, callbacks=[Alarm(rng.uniform(1e-4, 0.02))], on_interrupt="return", **arguments)
            assert history.stopped == "Ctrl-C"
            (steps,) = {entry["t"] for entry in model.optimizer.state_dict()["state"].values()}
            assert len(history) == -(-steps // 8)
            twin.fit(X, y, callbacks=[Recorder(stop, at=steps)], **arguments)
            assert_same(model, twin)
            np.testing.assert_equal(model.optimizer.state_dict(), twin.optimizer.state_dict())
            assert history["val_loss"] == twin.history["val_loss"]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_ctrl_c_in_the_evaluation_or_a_callback_ends_it_after_the_epoch():
    X, y = data(32)
    for place in ("loss", "callback"):
        model = made()
        if place == "loss":
            loss = model.loss

            def interrupting(output, target, loss=loss, model=model):
                if not model.training:
                    signal.raise_signal(signal.SIGINT)
                return loss(output, target)

            model.loss = interrupting
            history = model.fit(X, y, epochs=5, validation_data=(X, y), on_interrupt="return")
        else:
            callback = nn.Callback()
            callback.on_epoch_end = lambda fit: signal.raise_signal(signal.SIGINT)
            history = model.fit(X, y, epochs=5, validation_data=(X, y), callbacks=[callback], on_interrupt="return")
        assert (history.stopped, len(history)) == ("Ctrl-C", 1)
        assert np.isfinite(history["val_loss"][0])


def test_a_second_ctrl_c_is_at_once():
    X, y = data(64)

    def twice(fit):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    model = made()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y, epochs=3, batch_size=16, callbacks=[Recorder(twice, at=6)])
    assert len(model.history) == 1
    assert not model.training


def test_it_runs_in_a_thread():
    X, y = data()
    model, twin = made(), made()
    thread = threading.Thread(target=lambda: model.fit(X, y, epochs=2))
    thread.start()
    thread.join()
    twin.fit(X, y, epochs=2)
    assert_same(model, twin)


def test_the_librarys_frames_are_marked_in_an_error():
    def my_loss(output, target):
        raise ZeroDivisionError

    X, y = data(8)
    with pytest.raises(ZeroDivisionError) as info:
        nn.Model(nn.MLP([4, 3], rng=0), loss=my_loss).fit(X, y)
    shown, step = [], info.value.__traceback__
    while step is not None:
        if not step.tb_frame.f_locals.get("__tracebackhide__"):
            shown.append(step.tb_frame.f_code.co_name)
        step = step.tb_next
    assert shown == ["test_the_librarys_frames_are_marked_in_an_error", "my_loss"]


def test_chained_errors_are_marked_and_may_be_circular():
    X, y = data(8)

    def my_loss(output, target):
        try:
            nn.functional.cross_entropy(output, target[:2])
        except ValueError as error:
            other = RuntimeError("mine")
            error.__cause__ = other
            raise other from error

    with pytest.raises(RuntimeError, match="mine") as info:
        nn.Model(nn.MLP([4, 3], rng=0), loss=my_loss).fit(X, y)
    step = info.value.__cause__.__traceback__
    while step.tb_next is not None:
        mine = step.tb_frame.f_code.co_filename == __file__
        assert bool(step.tb_frame.f_locals.get("__tracebackhide__")) != mine
        step = step.tb_next
