"""Sounds as clips: what is heard can be seen, and the experiment runs by its command."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avd_core.cli.main import main
from avd_core.evidence import runner
from avd_core.evidence.sounds import (
    HIGHEST,
    LOWEST,
    RATE,
    SOUNDS,
    SoundError,
    sound_clip,
    sound_of,
    spectrogram,
    synthesise,
)


def pitch_of(row: int, height: int) -> float:
    return HIGHEST * (LOWEST / HIGHEST) ** (row / (height - 1))


def test_a_tone_is_a_line_at_its_pitch():
    sound = np.sin(2 * np.pi * 1000 * np.arange(2 * RATE) / RATE)
    picture = spectrogram(sound, 128, 64)
    loudest = picture.argmax(axis=0)
    assert len(set(loudest.tolist())) <= 2 and pitch_of(int(loudest[10]), 128) == pytest.approx(1000, rel=0.05)
    assert picture.max() == 255 and np.median(picture) < 40


@pytest.mark.parametrize(("name", "direction"), [("chirp up", -1), ("chirp down", 1)])
def test_a_chirp_climbs_or_falls_from_frame_to_frame(name, direction):
    clip = sound_clip(synthesise(name, 3), 8, 64)
    assert clip.shape == (8, 64, 64, 3) and clip.dtype == np.uint8
    rows = clip[:, :, 32, 0].argmax(axis=1).astype(int)
    assert (np.diff(rows) * direction > 0).all(), "rows count from the top"


def test_a_sound_is_the_same_for_the_same_seed_alone():
    assert np.array_equal(synthesise("tone", 1), synthesise("tone", 1))
    assert not np.array_equal(synthesise("tone", 1), synthesise("tone", 2))
    assert len({synthesise(name, 1).tobytes() for name in SOUNDS}) == len(SOUNDS)


def video_with_sound(path: Path, pitch: float | None) -> Path:
    import av

    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=8)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=RATE) if pitch else None
        for _ in range(16):
            container.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        container.mux(video.encode())
        if audio:
            sound = np.sin(2 * np.pi * pitch * np.arange(2 * RATE) / RATE).astype(np.float32)
            for begin in range(0, len(sound), 1024):
                frame = av.AudioFrame.from_ndarray(sound[None, begin : begin + 1024], format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
                container.mux(audio.encode(frame))
            container.mux(audio.encode())
    return path


def test_the_sound_track_of_a_clip(tmp_path: Path):
    heard = sound_of(video_with_sound(tmp_path / "sounding.mp4", 700))
    assert len(heard) == pytest.approx(2 * RATE, rel=0.1)
    row = int(spectrogram(heard, 128, 32)[:, 16].argmax())
    assert pitch_of(row, 128) == pytest.approx(700, rel=0.06)
    with pytest.raises(SoundError, match=r"silent\.mp4 has no sound"):
        sound_of(video_with_sound(tmp_path / "silent.mp4", None))
    (tmp_path / "no.mp4").write_bytes(b"nothing")
    with pytest.raises(SoundError, match="cannot be read"):
        sound_of(tmp_path / "no.mp4")


def test_the_experiment_reports_whatever_it_shows(tmp_path: Path, tiny_checkpoint: Path, monkeypatch, capsys):
    monkeypatch.setattr("avd_core.evidence.protocols.linear_probe.STRENGTHS", (1e-2, 1.0))
    scorers = runner.load_scorers(["action"])
    monkeypatch.setattr(runner, "load_scorers", lambda names: scorers)
    clips = tmp_path / "clips"
    clips.mkdir()
    video_with_sound(clips / "sounding.mp4", 700)
    video_with_sound(clips / "silent.mp4", None)
    command = ["sounds", "--out", str(tmp_path / "out"), "--count", "6", "--checkpoints", str(tiny_checkpoint)]
    assert main([*command, "--clips", str(clips)]) == 0
    assert "skipped silent.mp4" in capsys.readouterr().err
    found = json.loads((tmp_path / "out" / "evidence.json").read_text())
    assert found["about"].startswith("An experiment") and "1 sound tracks of clips" in found["about"]
    assert set(found["protocols"]) == {"restoration", "recognition", "order", "restoration, sound tracks"}
    assert found["protocols"]["recognition"]["classes"] == dict.fromkeys(sorted(SOUNDS), 6)
    assert found["protocols"]["order"]["figures"]["action"]["middle"]["mean"] == 0.5
    assert (tmp_path / "out" / "report.html").read_text().startswith("<!doctype html>")
    assert main([*command[:4], "2"]) == 2
