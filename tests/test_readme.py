"""The documents tell the truth: their paths exist, the map is whole, the header fits Spaces, their examples run."""

from __future__ import annotations

import argparse
import dataclasses
import re
import shlex
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import SpaceHardware

from avd_core.runs.limits import TuneLimits, variable
from tests.repository import ROOT, files

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").partition("## The files")[2]
MAP = [
    line.split(maxsplit=1)
    for block in re.findall(r"^```\n(.*?)^```$", ARCHITECTURE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
DOCUMENTS = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]
PAGES = [*DOCUMENTS, "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", "checkpoints/README.md"]
LONGEST_README = 220  # lines
# The colours and the length a Space's header allows.
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
LONGEST_DESCRIPTION = 60


def blocks(language: str) -> list[str]:
    """The examples of all documents."""
    texts = [(ROOT / page).read_text(encoding="utf-8") for page in DOCUMENTS]
    return [found for text in texts for found in re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.DOTALL)]


def test_the_readme_is_short_and_leads_to_every_document():
    assert len(TEXT.splitlines()) <= LONGEST_README
    for page in DOCUMENTS[1:]:
        assert f"]({page})" in TEXT, f"the README leads nowhere to {page}"


def test_every_environment_variable_of_the_program_is_documented():
    ours = [path for path in files() if path.suffix == ".py" and path.parts[0] in {"app", "avd_core", "app.py"}]
    names = re.compile(r"""["'](AVD_[A-Z_]+[A-Z]|GRADIO_[A-Z_]+|HF_TOKEN|HF_HUB_OFFLINE|SPACE_HOST)["']""")
    named = {name for path in ours for name in names.findall((ROOT / path).read_text(encoding="utf-8"))}
    named |= {variable(field.name) for field in dataclasses.fields(TuneLimits)}
    named -= {"GRADIO_ANALYTICS_ENABLED"}  # set, not read
    told = set(re.findall(r"`([A-Z_]+)`", (ROOT / "docs" / "server.md").read_text(encoding="utf-8")))
    assert {"AVD_CHECKPOINT", "AVD_RUNS", "AVD_TUNE_CLIPS"} <= named and named <= told, named - told


def test_every_path_of_the_map_exists_and_says_what_it_is():
    for path, *purpose in MAP:
        assert (ROOT / path).exists(), f"{path} is in the map of docs/architecture.md and not in the repository"
        assert purpose, f"{path} stands in the map without a word"


def test_every_module_is_in_the_map():
    houses = {"app", "avd_core", "benchmarks", "scripts"}
    # A package's own file says in its docstring what the heading of its room says.
    code = {path for path in files() if path.suffix == ".py" and path.name != "__init__.py"}
    ours = {path for path in code if path.parts[0] in houses or len(path.parts) == 1}
    missing = ours - {Path(path) for path, *_ in MAP}
    assert not missing, f"the map of docs/architecture.md lacks {', '.join(map(str, sorted(missing)))}"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_into_the_repository_leads_somewhere(page: str):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


def test_every_make_target_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in PAGES:
        named = re.findall(r"(?:^|`)make ([a-z]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
        assert set(named) <= targets, page


def test_the_space_header_launches_this_page():
    header = yaml.safe_load(TEXT.split("---\n")[1])
    assert header["sdk"] == "gradio" and header["license"] == "mit" and header["emoji"]
    assert header["sdk_version"] == version("gradio"), "the Space would run another gradio than the tests"
    assert (ROOT / header["app_file"]).is_file()
    # The default is 3.10, which PyAV 18 refuses; a bare 3.12 would be read as a number.
    assert header["python_version"] == "3.12"
    assert {header["colorFrom"], header["colorTo"]} <= COLOURS
    assert len(header["short_description"]) <= LONGEST_DESCRIPTION
    # Visitors sign in to push a checkpoint and to start a job, and give the page no right beyond these two.
    assert header["hf_oauth"] is True and set(header["hf_oauth_scopes"]) == {"contribute-repos", "jobs"}
    # What whoever duplicates it is offered first. Nothing is to be fetched from the Hub beforehand: the checkpoints
    # are in the repository, and the ImageNet weights lie elsewhere.
    assert header["suggested_hardware"] in [hardware.value for hardware in SpaceHardware]
    assert not {"models", "preload_from_hub"} & set(header)


def commands() -> list[list[str]]:
    lines = [line for line in "".join(blocks("sh")).splitlines() if line.startswith("python -m avd_core ")]
    return [shlex.split(line, comments=True)[3:] for line in dict.fromkeys(lines)]  # some stand in two documents


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_is_understood(command: list[str]):
    from avd_core.cli.main import COMMANDS

    parser = argparse.ArgumentParser()
    COMMANDS[command[0]].load().add_arguments(parser)
    parser.parse_args(command[1:])


def test_every_command_about_clips_runs(rendered_clip: Path, tmp_path: Path, monkeypatch):
    from avd_core.cli.main import main
    from avd_core.media import video, writer

    two_seconds = video.read_clip(rendered_clip, frames=24).frames
    writer.write_mp4(tmp_path / "clip.mp4", np.concatenate([two_seconds] * 4), 12)
    for name in ("one.avi", "two.gif"):  # what a file is called does not say what is in it
        (tmp_path / name).write_bytes(rendered_clip.read_bytes())
    monkeypatch.chdir(tmp_path)
    foreign = ("timm:", "hf:", "clip:")  # models that no test downloads
    about_clips = {"explore", "distill", "restore", "storyboard", "probe", "compare", "inspect"}
    of_clips = [command for command in commands() if command[0] in about_clips]
    of_clips = [command for command in of_clips if not any(word.startswith(foreign) for word in command)]
    assert {command[0] for command in of_clips} == about_clips
    (tmp_path / "film.mp4").write_bytes((tmp_path / "clip.mp4").read_bytes())
    for command in of_clips:
        assert main(command) == 0, f"avd {shlex.join(command)}"
    assert (tmp_path / "again.mp4").stat().st_size > 1000
    for name in ("distilled.png", "restored.mp4", "comparison.mp4", "cam.png", "report.json"):
        assert (tmp_path / "out" / name).is_file(), name


@pytest.mark.parametrize("example", blocks("python"))
def test_every_python_example_runs(example: str, rendered_clip: Path, tmp_path: Path, monkeypatch):
    (tmp_path / "clip.mp4").write_bytes(rendered_clip.read_bytes())
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "a document", "exec"), {})
    assert {path.name for path in tmp_path.iterdir()} > {"clip.mp4"}, "the example left nothing behind"
