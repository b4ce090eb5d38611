"""Nothing grows while a step, or a failure, is repeated. ``python -m tests.growing`` repeats them much more often."""

import pytest

from .growing import SCENARIOS, grown


@pytest.mark.parametrize("name", SCENARIOS)
def test_nothing_grows(name):
    if name == "native":
        pytest.importorskip("llvmlite")
    found = grown(name, 100, traced=True)
    same = name != "shapes"  # the programs that are kept may be of larger or smaller shapes
    assert found.allocated < (20_000 if same else 2_000_000), str(found)
    assert abs(found.objects) <= (20 if same else 300), str(found)
    assert found.blocks < (300 if same else 3_000), str(found)
    assert found.descriptors == 0, str(found)
    assert found.tables <= 0, str(found)
