"""Nothing grows while a step, or a failure, is repeated. ``python -m tests.growing`` repeats them much more often."""

import pytest

from .growing import SCENARIOS, grown


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_grows(name):
    if name == "native":
        pytest.importorskip("llvmlite")
    found = grown(name, 100, traced=True)
    if name != "shapes":  # the shapes that are kept may be larger or smaller
        assert found.allocated < 20_000, str(found)
    assert abs(found.objects) <= 20, str(found)
    assert found.blocks < 300, str(found)
    assert found.descriptors == 0, str(found)
    assert found.tables <= 0, str(found)
