"""A worker that crashes, hangs or swells hurts one request, with its sentence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from avd_core.evidence.sounds import SoundError, sound_of
from avd_core.explore.storyboard.windows import Windows
from avd_core.media import thumbnails, video, writer
from avd_core.media.containment import contained
from avd_core.media.distilled_png import ImageError, decode_distilled, read_distilled, save_image
from tests.core.media.containment import faults
from tests.core.media.containment.faults import FaultError
from tests.repository import ROOT

FILES = 9


@pytest.fixture(autouse=True)
def workers() -> None:
    """Two, each with 1 GB and so many files; they live on from test to test."""
    contained.start(2, contained.Bounds(seconds=60.0, memory=2**30, files=FILES))


@pytest.fixture(autouse=True, scope="module")
def none_afterwards() -> Iterator[None]:
    """Leave the other tests of this process as they are."""
    yield
    contained.stop()


def is_gone(pid: int) -> bool:
    """Return whether a process ends within a while."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            if ") Z " in Path(f"/proc/{pid}/stat").read_text():  # nobody has asked for its end yet
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def test_a_worker_is_another_process_with_pyav_and_numpy_alone():
    pid, loaded = faults.ask("a.mp4")
    assert pid != os.getpid() and pid in contained.worker_pids()
    assert {"av", "numpy"} <= loaded and not loaded & {"torch", "gradio", "PIL", "matplotlib", "app"}


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (faults.crash, "Reading bad.mp4 made the decoder crash"),
        (faults.swell, "Reading bad.mp4 takes more than 1 GB of memory"),
    ],
)
def test_a_fault_is_told_in_a_sentence_and_the_next_file_is_read(fault, told: str, rendered_clip: Path):
    with pytest.raises(FaultError, match=told):
        fault("folder/bad.mp4")
    assert video.probe(rendered_clip).frames == 24


def test_one_that_hangs_is_ended_and_others_are_served_beside_it():
    contained.stop()
    contained.start(2, contained.Bounds(seconds=3.0))
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(faults.hang, "bad.mp4")
        pids = {faults.ask("a.mp4")[0] for _ in range(3)}
        assert len(pids) == 1 and not hanging.done()
        with pytest.raises(FaultError, match=r"Reading bad.mp4 takes longer than 3 s"):
            hanging.result()
    assert faults.ask("a.mp4")
    contained.stop()


def test_what_a_file_is_refused_for_comes_back_with_its_reason_and_no_worker_is_lost():
    before, _ = faults.ask("a.mp4")
    with pytest.raises(FaultError, match=r"bad.mp4 is refused") as refused:
        faults.refuse("folder/bad.mp4")
    assert isinstance(refused.value.__cause__, OSError) and refused.value.__cause__.errno == 28
    with pytest.raises(KeyError) as fault:
        faults.stumble("a.mp4")
    assert "in stumble" in fault.value.__notes__[0]
    assert faults.ask("a.mp4")[0] == before


def test_reading_gives_the_same_as_without(rendered_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def everything() -> list[object]:
        clip, strip = video.read_clip(name, frames=4, size=64), thumbnails.filmstrip(name)
        windows = Windows(name, frames=4, size=64, longest=1.0)
        taken = [(window.start, window.frames.tobytes()) for window in windows]
        with pytest.raises(video.VideoError) as none:
            video.read_clip("missing.mp4")
        image, info = read_distilled("picture.png")
        previewed = writer.transcode(name, "preview.mp4", size=64).read_bytes()
        return [clip.frames.tobytes(), clip.source, clip.notes, [one.tobytes() for one in strip.frames], taken,
                windows.source, windows.notes, str(none.value), image.tobytes(), info, previewed]  # fmt: skip

    monkeypatch.chdir(tmp_path)  # after the workers were started: they have to go along
    name = Path(rendered_clip.name)
    name.write_bytes(rendered_clip.read_bytes())
    save_image("picture.png", np.full((64, 64, 3), 90, np.uint8))
    inside = everything()
    assert contained.is_on()
    contained.stop()
    assert everything() == inside


@pytest.mark.parametrize(
    ("read", "error"),
    [
        (lambda path: video.probe(path), video.VideoError),
        (lambda path: video.read_clip(path), video.VideoError),
        (lambda path: thumbnails.filmstrip(path), video.VideoError),
        (lambda path: writer.transcode(path, path.with_name("out.mp4")), video.VideoError),
        (lambda path: list(Windows(path, frames=4, size=64, longest=1.0)), video.VideoError),
        (lambda path: read_distilled(path), ImageError),
        (lambda path: decode_distilled(path.read_bytes(), path.name, 4096), ImageError),
        (lambda path: sound_of(path), SoundError),
    ],
)
def test_everything_that_opens_a_strangers_file_is_contained(
    read, error: type[ValueError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def call(*_: object) -> None:
        raise contained._Failure("{name} was given to a worker")

    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"\0" * 2**16)
    monkeypatch.setattr(contained._Worker, "call", call)
    with pytest.raises(error, match=r"^clip.mp4 was given to a worker$"):
        read(clip)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_workers_are_replaced_after_their_share_and_one_that_was_killed_meanwhile_is_missed_by_nobody():
    pids = [faults.ask("a.mp4")[0] for _ in range(FILES + 1)]
    assert len(set(pids)) > 1 and max(pids.count(pid) for pid in pids) <= FILES
    for pid in contained.worker_pids():
        os.kill(pid, signal.SIGKILL)
        assert is_gone(pid)
    assert faults.ask("a.mp4")


def test_items_come_one_by_one_from_one_worker_and_a_crash_among_them_is_told():
    items = list(faults.count("a.mp4", 4))
    assert [number for _, number in items] == [0, 1, 2, 3] and len({pid for pid, _ in items}) == 1
    with pytest.raises(FaultError, match="crash"):
        list(faults.count("a.mp4", 4, crash_at=2))


def test_an_iteration_leaves_a_worker_to_others_and_its_own_when_it_is_given_up():
    first = faults.count("a.mp4", 10)
    pid, _ = next(first)
    assert faults.ask("a.mp4")[0] != pid
    first.close()
    assert is_gone(pid)
    assert [number for _, number in faults.count("a.mp4", 2)] == [0, 1]


def test_a_worker_takes_over_the_priority_of_who_asks_and_keeps_its_own():
    own = faults.niceness("a.mp4")

    def politely() -> int:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), own + 1)
        return faults.niceness("a.mp4")

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(politely).result() == own + 1
    assert faults.niceness("a.mp4") == own


def test_a_forked_child_has_workers_of_its_own():
    before = faults.ask("a.mp4")[0]
    child = os.fork()
    if not child:
        try:
            os._exit(0 if faults.ask("a.mp4")[0] not in (before, os.getpid()) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert faults.ask("a.mp4")[0] == before


def test_no_worker_outlives_who_started_it_even_in_the_middle_of_a_file():
    script = """
import threading, time
from avd_core.media.containment import contained
from tests.core.media.containment import faults
contained.start(2)
faults.ask("a.mp4")
threading.Thread(target=lambda: faults.wait("a.mp4"), daemon=True).start()
time.sleep(0.3)
print(*contained.worker_pids(), flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert len(pids) == 2 and all(is_gone(pid) for pid in pids)


def test_variables_that_make_no_sense_are_refused_by_name(monkeypatch: pytest.MonkeyPatch):
    contained.stop()
    for name, value in (("AVD_CONTAIN", "yes"), ("AVD_CONTAIN", "65"), ("AVD_CONTAIN_GB", "0.1")):
        with monkeypatch.context() as patch, pytest.raises(contained.ContainmentError, match=f"{name} is '{value}'"):
            patch.setenv(name, value)
            contained.start_as_set(2)
    monkeypatch.setenv("AVD_CONTAIN", "0")
    contained.start_as_set(2)
    assert not contained.is_on()
