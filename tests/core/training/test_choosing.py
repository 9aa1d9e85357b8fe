"""The best weights by held-out clips: kept, resumed, and the beginning's where nothing is better."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from avd_core.data.packs import PackedClips
from avd_core.networks.avd import AVD
from avd_core.networks.checkpoint import fingerprint
from avd_core.runs.process import look
from avd_core.runs.run import Run, RunError
from avd_core.training.choosing import BestWeights, Score
from avd_core.training.preview import whole_clip
from avd_core.training.run_trainer import RunningTrainer
from tests.squares import MINI, QUICK, write_pack


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    return write_pack(tmp_path_factory.mktemp("packs") / "squares.pack")


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("start") / "start"
    AVD(MINI).save_pretrained(folder)
    return folder


def created(folder, squares, start, **fields) -> Run:
    config = dataclasses.replace(QUICK, **({"choose_every": 2, "adv_weight": 0.0} | fields))
    run, clips = Run(folder), [{"path": str(squares)}]
    run.create({"model": MINI.to_dict(), "train": config.to_dict(), "init": str(start), "clips": clips,
                "held_out": clips})  # fmt: skip
    return run


def trained(run: Run, **options) -> RunningTrainer:
    running = RunningTrainer(run)
    running.resume()
    list(running.go(**options))
    return running


def score_as(monkeypatch, *scores: tuple[float, float]) -> None:
    """Make the looks of a training on one batch of clips tell these figures, one after the other."""
    told = iter(scores)
    monkeypatch.setattr("avd_core.training.choosing.fidelity", lambda *_: next(told))
    monkeypatch.setattr("avd_core.training.run_trainer.MOST_CHOOSING", 1)


def test_the_best_weights_are_kept_and_not_the_last(tmp_path, squares, start, monkeypatch):
    score_as(monkeypatch, (20.0, 40.0), (20.1, 40.0), (21.0, 39.6), (21.2, 39.2))  # the last image is too far off
    kept = {}
    watch = BestWeights.look

    def noted(self, step, model):
        kept[step] = fingerprint(model.state_dict())
        return watch(self, step, model)

    monkeypatch.setattr(BestWeights, "look", noted)
    run = created(tmp_path / "r", squares, start)
    trained(run)
    assert len(set(kept.values())) == 4 and sorted(kept) == [0, 2, 4, 6]
    assert AVD.from_pretrained(run.folder).fingerprint == kept[4]
    assert look(run).best == {"step": 4, "gain": 1.0, "image": -0.4, "rising": False}
    assert "kept step 4: +1.00 dB" in (run.folder / "log.txt").read_text()


def test_where_nothing_is_better_the_beginnings_weights_stay_and_the_rate_is_lowered(
    tmp_path, squares, start, monkeypatch
):
    score_as(monkeypatch, (20.0, 40.0), (19.0, 40.0), (20.0, 41.0), (19.9, 41.0))
    run = created(tmp_path / "r", squares, start, learning_rate=0.03)
    running = RunningTrainer(run)
    running.resume()
    for event in running.go():
        if event.step == 2:  # warm, and worse than at the beginning
            assert fingerprint(running.trainer.model.state_dict()) == fingerprint(
                AVD.from_pretrained(start).state_dict()
            )
            assert not running.trainer.generator_optimizer.state
    assert AVD.from_pretrained(run.folder).fingerprint == AVD.from_pretrained(start).fingerprint
    assert look(run).best == {"step": 0, "gain": 0.0, "image": 0.0, "rising": False}
    log = (run.folder / "log.txt").read_text()
    assert "nothing better found" in log and log.count("goes on from step 0") == 1
    assert running.trainer.rate_scale == pytest.approx(1 / 3)
    assert [line["step"] for line in run.metrics()] == [1, 2, 3, 4, 5, 6]


def test_a_training_that_learns_gains_on_the_clips_that_choose(tmp_path, squares, start):
    run = created(tmp_path / "r", squares, start, steps=12, choose_every=3, learning_rate=3e-3)
    best = trained(run).best
    clips = [whole_clip(PackedClips(squares)[i], MINI) for i in range(4)]
    before, after = (BestWeights(AVD.from_pretrained(one), clips).best.restored for one in (start, run.folder))
    told = best.summary()
    assert told["step"] > 0 and after - before == pytest.approx(told["gain"], abs=0.05) and told["gain"] > 0.2
    assert told["rising"] == (told["step"] == 12)


def test_a_resumed_choice_equals_an_uninterrupted_one(tmp_path, squares, start):
    whole, broken = (created(tmp_path / name, squares, start, learning_rate=3e-3) for name in ("whole", "broken"))
    trained(whole)
    running = RunningTrainer(broken)
    running.resume()
    for event in running.go(pausing=True, seconds=1e9):
        if event.step == 4:
            running.save()
            break
    again = trained(broken)
    assert again.best.looks == trained_looks(whole)
    assert AVD.from_pretrained(broken.folder).fingerprint == AVD.from_pretrained(whole.folder).fingerprint


def trained_looks(run: Run) -> list[Score]:
    state = torch.load(run.training_state, weights_only=True)
    return [Score(*one) for one in state["best"]["looks"]]


def test_choosing_without_clips_to_choose_by_is_refused(tmp_path, squares, start):
    run = created(tmp_path / "r", squares, start)
    config = run.config() | {"held_out": []}
    other = Run(tmp_path / "other")
    other.create(config)
    with pytest.raises(RunError, match="held-out clips"):
        trained(other)
    assert other.state()["status"] == "failed"
