"""The command line as a person types it: files, exit status, one line of complaint, nothing half-filled."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from avd_core.analysis.metrics import PSNR_CAP
from avd_core.cli.common import output_names
from avd_core.cli.main import COMMANDS, main
from avd_core.explore.explorer import Explorer
from avd_core.media.distilled_png import read_distilled
from avd_core.networks.avd import AVD
from tests.repository import ROOT

CLASSIFIER = "mobilenet_v2" if os.environ.get("TORCH_HOME") else "action"
FILES = ["cam.png", "comparison.mp4", "distilled.png", "report.json", "restored.mp4"]


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def explore(tiny_checkpoint):
    def run(*words: object) -> int:
        return main(["explore", *map(str, words), "--checkpoint", str(tiny_checkpoint), "--classifier", CLASSIFIER])

    return run


def test_explore_writes_the_five_files(tmp_path, explore, real_clip, capsys):
    assert explore(real_clip, "--out", tmp_path / "out", "--whole", "--save-frames") == 0
    printed = capsys.readouterr()
    assert printed.err == "" and real_clip.name in printed.out and "mean frame" in printed.out
    assert names_in(tmp_path / "out") == sorted([*FILES, "frames"]) and names_in(tmp_path) == ["out"]

    # The report against the lossless frames, without our own metrics.
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    original, restored = (
        np.stack([np.asarray(Image.open(path)) for path in sorted((tmp_path / "out/frames").glob(f"{kind}_*.png"))])
        for kind in ("original", "restored")
    )
    assert [len(original), *original.shape[1:3]] == [report["frames"], *report["size"]]
    middle, mean = original[len(original) // 2], np.round(original.mean(axis=0))
    for figure, copy in (("psnr", restored), ("psnr_middle_copy", middle), ("psnr_mean_copy", mean)):
        mse = ((original.astype(float) - copy) ** 2).mean(axis=(1, 2, 3))
        assert report[figure] == pytest.approx(min(10 * np.log10(255**2 / mse.mean()), PSNR_CAP), abs=1e-6)
        for told, true in zip(report["per_frame"][figure], mse, strict=True):
            assert (told is None) == (true == 0)
            assert told is None or told == pytest.approx(min(10 * np.log10(255**2 / true), PSNR_CAP), abs=1e-6)
    window = report["clip"]["window"]
    assert window["start"] == 0 and window["seconds"] == pytest.approx(report["clip"]["seconds"])


def test_the_window_is_the_one_asked_for(tmp_path, explore, rendered_clip):
    assert explore(rendered_clip, "--out", tmp_path, "--start", "0.5", "--seconds", "1") == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["clip"]["window"] == {"start": 0.5, "seconds": 1.0} and report["fps"] == 8.0


def test_several_clips_share_one_model_and_go_on_past_a_bad_one(tmp_path, explore, rendered_clip, capsys, monkeypatch):
    loads = []
    load = AVD.from_pretrained
    monkeypatch.setattr(AVD, "from_pretrained", lambda name, **options: loads.append(name) or load(name, **options))
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a video")
    same = tmp_path / "rendered.mov"
    same.write_bytes(rendered_clip.read_bytes())
    assert explore(rendered_clip, bad, tmp_path / "missing.mp4", same, "--out", tmp_path / "out") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "bad.mp4" in lines[0] and "missing.mp4" in lines[1]
    assert names_in(tmp_path / "out") == ["rendered.mov", "rendered.mp4"] and len(loads) == 1
    for name in names_in(tmp_path / "out"):
        assert names_in(tmp_path / "out" / name) == FILES


@pytest.mark.parametrize(
    ("clips", "names"),
    [
        (["x/a.mp4", "x/b.avi"], ["a", "b"]),
        (["x/a.mp4", "x/a.avi"], ["a.mp4", "a.avi"]),
        (["x/a.avi", "y/a.avi", "z/a.mp4"], ["a.avi", "a.avi-2", "a.mp4"]),
        (["x/a.avi", "y/a.mkv", "z/a.avi.mp4"], ["a.avi", "a.mkv", "a.avi-2"]),
        (["x/A.mp4", "x/a.mp4", "x/b.mp4"], ["A.mp4", "a.mp4-2", "b"]),
        (["x/...mp4", "x/.mp4", "x/no_suffix"], ["clip", "mp4", "no_suffix"]),
    ],
)
def test_names_of_outputs_never_collide_nor_leave_the_folder(clips, names):
    assert output_names([Path(clip) for clip in clips]) == names
    assert output_names([Path(clip) for clip in clips], ".png") == [f"{name}.png" for name in names]


@pytest.mark.parametrize("content", [b"", b"not a video at all", None])
def test_a_bad_clip_is_one_line_status_2_and_no_folder(tmp_path, explore, content, capsys):
    clip = tmp_path / "clip.mp4"
    if content is not None:
        clip.write_bytes(content)
    assert explore(clip, "--out", tmp_path / "deep" / "out") == 2
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 1 and "clip.mp4" in printed.err and printed.out == ""
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--whole", "--start", "1"], "whole"),
        (["--seconds", "-1"], "longer than 0 s"),
        (["--seconds", "soon"], "invalid float value"),
        (["--cam", "nonesuch"], "nonesuch"),
        (["--classifier", "nonesuch"], "nonesuch"),
        (["--checkpoint", "nonesuch"], "nonesuch"),
        (["--nonesuch"], "nonesuch"),
        (["--out", ""], "empty path"),
    ],
)
def test_bad_options_are_one_line_and_status_2(tmp_path, tiny_checkpoint, rendered_clip, words, sentence, capsys):
    command = ["explore", str(rendered_clip), "--out", str(tmp_path / "out"), "--checkpoint", str(tiny_checkpoint)]
    assert main([*command, "--classifier", CLASSIFIER, *words]) == 2
    printed = capsys.readouterr()
    assert len(printed.err.splitlines()) == 1 and sentence in printed.err and printed.err.startswith("avd")
    assert not (tmp_path / "out").exists()


def test_a_failure_while_saving_leaves_nothing(tmp_path, explore, rendered_clip, monkeypatch, capsys):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("avd_core.explore.results.write_json", full)
    assert explore(rendered_clip, "--out", tmp_path / "out") == 2
    assert "No space left" in capsys.readouterr().err and names_in(tmp_path) == []


def test_ctrl_c_leaves_nothing_and_no_traceback(tmp_path, explore, rendered_clip, monkeypatch, capsys):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("avd_core.explore.results.write_json", interrupted)
    assert explore(rendered_clip, "--out", tmp_path / "out") == 130
    assert capsys.readouterr().err == "avd explore: interrupted\n" and names_in(tmp_path) == []


def test_an_output_that_is_a_file_is_refused_before_any_work(tmp_path, explore, rendered_clip, monkeypatch, capsys):
    monkeypatch.setattr(Explorer, "warm_up", lambda *args: pytest.fail("it worked"))
    (tmp_path / "out").write_text("mine")
    assert explore(rendered_clip, "--out", tmp_path / "out") == 2
    assert "is a file" in capsys.readouterr().err and (tmp_path / "out").read_text() == "mine"


def test_distill_then_restore_from_the_png_alone(tmp_path, tiny_checkpoint, rendered_clip, capsys):
    image, clip = tmp_path / "new" / "image.png", tmp_path / "other" / "clip.mp4"
    checkpoint = ["--checkpoint", str(tiny_checkpoint)]
    assert main(["distill", str(rendered_clip), "--out", str(image), "--seconds", "1", *checkpoint]) == 0
    pixels, info = read_distilled(image)
    assert (info.checkpoint, info.frames, info.fps, info.size) == ("tiny", 8, 8.0, pixels.shape[:2])
    assert main(["restore", str(image), "--out", str(clip), *checkpoint]) == 0
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        assert (len(list(container.decode(stream))), float(stream.average_rate)) == (8, 8.0)
    assert main(["restore", str(image), "--out", str(clip), *checkpoint, "--fps", "2"]) == 0
    with av.open(str(clip)) as container:
        assert container.duration / av.time_base == pytest.approx(4, abs=0.01)
    printed = capsys.readouterr()
    assert printed.err == "" and names_in(tmp_path / "new") == ["image.png"]
    assert printed.out.count("by tiny: its images must stay PNGs") == 2

    robust = shutil.copytree(tiny_checkpoint, tmp_path / "robust")
    config = json.loads((robust / "config.json").read_text()) | {"trained_through_jpeg": True}
    (robust / "config.json").write_text(json.dumps(config))
    assert main(["restore", str(image), "--out", str(clip), "--checkpoint", str(robust)]) == 0
    assert "by robust: its images are made to survive a JPEG" in capsys.readouterr().out


def test_distill_several(tmp_path, tiny_checkpoint, rendered_clip, capsys):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"")
    command = ["distill", str(rendered_clip), str(bad), str(rendered_clip), "--checkpoint", str(tiny_checkpoint)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    assert names_in(tmp_path / "out") == ["rendered.mp4-2.png", "rendered.mp4.png"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"avd distill: {bad}: ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["restore", "{image}", "--out", "clip.avi"], "must end in .mp4"),
        (["restore", "{image}", "--out", "clip.mp4", "--fps", "0"], "cannot be played"),
        (["restore", "{missing}", "--out", "clip.mp4"], "no image file"),
        (["restore", "{text}", "--out", "clip.mp4"], "not a PNG, JPEG or WebP"),
        (["distill", "{text}", "--out", "image.jpg"], "must end in .png"),
        (["distill", "{text}", "--out", "image.png"], "text.png"),
    ],
)
def test_bad_images_and_outputs_are_one_line(tmp_path, monkeypatch, tiny_checkpoint, words, sentence, capsys):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64)).save("image.png")
    Path("text.png").write_text("hello")
    words = [word.format(image="image.png", missing="missing.png", text="text.png") for word in words]
    before = names_in(tmp_path)
    assert main([*words, "--checkpoint", str(tiny_checkpoint)]) == 2
    printed = capsys.readouterr().err
    assert len(printed.splitlines()) == 1 and sentence in printed
    assert names_in(tmp_path) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_every_subcommand_has_help(name, capsys):
    assert main([name, "--help"]) == 0
    assert f"usage: avd {name}" in capsys.readouterr().out


def test_help_loads_nothing_heavy():
    script = (
        "import sys; from avd_core.cli.main import main; main(['--help']); main(['explore', '--help']);"
        "print(*{'torch', 'av', 'numpy', 'gradio'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "" and "explore" in done.stdout


def test_a_reader_who_has_read_enough_is_no_error():
    command = [sys.executable, "-m", "avd_core", "--help"]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running.stdout.close()
    assert running.stderr.read() == b"" and running.wait() in (0, 141)


def test_python_dash_m_speaks_one_line_on_standard_error(tmp_path):
    """In a process of its own: FFmpeg writes past Python's standard error."""
    clip = tmp_path / "clip.avi"
    clip.write_bytes(b"RIFF" + b"\x00" * 400)
    command = [sys.executable, "-m", "avd_core", "distill", str(clip), "--out", str(tmp_path / "out.png")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (2, 1, ""), done.stderr
    assert names_in(tmp_path) == ["clip.avi"]


def test_a_home_that_cannot_be_written_is_no_obstacle(tmp_path, rendered_clip, tiny_checkpoint):
    """As services and containers have it."""
    command = [sys.executable, "-m", "avd_core", "distill", rendered_clip, "--out", tmp_path / "image.png"]
    homeless = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    done = subprocess.run(
        [*map(str, command), "--checkpoint", str(tiny_checkpoint)], cwd=ROOT, env=homeless | {"HOME": "/proc/none"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "") and names_in(tmp_path) == ["image.png"]


def test_every_real_clip_goes_through(tmp_path, data_dir, explore, capsys):
    if data_dir is None:
        pytest.skip("AVD_DATA is unset: the clips themselves are not here")
    clips = sorted((data_dir / "clips").iterdir())
    assert explore(*clips, "--out", tmp_path / "out") == 0
    assert capsys.readouterr().err == "" and len(names_in(tmp_path / "out")) == len(clips)
    for folder in (tmp_path / "out").iterdir():
        assert names_in(folder) == FILES
        report = json.loads((folder / "report.json").read_text(), parse_constant=lambda word: pytest.fail(word))
        assert np.asarray(Image.open(folder / "distilled.png")).std() > 5
        # The networks of this test are untrained: how well they restore is for the evidence to say.
        assert 0 < report["psnr"] < 60
