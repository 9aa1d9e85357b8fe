"""Fine-tune without a browser: whose runs are whose, what the tab says of them, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from app.components.training_options import RecipePanel
from app.context import PageContext
from app.render import finetune as render
from app.services.drafts import Draft
from app.services.explorations import Explorations
from app.tabs.finetune import FinetuneTab
from avd_core.config import ConfigError, TrainConfig
from avd_core.explore.explorer import Explorer
from avd_core.runs.limits import TuneLimits
from avd_core.runs.process import Look
from avd_core.runs.registry import RunRegistry, new_secret, owner_of
from avd_core.runs.run_queue import RunQueue
from avd_core.training.finetune import recipe
from tests.app.conftest import visitor
from tests.tuning import some_clips

ME, OTHER = new_secret(), new_secret()


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Iterator[FinetuneTab]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        with gr.Blocks() as page, gr.Tabs() as tabs, gr.Tab("Fine-tune") as frame:
            context = PageContext(page, Explorations(Explorer("cpu")), str(tiny_checkpoint))
            context.tabs = tabs
            yield FinetuneTab(context, frame)


@pytest.fixture
def tab(laid_out: FinetuneTab, tmp_path: Path) -> FinetuneTab:
    """The tab with a home of its own, where starting a run trains nothing."""

    def start(run, *, device, seconds):
        lock = run.locked(".started")
        lock.__enter__()
        locks.append(lock)
        run.write_state("running", step=0)

    locks = []
    laid_out.tuning.home = laid_out.tuning.home.__class__(tmp_path / "runs", TuneLimits())
    laid_out.tuning.queue = RunQueue(laid_out.tuning.home, {"cpu": start})
    laid_out.limits = laid_out.tuning.home.limits
    yield laid_out
    for lock in locks:
        lock.__exit__(None, None, None)


@pytest.fixture
def draft(tmp_path: Path, rendered_clip: Path) -> Draft:
    return Draft(some_clips(tmp_path / "clips", rendered_clip), frozenset([2]))


def form(tab: FinetuneTab, draft: Draft | None, secret: str | None = ME, **fields: object) -> dict:
    train = TrainConfig.from_dict(recipe(6) | {"crop": 64, "batch_size": 2} | fields).to_dict()
    values = {tab.recipe.fields[name]: value for name, value in train.items()}
    start = {
        tab.init: "preset:tiny",
        tab.length: "quick",
        tab.device: "cpu",
        tab.name: "Mein <Lauf>",
        tab.fitted: False,
    }
    return values | start | {tab.draft: draft, tab.secret: secret}


def last(updates: dict | Iterator[dict]) -> dict:
    """What a handler answers in the end."""
    return updates if isinstance(updates, dict) else list(updates)[-1]


def started(tab: FinetuneTab, draft: Draft, secret: str | None = ME) -> dict:
    answer = last(tab._on_start(form(tab, draft, secret), visitor("a")))
    assert 'role="alert"' not in (answer[tab.slots["message"]] or "")
    return answer


def told(tab: FinetuneTab, answer: dict) -> str:
    return answer[tab.slots["message"]]


def test_a_run_is_started_watched_and_found_again_by_its_secret(tab: FinetuneTab, draft: Draft):
    answer = started(tab, draft)
    key = answer[tab.runs.chosen]
    assert answer[tab.runs.panel].visible and answer[tab.runs.timer].active
    assert answer[tab.runs.actions["stop"]].visible and not answer[tab.runs.actions["resume"]].visible
    assert 'data-run="' in answer[tab.runs.slots["runs"]] and "mein-lauf" in answer[tab.runs.slots["runs"]]
    # Another page load, after a restart of the server: nothing but the browser's secret is known.
    again = tab._on_load(ME, None, visitor("b"))
    assert again[tab.runs.chosen] == key and again[tab.secret] == ME and again[tab.runs.timer].active
    fresh = tab._on_load(None, None, visitor("c"))
    assert owner_of(fresh[tab.secret]) and fresh[tab.secret] not in (ME, OTHER)
    assert fresh[tab.runs.chosen] is None and not fresh[tab.runs.panel].visible and not fresh[tab.runs.timer].active


def test_nobody_sees_or_stops_anothers_run(tab: FinetuneTab, draft: Draft):
    key = started(tab, draft)[tab.runs.chosen]
    ticket = tab.tuning.home.find(owner_of(ME), key)
    for act in (tab.runs._on_stop, tab.runs._on_save, tab.runs._on_preview, tab.runs._on_resume, tab.runs._on_delete):
        for secret in (OTHER, None, "x", {"key": ME}):
            answer = last(act(secret, key, visitor("x")))
            assert "no such run of yours" in told(tab, answer) and answer[tab.runs.chosen] is None
    assert "no such run of yours" in told(tab, tab.runs._on_use(OTHER, key))
    assert tab.tuning.home.run(ticket).pop_requests() == set() and tab.tuning.home.status(ticket) == "running"
    assert key not in tab._on_load(OTHER, key, visitor("x"))[tab.runs.slots["runs"]]
    assert key not in str(tab.runs._on_choose(OTHER, SimpleNamespace(key=key), visitor("x")))


def test_buttons_do_what_they_say_and_only_those_that_can_are_there(tab: FinetuneTab, draft: Draft):
    key = started(tab, draft)[tab.runs.chosen]
    run = tab.tuning.home.run(tab.tuning.home.find(owner_of(ME), key))
    for act in (tab.runs._on_save, tab.runs._on_preview, tab.runs._on_stop):
        act(ME, key, visitor("a"))
    assert run.pop_requests() == {"save", "preview", "stop"}
    run.write_state("failed", step=3, error="The disk is <full>.")
    answer = tab.runs._on_tick(ME, key, visitor("a"))
    visible = {name for name, button in tab.runs.actions.items() if answer[button].visible}
    assert visible == {"resume", "delete"}, "nothing was saved, so there is nothing to open"
    assert "&lt;full&gt;" in answer[tab.runs.slots["failure"]] and not answer[tab.runs.timer].active
    last(tab.runs._on_resume(ME, key, visitor("a")))
    assert run.state()["status"] == "queued", "it waits until the last process has gone"
    run.write_state("stopped", step=3)
    answer = tab.runs._on_delete(ME, key, visitor("a"))
    assert answer[tab.runs.chosen] is None or told(tab, answer)


def test_a_look_sends_only_what_has_changed(tab: FinetuneTab, draft: Draft):
    key = started(tab, draft)[tab.runs.chosen]
    run = tab.tuning.home.run(tab.tuning.home.find(owner_of(ME), key))
    assert set(tab.runs._on_tick(ME, key, visitor("a"))) == {tab.runs.chosen}
    run.append_metrics({"step": 1, "recon_loss": 0.3, "guide_loss": 0.1, "seconds": 2.0})
    seen = tab.runs._on_tick(ME, key, visitor("a"))
    assert (
        tab.runs.slots["losses"] in seen
        and tab.runs.slots["log"] not in seen
        and "0.3000" in seen[tab.runs.slots["losses"]]
    )
    assert "about 10 s left" in seen[tab.runs.slots["status"]]
    assert tab.runs.slots["losses"] in tab.runs._on_tick(ME, key, visitor("of another tab"))


def test_what_cannot_be_started_is_told_and_leaves_nothing(tab: FinetuneTab, draft: Draft):
    for values, words in (
        (form(tab, None), "Add some clips"),
        (form(tab, draft) | {tab.init: "gone"}, "no checkpoint"),
        (form(tab, draft) | {tab.recipe.fields["crop"]: 99}, "crop"),
        (form(tab, draft) | {tab.recipe.fields["steps"]: None}, "steps is empty"),
    ):
        assert words in told(tab, last(tab._on_start(values, visitor("a"))))
    assert tab.tuning.home.records() == []
    tab.tuning.home.limits = dataclasses.replace(tab.tuning.home.limits, active=1)
    started(tab, draft)
    assert "1 of your runs" in told(tab, last(tab._on_start(form(tab, draft), visitor("a"))))
    tab.tuning.home.limits = dataclasses.replace(tab.tuning.home.limits, on=0)
    assert "turned off" in told(tab, last(tab._on_start(form(tab, draft), visitor("a"))))
    assert len(tab.tuning.home.records()) == 1


def test_a_checkpoint_becomes_a_choice_of_its_owner_and_of_nobody_else(
    tab: FinetuneTab, draft: Draft, tiny_checkpoint: Path
):
    import shutil

    key = started(tab, draft)[tab.runs.chosen]
    ticket = tab.tuning.home.find(owner_of(ME), key)
    run = tab.tuning.home.run(ticket)
    assert "not saved a checkpoint yet" in told(tab, tab.runs._on_use(ME, key))
    shutil.copytree(tiny_checkpoint, run.checkpoint)
    answer = tab.runs._on_use(ME, key)
    opening = answer[tab.context.opening]
    assert opening.checkpoint == str(run.folder) and opening.clip.is_file() and opening.window.whole
    assert answer[tab.context.tabs].selected == "explore" and answer[tab.context.mine] == (str(run.folder),)
    assert ("mein-lauf", str(run.folder)) in tab.context.checkpoints(answer[tab.context.mine])
    assert tab._on_load(ME, None, visitor("n"))[tab.context.mine] == (str(run.folder),)
    assert tab._on_load(OTHER, None, visitor("n"))[tab.context.mine] == ()
    tab.context.explorations.explorer.warm_up(str(run.folder))
    assert all("mein-lauf" not in name for name, _ in tab.context.checkpoints())


def test_clips_come_in_are_held_out_and_the_bad_ones_named(tab: FinetuneTab, rendered_clip: Path, tmp_path: Path):
    torn = tmp_path / "torn <b>.mp4"
    torn.write_bytes(b"not a video")
    *_, last = tab._on_upload([str(rendered_clip), str(torn), str(rendered_clip)], None, visitor("a"))
    draft = last[tab.draft]
    assert len(draft.clips) == 2 and draft.held_out == {1} and last[tab.start].interactive
    assert "torn &lt;b&gt;.mp4" in last[tab.slots["notes"]] and "1 to train on, 1 held out" in last[tab.slots["count"]]
    moved = tab._on_hold(draft, SimpleNamespace(number="1"))
    assert moved[tab.draft].held_out == frozenset()
    assert tab._on_hold(draft, SimpleNamespace(number="7"))[tab.draft] is draft
    *_, more = tab._on_upload([str(torn)], draft, visitor("a"))
    assert more[tab.draft].clips == draft.clips and more[tab.upload].visible
    tab.limits = dataclasses.replace(tab.limits, clips=2)
    *_, full = tab._on_upload([str(rendered_clip)], draft, visitor("a"))
    assert "At most 2 clips" in told(tab, full) and full[tab.draft].clips == draft.clips


def test_the_estimate_fits_the_length_and_fills_the_fields(tab: FinetuneTab, draft: Draft, monkeypatch):
    monkeypatch.setattr(tab.tuning, "pace", lambda *_: SimpleNamespace(
        seconds=0.5, batch_size=4, steps_in=lambda seconds: int(seconds / 0.5)))  # fmt: skip
    begun, answer = tab._on_first_fit(form(tab, draft))
    assert begun[tab.fitted] and "Measuring" in begun[tab.slots["estimate"]]
    assert "<b>120 steps</b>" in answer[tab.slots["estimate"]] and answer[tab.recipe.fields["steps"]] == 120
    assert "--steps 120" in answer[tab.recipe.command]
    (again,) = tab._on_first_fit(form(tab, draft) | {tab.fitted: True})
    assert set(again) == {tab.recipe.command, tab.slots["message"]}, "what was changed since then stays"


def test_every_field_has_a_control_and_a_config_goes_out_and_in_again(tmp_path: Path):
    with gr.Blocks():
        panel = RecipePanel()
    assert list(panel.fields) == [field.name for field in dataclasses.fields(TrainConfig)]
    assert all(control.info for control in panel.fields.values())
    train = TrainConfig.from_dict(recipe(33) | {"noise_levels": 1.5, "augment": "shift"}).to_dict()
    path = panel.write(train, tmp_path / "c.json")
    assert panel.read(path) == train
    path.write_text(json.dumps({"model": {}, "train": train}))
    assert panel.read(path) == train, "what comes with a checkpoint is taken, too"
    for text in ("[]", "{", '{"steps": "rm -rf"}', '{"no_such_field": 1}', "[" * 50_000, '{"train": {"steps": -1}}'):
        path.write_text(text)
        with pytest.raises(ConfigError):
            panel.read(path)
    path.write_text('{"steps": 1}' + " " * 70_000)
    with pytest.raises(ConfigError, match="too large"):
        panel.read(path)


def test_losses_are_drawn_on_both_scales():
    piece = render.losses({"recon_loss": [(1, 0.5), (10, 0.05), (20, 0.005)], "guide_loss": []}, {"critic_gap": -0.001})
    plain, power = re.findall(r'<polyline class="made" points="([^"]+)"', piece)
    heights = [[float(point.split(",")[1]) for point in line.split()] for line in (plain, power)]
    assert all(line == sorted(line) for line in heights), "smaller losses stand lower"
    steps = [b - a for a, b in zip(heights[1], heights[1][1:], strict=False)]
    assert steps[0] == pytest.approx(steps[1], abs=0.1), "a tenth is as far from a tenth on the logarithmic scale"
    assert heights[0][1] - heights[0][0] > 5 * (heights[0][2] - heights[0][1])
    assert "0.0050" in piece and "still to come" in render.losses({"recon_loss": []}, {})


def test_what_people_type_is_no_markup():
    name = "<script>alert(1)</script>"
    look = Look("failed", 1, name)
    pieces = [
        render.runs([("k", name, look, 0)], "k", {"k": 2}),
        render.failure(look),
        render.command(name),
        render.log([name], None, "cpu"),
        render.status(name, look, 2, None, 0),
        render.status(name, Look("running", 1), 2, 5.0, 0),
        render.status(name, Look("queued", 0), 2, None, 3),
    ]
    assert not [piece for piece in pieces if "<script" in piece]
    assert "3 before it" in pieces[-1] and "about 5 s left" in pieces[-2]


def test_a_home_that_cannot_be_written_turns_it_off(tab: FinetuneTab):
    tab.tuning.home = RunRegistry("/proc/nothing-can-be-made-here", TuneLimits())
    assert len(tab.tuning.browser_secret()) == 16 and not tab.tuning.home.limits.on
