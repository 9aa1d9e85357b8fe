"""What `import avd_core` offers, and the import paths of 0.1 that still work."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import avd_core


def test_the_package_loads_nothing_until_it_is_asked():
    script = "import sys, avd_core; before = set(sys.modules); avd_core.ModelConfig; print(*before, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"torch", "av", "gradio", "numpy"} & set(done.stdout.split())


def test_every_public_name_is_there_and_listed():
    names = "AVD Explorer ExploreRequest Exploration Trainer ModelConfig TrainConfig PRESETS Clip read_clip write_mp4"
    for name in [*names.split(), "load_classifier"]:
        assert getattr(avd_core, name) is not None and name in dir(avd_core)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = avd_core.Nothing


@pytest.mark.parametrize(
    ("old", "names"),
    [
        ("avd_core.explorer", ["Explorer", "ExploreRequest"]),
        ("avd_core.model", ["AVD", "to_frames", "to_tensor"]),
        ("avd_core.video", ["read_clip", "write_mp4"]),
    ],
)
def test_paths_that_the_readme_of_0_1_showed_work_with_a_warning(old: str, names: list[str]):
    module = importlib.import_module(old)
    for name in names:
        with pytest.warns(DeprecationWarning, match=rf"{old}\.{name} has moved to avd_core\."):
            assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = module.nothing
