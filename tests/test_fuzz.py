"""A few of the random expressions that ``python -m tests.fuzz`` runs by the hundred."""

import pytest

from .fuzz import deviation


@pytest.mark.peer
@pytest.mark.promise("M4")
@pytest.mark.parametrize("seed", range(25))
def test_a_random_expression_agrees_with_the_peer(seed):
    deviation(seed, pytest.importorskip("torch"))
