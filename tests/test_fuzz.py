"""A few of the random expressions that ``python -m tests.fuzz`` runs by the hundred."""

import pytest

from .fuzz import deviation, deviation_at_a_point


@pytest.mark.peer
@pytest.mark.promise("M4")
@pytest.mark.parametrize("seed", range(25))
def test_a_random_expression_agrees_with_the_peer(seed):
    deviation(seed, pytest.importorskip("torch"))


@pytest.mark.promise("M4", "D1")
@pytest.mark.filterwarnings("ignore:.* encountered in", "ignore:backward.. starts from a loss")
@pytest.mark.parametrize("block", range(4))
def test_random_expressions_at_special_points_agree_with_mpmath(block):
    for seed in range(60 * block, 60 * block + 60):
        deviation_at_a_point(seed)
