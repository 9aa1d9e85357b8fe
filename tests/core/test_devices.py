"""The device is a GPU of one's own or the CPU, whatever ZeroGPU makes torch say."""

from __future__ import annotations

import pytest
import torch

from avd_core.devices import available_devices, default_device, on_zerogpu


@pytest.fixture
def zerogpu(tmp_path, monkeypatch) -> None:
    """A ZeroGPU Space: the variable is set and the `spaces` package is there."""
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")


@pytest.mark.parametrize(("cuda", "devices"), [(True, ["cuda", "cpu"]), (False, ["cpu"])])
def test_elsewhere_torch_tells_the_truth(monkeypatch, cuda, devices):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert not on_zerogpu() and available_devices() == devices
    assert default_device() == default_device(lent=True) == devices[0]


def test_on_zerogpu_only_a_function_that_was_lent_a_gpu_has_one(zerogpu, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)  # as `spaces` does for the whole process
    assert on_zerogpu() and available_devices() == ["cpu"]
    assert default_device() == "cpu" and default_device(lent=True) == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert default_device(lent=True) == "cpu"


def test_the_variable_alone_makes_no_zerogpu(monkeypatch):
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr("avd_core.devices.find_spec", lambda name: None)
    assert not on_zerogpu()
