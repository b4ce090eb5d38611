"""The referee: mistakes that public projects made, planted ones, correct backwards, and its reports."""

import dataclasses

import numpy as np
import pytest

import tensorgrad as tg

from . import derive_forms as forms
from .referee.planted import AFTERWARDS, ARGNUMS, ARGUMENTS, LATER, PLANTED, by_hand
from .referee.slips import ROWS, batch_norm_by_hand

SLIPS = [pytest.param(slip, id=f"{kind}-{slip.name}") for kind, slips in ROWS.items() for slip in slips]
PLANTED_CASES = [pytest.param(*case, id=f"{case[0].__name__}-{case[2].strip()}") for case in PLANTED[::3]]
RIGHT = [
    forms.batch_norm,
    forms.layer_norm,
    forms.batch_norm_images,
    forms.attention,
    forms.linear,
    forms.mlp,
    forms.cross_entropy,
    forms.binary_cross_entropy,
    forms.tanh,
    forms.sigmoid,
]


def wrong(report):
    return [finding for finding in report.findings if not finding.ok]


@pytest.mark.parametrize("slip", SLIPS)
def test_mistakes_of_public_projects_are_named(slip):
    report = tg.referee(slip.forward, slip.by_hand, *slip.args, argnums=slip.argnums)
    assert not report
    assert any(word in finding.message for finding in wrong(report) for word in slip.says), str(report)


@pytest.mark.parametrize(("form", "old", "new", "says"), PLANTED_CASES)
def test_planted_slips_are_named(form, old, new, says):
    report = tg.referee(form, by_hand(form, old, new), *ARGUMENTS[form], argnums=ARGNUMS.get(form))
    assert any(f.message and word in f.message for f in wrong(report) for word in says), str(report)


@pytest.mark.parametrize(
    ("form", "old", "new", "says"),
    [
        (forms.batch_norm, "dy - dy.mean(0) -", "dy - dy.mean() -", "dy.mean(0) is taken over all axes"),
        (forms.batch_norm, "mean(0))  #", "mean(0) / sigma)  #", "is divided by sigma once too often"),
        (forms.batch_norm, "dy - dy.mean(0)", "dy - xhat * dy.mean(0)", "has a factor xhat too many"),
        (forms.batch_norm, "dy - dy.mean(0)", "dy - dy.mean(0) / gamma", "gamma is missing in the term dy.mean(0)"),
        (forms.batch_norm_images, "dy.mean((0, 2, 3)", "dy.mean((1, 2)", "is taken over the wrong axes"),
        (forms.mlp, "(z1 > 0)", "(z1 < 0)", "z1 > 0 is the wrong way round"),
    ],
)
def test_axes_and_factors_of_one_term_are_named(form, old, new, says):
    report = tg.referee(form, by_hand(form, old, new), *ARGUMENTS[form], argnums=ARGNUMS.get(form))
    assert any(says in f.message for f in wrong(report)), str(report)


@pytest.mark.slow
@pytest.mark.parametrize("cases", [PLANTED, AFTERWARDS, LATER])
def test_nine_of_ten_planted_slips_are_named(cases):
    named = 0
    for form, old, new, says in cases:
        report = tg.referee(form, by_hand(form, old, new), *ARGUMENTS[form], argnums=ARGNUMS.get(form))
        assert not report
        named += any(f.message and word in f.message for f in wrong(report) for word in says)
    assert named >= 0.9 * len(cases)


@pytest.mark.parametrize("form", RIGHT)
def test_a_derived_backward_is_right(form):
    assert tg.referee(form, by_hand(form, "", ""), *ARGUMENTS[form], argnums=ARGNUMS.get(form))


def stable_softmax(z, y):
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(z)), y.argmax(1)] -= 1  # writes to its own array
    return p / len(z)


def twelve_lines(x, gamma, beta, dy):
    """Batch norm's backward as it is written with every intermediate."""
    n = len(x)
    xc = x - x.mean(0)
    var = (xc**2).mean(0)
    sqrtvar = np.sqrt(var + 1e-5)
    ivar = 1 / sqrtvar
    dgammax = dy
    dxhat = dgammax * gamma
    divar = (dxhat * xc).sum(0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -divar / sqrtvar**2
    dvar = 0.5 * dsqrtvar / sqrtvar
    dxmu2 = 2 * xc * dvar / n
    dx1 = dxmu1 + dxmu2
    dmu = -dx1.sum(0)
    return dx1 + dmu / n, (dgammax * xc * ivar).sum(0), dy.sum(0)


CORRECT = [
    (forms.cross_entropy, stable_softmax, (forms.X, forms.ONE_HOT), 0),
    (forms.batch_norm, twelve_lines, (forms.X, forms.GAMMA, forms.BETA), None),
    (forms.batch_norm, batch_norm_by_hand(None), (forms.X, forms.GAMMA, forms.BETA), None),
    (lambda x: (x**2).mean(), lambda x: 2 * x / x.size, (forms.X,), None),
    (
        lambda x, i: x[i] * 2,
        lambda x, i, dy: 2 * np.stack([dy[i == k].sum(0) for k in range(6)]),
        (forms.X, np.array([0, 2, 2])),
        0,
    ),
]


@pytest.mark.parametrize(("forward", "hand", "args", "argnums"), CORRECT)
def test_no_false_alarm(forward, hand, args, argnums):
    report = tg.referee(forward, hand, *args, argnums=argnums)
    assert report, str(report)
    assert all(finding.differences < 1e-4 for finding in report.findings)


def test_the_report():
    report = tg.referee(forms.batch_norm, batch_norm_by_hand("gamma"), forms.X, forms.GAMMA, forms.BETA)
    head, first, second, _ = str(report).splitlines()
    assert head.split() == ["gradient", "shape", "deviation", "differences", "verdict"]
    assert first.endswith("the factor gamma is missing")
    assert second.endswith("right")
    assert repr(report) == "<Report on the backward of batch_norm: dx wrong>"
    assert report._repr_html_().count("<tr>") == 4
    assert not report.ok


def test_the_table_of_a_notebook_is_well_formed_and_escaped():
    from xml.etree import ElementTree

    def forward(x):
        return (x * (x > 0.1)).sum()

    report = tg.referee(forward, lambda x: x < 0.1, forms.X)
    report.findings[0] = dataclasses.replace(report.findings[0], message="x < 0 & <b>bold</b>")
    table = ElementTree.fromstring(report._repr_html_())
    assert [cell.text for cell in table[0]] == ["gradient", "shape", "deviation", "differences", "verdict"]
    assert table[1][0].text == "dx"
    assert "".join(table[1][4].itertext()) == "✗ x < 0 & <b>bold</b>"
    assert str(report).splitlines()[1].endswith("x < 0 & <b>bold</b>")


def test_what_is_not_found_is_said_with_the_worst_element():
    report = tg.referee(forms.tanh, lambda x, dy: dy * np.cos(x) ** 5 + 0.1, forms.X)
    assert "for a reason that was not found; dx[" in report.findings[0].verdict


def test_by_hand_is_checked():
    with pytest.raises(TypeError, match="by_hand has to take the upstream gradient"):
        tg.referee(forms.tanh, lambda x: x, forms.X)
    with pytest.raises(ValueError, match="returned 2 gradients, expected 1 \\(x\\); write argnums="):
        tg.referee(forms.tanh, lambda x, dy: (x, x), forms.X)
    with pytest.raises(TypeError, match="by_hand to be a function, got int"):
        tg.referee(forms.tanh, 3, forms.X)
    with pytest.raises(TypeError, match="by_hand returned str for x"):
        tg.referee(forms.tanh, lambda x, dy: "x", forms.X)


def test_the_arguments_are_not_written_to():
    def hand(x, dy):
        dy *= 1 - np.tanh(x) ** 2
        x[:] = 0
        return dy

    x = forms.X.copy()
    assert tg.referee(forms.tanh, hand, x)
    assert np.array_equal(x, forms.X)
