"""From somebody's clips to a run directory: what is read, held out, refused, and that the command line is exact."""

from __future__ import annotations

import dataclasses
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest

from avd_core.config import PRESET_OVERRIDES, ConfigError, TrainConfig
from avd_core.data.clip_files import Source, gather
from avd_core.data.datasets import STORED_FRAMES, STORED_SIZE
from avd_core.data.packs import PackedClips
from avd_core.examples import scenes
from avd_core.media.video import read_clip
from avd_core.media.window import Window
from avd_core.media.writer import write_mp4
from avd_core.runs.limits import TuneLimits
from avd_core.runs.registry import RunRegistry
from avd_core.training import finetune, throughput
from avd_core.training.finetune import FineTune, command, parse_fields, prepare, size_for
from avd_core.training.finetune_clips import (
    MOST_PARTS,
    PARTS,
    SHORTEST_PART,
    Part,
    divide,
    hold_out,
    part_windows,
    take,
)
from tests.squares import described
from tests.tuning import WHO, asked, some_clips


@pytest.fixture
def home(tmp_path):
    return RunRegistry(tmp_path / "home", TuneLimits())


@pytest.fixture
def clips(tmp_path, rendered_clip):
    return some_clips(tmp_path / "clips", rendered_clip)


def test_a_corrupt_clip_among_good_ones_is_named_and_the_others_are_taken(tmp_path, rendered_clip, home):
    archive = tmp_path / "clips.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(rendered_clip, "jump/one.mp4")
        file.writestr("jump/torn.mp4", rendered_clip.read_bytes()[:300])
        file.writestr("../../escaped.mp4", rendered_clip.read_bytes())
        file.write(rendered_clip, "wave/two.mp4")
        link = zipfile.ZipInfo("wave/link.mp4")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        file.writestr(link, "/etc/passwd")
        file.writestr("wave/bomb.mp4", bytes(3_000_000), zipfile.ZIP_DEFLATED)
    (tmp_path / "out").mkdir()
    found = gather([archive], tmp_path / "out")
    taken = list(take(found.sources, tmp_path / "taken"))
    good = [one for one in taken if not isinstance(one, str)]
    assert [(clip.source.title, clip.source.label) for clip in good] == [("one.mp4", "jump"), ("two.mp4", "wave")]
    told = " ".join([*found.skipped, *(one for one in taken if isinstance(one, str))])
    for name in ("torn.mp4", "escaped.mp4", "link.mp4", "bomb.mp4"):
        assert name in told
    assert not (tmp_path / "escaped.mp4").exists() and not (tmp_path.parent / "escaped.mp4").exists()

    ticket = prepare(FineTune("Jump!", "preset:tiny", tuple(good), frozenset([1]), {"steps": 3}), home, WHO[0])
    run = home.run(ticket)
    packed = PackedClips(run.folder / finetune.PACK)
    assert packed.names == ["clips/jump/0000-one.mp4"]
    original = read_clip(rendered_clip, frames=STORED_FRAMES, size=STORED_SIZE, whole=True).frames
    assert np.abs(packed[0].astype(int) - original).mean() < 4
    (judged,) = ticket.about["judged"]
    assert judged["title"] == "two.mp4" and (run.folder / judged["file"]).read_bytes() == rendered_clip.read_bytes()
    assert run.state()["status"] == "queued" and home.records() == [], "it is in no line before it is put there"


def test_the_command_line_shown_describes_the_very_run(tmp_path, clips, home):
    ask = asked(clips, "My own", steps=7, noise_levels=2.0, augment="colour,shift")
    ticket = prepare(ask, home, WHO[0])
    words = shlex.split(command(ask))
    assert words[:4] == ["python", "-m", "avd_core", "train"] and str(tmp_path) not in command(ask)
    again, config = described(words[4:]).to_dict(), home.run(ticket).config()
    for places in (again["clips"], config["clips"], again["held_out"], config["held_out"]):
        (place,) = places
        assert place.pop("path").endswith((".pack",))
    assert again == config and config["train"]["noise_levels"] == 2.0
    assert {"--data", "my-own/train.pack", "--held-out", "my-own/held-out.pack"} <= set(words)


@pytest.mark.parametrize("init", ["preset:tiny", "preset:paper", "preset:base", "tiny", "paper", "base"])
def test_a_run_is_of_the_fields_asked_for_be_they_the_presets_own_or_anyones(clips, init):
    """Each field as the drawer shows it, and each field as the dataclass has it, comes out as it went in."""
    shown = TrainConfig.from_dict(finetune.recipe(7, init)).to_dict()
    preset = init.removeprefix("preset:")
    assert {name: shown[name] for name in PRESET_OVERRIDES.get(preset, {})} == PRESET_OVERRIDES.get(preset, {})
    for train in (shown, TrainConfig().to_dict(), shown | {"jpeg_share": 0.7, "jpeg_start": 0, "adv_weight": 0.5}):
        words = shlex.split(command(dataclasses.replace(asked(clips), init=init, train=train)))
        assert described(words[4:]).train.to_dict() == train


def test_what_makes_no_sense_leaves_nothing_behind(clips, home):
    for ask, told in (
        (dataclasses.replace(asked(clips), clips=()), "Add some clips"),
        (dataclasses.replace(asked(clips), held_out=frozenset(range(3))), "Every clip is held out"),
        (dataclasses.replace(asked(clips), init="no-such-checkpoint"), "no checkpoint"),
        (asked(clips, crop=99), "crop"),
        (asked(clips, nonsense=1), "nonsense"),
    ):
        with pytest.raises(ValueError, match=told):
            prepare(ask, home, WHO[0])
    assert not home.folder.exists() or not [path for path in home.folder.iterdir() if path.is_dir()]


def test_a_name_cannot_lead_elsewhere(clips, home):
    ticket = prepare(asked(clips, "../../../evil"), home, WHO[0])
    assert home.run(ticket).folder.resolve().is_relative_to(home.folder.resolve())


def part(number: int) -> Part:
    return Part(Window(float(number), 1.0), {128: (Path(f"{number}.avif"), (32, 128, 128))})


@pytest.mark.parametrize("seconds", [0.1, 2.4, 2.5, 6.56, 10.0, 10.01, 33.0, 600.0])
def test_parts_of_a_clip_are_alike_and_do_not_overlap(seconds):
    windows = part_windows(seconds)
    if seconds < PARTS * SHORTEST_PART:
        assert windows == [Window(whole=True)]
        return
    assert PARTS <= len(windows) <= MOST_PARTS and len({one.seconds for one in windows}) == 1
    ends = [one.start + one.seconds for one in windows]
    assert windows[0].start == 0 and ends[-1] == pytest.approx(seconds)
    assert all(after.start >= end - 1e-6 for end, after in zip(ends, windows[1:], strict=False))
    assert SHORTEST_PART <= windows[0].seconds <= 2


def test_of_few_clips_moments_are_held_back_that_neither_train_nor_do_two_things(clips):
    long = [dataclasses.replace(clips[0], parts=tuple(map(part, range(5)))) for _ in range(2)]
    division = divide(long, frozenset())
    assert division.apart
    for number in range(2):
        starts = [[p.window.start for n, p in one if n == number]
                  for one in (division.training, division.choosing, division.reporting)]  # fmt: skip
        assert starts == [[0, 2, 4], [1], [3]]
    held = divide(long, frozenset([1]))
    assert held.apart and {n for n, _ in held.training} == {0} and len(held.training) == 5
    assert {n for n, _ in (*held.choosing, *held.reporting)} == {1}
    short = divide(clips[:1], frozenset())
    assert not short.apart and short.training == short.choosing == short.reporting
    several = divide(clips, frozenset([1, 2]))
    assert several.apart and [[n for n, _ in one] for one in (several.choosing, several.reporting)] == [[1], [2]]
    assert not divide(clips, frozenset([2])).apart, "one short clip chooses and reports"


def test_what_trains_and_what_judges_lie_in_their_places_at_the_size_that_is_trained_for(tmp_path, home):
    frames = scenes.render("wave", size=(240, 248), fps=8, frames=24)
    clip = write_mp4(tmp_path / "own.mp4", frames, 8)  # 3 s: parts of 0.6 s
    (taken,) = take([Source(clip, "own.mp4")], tmp_path / "taken")
    assert len(taken.parts) == 5 and set(taken.parts[0].stored) == {128, 240}
    for size, stored in ((64, 128), (112, 128), (160, 240), (224, 240)):
        ask = FineTune("a", "preset:tiny", (taken,), frozenset(), {"steps": 3}, size=size)
        run = home.run(record := prepare(ask, home, WHO[0]))
        training, choosing = (PackedClips(run.folder / name) for name in (finetune.PACK, finetune.HELD_OUT_PACK))
        assert (len(training), len(choosing)) == (3, 1) and training[0].shape[:2] == (STORED_FRAMES, stored)
        (judged,) = record.about["judged"]
        assert Window(**judged["window"]) == taken.parts[3].window and record.about["apart"]
    read = read_clip(clip, frames=STORED_FRAMES, size=240, start=0.6, seconds=0.6).frames
    assert np.abs(choosing[0].astype(int) - read).mean() < 4
    assert np.abs(choosing[0].astype(int) - training[0]).mean() > 4, "another moment"


def test_a_quick_look_on_a_cpu_is_at_the_smallest_size():
    assert size_for(60, "cpu", "base") == 112 and size_for(300, "cpu", "base") == size_for(60, "cuda", "base") == 224
    assert size_for(60, "cpu", "preset:tiny") == 64


def test_clips_are_held_out_of_each_class(clips):
    def many(*labels):
        return [dataclasses.replace(clips[0], source=Source(clips[0].source.clip, "x", label)) for label in labels]

    parts = [part(n) for n in range(5)]
    assert hold_out([dataclasses.replace(one, parts=tuple(parts)) for one in many("", "")]) == frozenset()
    assert hold_out(many("")) == frozenset() and hold_out([]) == frozenset()
    assert hold_out(many("", "")) == {1}
    held = hold_out(many(*"a" * 20, *"b" * 20, "c"))
    assert 2 <= len(held) <= 8 and min(held) < 20 <= max(held) < 40


def test_values_of_a_form_are_checked():
    assert parse_fields({"steps": 5.0, "learning_rate": 1}) == {"steps": 5, "learning_rate": 1.0}
    for values in ({"steps": 2.5}, {"steps": 0}, {"precision": "int4"}, {"what": 1}, {"steps": "x"}):
        with pytest.raises(ConfigError):
            parse_fields(values)


def test_the_pace_is_measured_and_nothing_is_kept_of_it(tiny_checkpoint):
    config = TrainConfig.from_dict(finetune.recipe(10) | {"crop": 64, "batch_size": 2})
    before = (tiny_checkpoint / "model.safetensors").read_bytes()
    measured = throughput.measure(str(tiny_checkpoint), config, "cpu")
    assert 0 < measured.seconds < 60 and measured.batch_size == 2
    assert (
        throughput.StepTime(0.5, "cpu", 4).steps_in(60) == 120
        and throughput.StepTime(100.0, "cpu", 4).steps_in(60) == throughput.LEAST_STEPS
    )
    assert (tiny_checkpoint / "model.safetensors").read_bytes() == before
