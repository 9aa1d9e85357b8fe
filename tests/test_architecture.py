"""The house keeps its shape: who may import whom, what loads without what, what may lie in the repository."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests.repository import ROOT, files, imports, modules

# A trainer on a bare GPU machine has torch and numpy, and no page, no video library, no explanations.
TRAINING_PATH = [
    *("config", "atomic_io", "hub_client", "analysis.metrics"),
    *(
        f"networks.{name}"
        for name in ("layers", "encoder", "decoder", "discriminator", "avd", "checkpoint", "calibration")
    ),
    *(f"data.{name}" for name in ("datasets", "official_splits", "packs", "sampling", "real_images")),
    *(f"training.{name}" for name in ("losses", "trainer", "run_trainer")),
    *("runs.run", "hub.job_worker", "cli.main", "cli.train", "cli.pack"),
]
BLOCK = """
import importlib, sys
blocked = {blocked!r}
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ImportError(f"{{name}} is blocked in this process")
sys.meta_path.insert(0, Blocker())
for name in {names!r}:
    importlib.import_module(name)
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


def load(names: list[str], *, blocked: tuple[str, ...] = ()) -> set[str]:
    """Import `names` in a fresh process without `blocked`; return the top-level modules it then holds."""
    script = BLOCK.format(names=names, blocked=set(blocked))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    # Away from the repository, so that nothing is found by the accident of the working directory.
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT.parent, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_core_loads_no_gradio_and_no_page():
    core = [name for name in modules("avd_core") if not name.endswith("__main__")]
    assert "avd_core.explore.explorer" in core
    loaded = load(core)
    assert "torch" in loaded and not loaded & {"gradio", "app"}


def test_training_path_needs_no_video_library_no_page_no_explanations():
    blocked = ("av", "gradio", "pytorch_grad_cam")
    load([f"avd_core.{name}" for name in TRAINING_PATH], blocked=blocked)


def test_page_never_names_torch():
    its_kin = {"torch", "torchvision", "torchmetrics", "pytorch_grad_cam"}
    for path in [ROOT / "app.py", *modules("app").values()]:
        assert not re.search(r"\btorch\b", path.read_text(encoding="utf-8")), f"{path.name} names torch"
        assert not roots(imports(path)) & its_kin, path.name


def test_rendering_needs_no_page():
    assert "gradio" not in load(["app.render"])


def check(*command: str) -> None:
    """Run a checker of `make style` on the repository; fail with what it prints."""
    tool = str(Path(sys.executable).parent / command[0])
    done = subprocess.run([tool, *command[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_go_from_a_later_level_to_an_earlier_one():
    check("lint-imports", "--no-cache", "--no-logo")


def test_every_library_is_declared():
    check("deptry", ".")


def test_no_folder_is_crowded():
    crowded = Counter(path.parent for path in files())
    assert not {str(folder): count for folder, count in crowded.items() if count > 20}


@pytest.mark.parametrize("name", ["media.video", "media.distilled_png", "data.synthetic"])
def test_pictures_and_clips_need_no_networks(name: str):
    assert "torch" not in load([f"avd_core.{name}"])


def test_requirements_and_package_name_the_same_libraries():
    def names(lines: list[str]) -> list[str]:
        return [re.match(r"[\w-]+", line).group() for line in lines if line and line[0] not in "#-"]

    pinned = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    package = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert names(pinned) == names(package["dependencies"])


def test_every_file_fits_the_hub_and_none_is_a_pickle_or_foreign_footage():
    for path in files():
        assert (ROOT / path).stat().st_size <= 10_000_000, f"{path} is over 10 MB: the Hub would want LFS"
        unwanted = {".pth", ".pt", ".pkl", ".npz", ".npy", ".avi", ".mkv", ".mov", ".webm", ".mp4"}
        assert path.suffix.lower() not in unwanted, f"{path}: weights are safetensors, clips are rendered"


def test_no_machine_path_anywhere():
    somewhere = re.compile(rb"(?<![\w.~/-])/(?:home|root|work|Users|mnt)/\w")
    for path in files():
        if path.suffix not in {".png", ".safetensors"}:
            found = somewhere.search((ROOT / path).read_bytes())
            assert not found, f"{path} names a path of one machine: {found.group()!r}"


def test_no_style_sheet_reaches_into_another_tab():
    """All are loaded at once: what one tab calls its own, no other may style, and none what belongs to the page."""

    def selectors(path) -> set[str]:
        text = re.sub(r"/\*.*?\*/|@media[^{]+\{", "", path.read_text(encoding="utf-8"), flags=re.S)
        return {part.strip() for rule in re.findall(r"([^{}]+)\{", text) for part in rule.split(",")}

    sheets = {path.stem: selectors(path) for path in (ROOT / "app" / "static").glob("*.css")}
    shared = sheets.pop("page") | sheets.pop("reels")
    assert len(sheets) > 5 and all(sheets.values())
    known = {match.group() for part in shared if (match := re.match(r"\.[\w-]+", part))}
    owner: dict[str, str] = {}
    for name, parts in sheets.items():
        assert not {part for part in parts & shared if re.fullmatch(r"\.[\w-]+", part)}, name
        for part in parts:
            first = re.match(r"\.[\w-]+", part)
            if first and first.group() not in known:
                other = owner.setdefault(first.group(), name)
                assert other == name, f"{first.group()} is styled by {other} and by {name}"


def test_tests_use_public_names_only():
    # Of a test's own helpers, of the standard library and of torch's modules a private name is none of ours.
    theirs = re.compile(r"(self|os)\._|\._(forward|backward)\w*_hooks")
    ours = re.compile(r"\w\._[a-z]|setattr\(\"avd_core[\w.]*\._|import _[a-z]|setattr\((?!torch)\w+, \"_[a-z]")
    tests = [path for path in files() if path.parts[0] == "tests" and path.suffix == ".py"]
    private = [
        f"{path}:{number}: {line.strip()}"
        for path in tests
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1)
        if ours.search(line) and not theirs.search(line) and "re.compile" not in line
    ]
    assert len(tests) > 100 and not private, "\n".join(private)


def test_no_file_of_the_program_is_longer_than_400_lines():
    lines = {
        path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in files() if path.suffix == ".py"
    }
    ours = {path: count for path, count in lines.items() if path.parts[0] in ("app", "avd_core")}
    assert len(ours) > 200 and max(ours.values()) <= 400, {path for path, count in ours.items() if count > 400}
