"""What several test files of nn ask for."""

import pytest


@pytest.fixture(params=["npz", "safetensors"])
def path(request, tmp_path):
    """A file of each format."""
    if request.param == "safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"model.{request.param}"
