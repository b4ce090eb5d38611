"""Training in a real notebook kernel: the stop button, tracebacks, figures, what is stored."""

import re

import pytest

pytest.importorskip("ipykernel")
from jupyter_client import KernelManager

pytestmark = [pytest.mark.notebook, pytest.mark.slow]

SETUP = """
import numpy as np, nn
X, y = np.random.default_rng(0).normal(size=(64, 2)), np.arange(64) % 2
model = nn.Model(nn.MLP([2, 2], rng=0), rng=0)
"""


class Kernel:
    """A kernel, and what its cells put out."""

    def __init__(self):
        self.manager = KernelManager()
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(60)

    def run(self, *cells, stop_at=None):
        """Send cells all at once, as Run All does. Returns each reply and its outputs, with updates applied."""
        sent = [self.client.execute(cell) for cell in cells]
        outputs, idle, stopped = {each: [] for each in sent}, set(), False
        while len(idle) < len(sent):
            message = self.client.get_iopub_msg(timeout=60)
            cell, kind, content = message["parent_header"].get("msg_id"), message["msg_type"], message["content"]
            if cell not in outputs:  # of an earlier request
                continue
            if kind == "status" and content["execution_state"] == "idle":
                idle.add(cell)
            elif kind == "update_display_data":
                key = content["transient"]["display_id"]
                (shown,) = [o for o in outputs[cell] if o.get("transient", {}).get("display_id") == key]
                shown["data"] = content["data"]
            elif kind in ("display_data", "execute_result", "error", "stream"):
                outputs[cell].append({"kind": kind, **content})
            if stop_at is not None and not stopped and stop_at in str(content.get("data")):
                self.manager.interrupt_kernel()
                stopped = True
        replies = {}
        while set(sent) - replies.keys():
            reply = self.client.get_shell_msg(timeout=60)
            replies[reply["parent_header"]["msg_id"]] = reply["content"]
        return [(replies[each], outputs[each]) for each in sent]

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))  # ignore this machine's settings
        kernel = Kernel()
        try:
            yield kernel
        finally:
            kernel.close()


def plain(error):
    return re.sub(r"\x1b\[[\d;]*m", "", "\n".join(error["traceback"]))


@pytest.mark.parametrize("compile", [False, True])
def test_the_stop_button_stops_what_follows(kernel, compile):
    fit = f"model.fit(X, y, epochs=10**6, compile={compile})\nsaved = True"
    (_, _), (reply, outputs), (following, _), (after, result) = (
        *kernel.run(SETUP + "saved = False", fit, "queued = True", stop_at="epoch 1"),
        *kernel.run("saved, 'queued' in dir(), len(model.history), model.history.stopped, model.training"),
    )
    assert (reply["status"], reply["ename"]) == ("error", "KeyboardInterrupt")
    epochs = int(re.search(r"stopped after epoch (\d+) of 1000000", reply["evalue"])[1])
    assert following["status"] == "aborted"
    assert after["status"] == "ok"
    assert result[0]["data"]["text/plain"] == f"(False, False, {epochs}, 'Ctrl-C', False)"
    display, error = outputs
    for text in ("text/html", "text/plain"):
        assert f"stopped after epoch {epochs} of 1000000" in display["data"][text]
    assert "_run_epoch" not in plain(error)


def test_a_stop_may_return_instead(kernel):
    cell = "history = model.fit(X, y, epochs=10**6, on_interrupt='return'); done = True"
    _, (reply, outputs) = kernel.run(SETUP, cell, stop_at="epoch 1")
    assert reply["status"] == "ok"
    assert "stopped after epoch" in outputs[0]["data"]["text/plain"]
    (_, (result,)) = kernel.run("done, history.stopped, len(history) == len(model.history)")[0]
    assert result["data"]["text/plain"] == "(True, 'Ctrl-C', True)"


def test_estimators_raise(kernel):
    pytest.importorskip("sklearn")
    cell = "scores = nn.FNNClassifier(epochs=10**6, verbose=True, random_state=0).fit(X, y)"
    _, (reply, _) = kernel.run(SETUP, cell, stop_at="epoch 1")
    assert reply["ename"] == "KeyboardInterrupt"


def test_the_traceback_of_a_failed_fit_is_short(kernel):
    _, (reply, (display, error)) = kernel.run(SETUP, "model.fit([(X, y), (np.ones((8, 3)), y[:8])])")
    assert reply["ename"] == "ShapeError"
    text = plain(error)
    assert "model.fit([(X, y), (np.ones((8, 3))" in text
    assert "shapes (8, 3) and (2, 2)" in text
    assert len(re.findall(r"^File ", text, re.MULTILINE)) <= 2  # the cell is not a file; the last frame always shows
    assert len(text.splitlines()) < 45
    assert "failed after 0 of 10 epochs: ShapeError" in display["data"]["text/plain"]


def test_the_frames_of_the_users_code_stay(kernel):
    code = (
        "def my_loss(output, target):\n    return my_part(output)\n"
        "def my_part(output):\n    return 1 / 0\n"
        "nn.Model(nn.MLP([2, 2], rng=0), loss=my_loss).fit(X, y)"
    )
    _, (reply, outputs) = kernel.run(SETUP, code)
    assert reply["ename"] == "ZeroDivisionError"
    text = plain(outputs[-1])
    assert all(line in text for line in ("return my_part(output)", "return 1 / 0", ".fit(X, y)"))
    assert "stepping.py" not in text


@pytest.mark.parametrize("cell", ["history.plot()", "history.plot()\nprint('more')", "figure = history.plot()"])
def test_a_plot_is_shown_once(kernel, cell):
    pytest.importorskip("matplotlib")
    setup = SETUP + "%matplotlib inline\nhistory = model.fit(X, y, epochs=3)"
    _, (reply, outputs), (_, again) = kernel.run(setup, cell, "history.plot()")
    assert reply["status"] == "ok"
    for each in (outputs, again):
        assert sum("image/png" in output.get("data", {}) for output in each) == 1
        assert not any("Figure" in output.get("text", "") for output in each)


def test_a_figure_can_be_shown_again(kernel):
    pytest.importorskip("matplotlib")
    setup = SETUP + "%matplotlib inline\nfigure = model.fit(X, y, epochs=3).plot()"
    *_, (_, outputs) = kernel.run(setup, "figure")
    assert [sorted(output["data"]) for output in outputs] == [["image/png", "text/plain"]]


def test_the_range_test_is_drawn(kernel):
    pytest.importorskip("matplotlib")
    _, (reply, outputs) = kernel.run(SETUP + "%matplotlib inline", "model.lr_find(X, y).plot()")
    assert reply["status"] == "ok"
    assert sum("image/png" in output["data"] for output in outputs) == 1


def test_a_stored_notebook_has_the_last_state(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    from nbclient import NotebookClient

    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    cell = nbformat.v4.new_code_cell(SETUP + "history = model.fit(X, y, epochs=40)")
    notebook = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    (output,) = notebook.cells[0].outputs
    assert "epoch 40 of 40" in output["data"]["text/html"]
    assert "<svg" in output["data"]["text/html"]
    assert output["data"]["text/plain"].startswith("epoch 40 of 40, ")
