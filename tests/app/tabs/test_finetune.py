"""Fine-tune without a browser: whose runs are whose, what the tab says of them, and what is refused."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

from app.context import PageContext
from app.services.explorations import Explorations
from app.services.finetuning import Draft
from app.tabs.finetune import FinetuneTab
from avd_core.config import TrainConfig
from avd_core.explore.explorer import Explorer
from avd_core.networks.avd import AVD
from avd_core.runs.limits import TuneLimits
from avd_core.runs.registry import RunRegistry, new_secret, owner_of
from avd_core.runs.run import Run
from avd_core.runs.run_queue import RunQueue
from avd_core.training.finetune import recipe
from tests.app.conftest import visitor
from tests.hub_server import TOKEN, HubServer
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
def processes() -> Iterator[ExitStack]:
    """Stands for the processes of runs, which hold their locks; closed, they have ended."""
    with ExitStack() as processes:
        yield processes


@pytest.fixture
def tab(laid_out: FinetuneTab, processes: ExitStack, tmp_path: Path) -> FinetuneTab:
    """The tab with a registry of its own, where starting a run trains nothing."""

    def start(run: Run, *, device: str, seconds: float | None) -> None:
        processes.enter_context(run.locked(".started"))
        run.write_state("running", step=0)

    laid_out.finetuning.registry = RunRegistry(tmp_path / "runs", TuneLimits())
    laid_out.finetuning.queue = RunQueue(laid_out.finetuning.registry, {"cpu": start})
    return laid_out


@pytest.fixture
def draft(tmp_path: Path, rendered_clip: Path) -> Draft:
    return Draft(some_clips(tmp_path / "clips", rendered_clip), frozenset([2]))


def form(tab: FinetuneTab, draft: Draft | None, secret: str | None = ME, **fields: object) -> dict:
    train = TrainConfig.from_dict(recipe(6) | {"crop": 64, "batch_size": 2} | fields).to_dict()
    values = {tab.options.fields[name]: value for name, value in train.items()}
    start = {
        tab.init: "preset:tiny",
        tab.length: "quick",
        tab.device: "cpu",
        tab.name: "Mein <Lauf>",
        tab.fitted: False,
    }
    return values | start | {tab.drafts.draft: draft, tab.secret: secret}


def last(updates: dict | Iterator[dict]) -> dict:
    """What a handler answers in the end."""
    return updates if isinstance(updates, dict) else list(updates)[-1]


def started(tab: FinetuneTab, draft: Draft, secret: str | None = ME) -> dict:
    answer = last(tab.on_start(form(tab, draft, secret), visitor("a")))
    assert 'role="alert"' not in (answer[tab.slots["message"]] or "")
    return answer


def message(tab: FinetuneTab, answer: dict) -> str:
    return answer[tab.slots["message"]]


def test_a_run_is_started_watched_and_found_again_by_its_secret(tab: FinetuneTab, draft: Draft):
    answer = started(tab, draft)
    key = answer[tab.runs.chosen]
    assert answer[tab.runs.panel].visible and answer[tab.runs.timer].active
    assert answer[tab.runs.actions["stop"]].visible and not answer[tab.runs.actions["resume"]].visible
    assert 'data-run="' in answer[tab.runs.slots["runs"]] and "mein-lauf" in answer[tab.runs.slots["runs"]]
    # Another page load, after a restart of the server: nothing but the browser's secret is known.
    again = tab.on_load(ME, None, visitor("b"))
    assert again[tab.runs.chosen] == key and again[tab.secret] == ME and again[tab.runs.timer].active
    fresh = tab.on_load(None, None, visitor("c"))
    assert owner_of(fresh[tab.secret]) and fresh[tab.secret] not in (ME, OTHER)
    assert fresh[tab.runs.chosen] is None and not fresh[tab.runs.panel].visible and not fresh[tab.runs.timer].active


def test_nobody_sees_or_stops_anothers_run(tab: FinetuneTab, draft: Draft):
    key = started(tab, draft)[tab.runs.chosen]
    record = tab.finetuning.registry.find(owner_of(ME), key)
    for act in (tab.runs.on_stop, tab.runs.on_save, tab.runs.on_preview, tab.runs.on_resume, tab.runs.on_delete):
        for secret in (OTHER, None, "x", {"key": ME}):
            answer = last(act(secret, key, visitor("x")))
            assert "no such run of yours" in message(tab, answer) and answer[tab.runs.chosen] is None
    assert "no such run of yours" in message(tab, tab.runs.on_use(OTHER, key))
    assert (
        tab.finetuning.registry.run(record).pop_requests() == set()
        and tab.finetuning.registry.status(record) == "running"
    )
    assert key not in tab.on_load(OTHER, key, visitor("x"))[tab.runs.slots["runs"]]
    assert key not in str(tab.runs.on_choose(OTHER, SimpleNamespace(value=key), visitor("x")))


def test_buttons_do_what_they_say_and_only_those_that_can_are_there(
    tab: FinetuneTab, draft: Draft, processes: ExitStack
):
    key = started(tab, draft)[tab.runs.chosen]
    run = tab.finetuning.registry.run(tab.finetuning.registry.find(owner_of(ME), key))
    for act in (tab.runs.on_save, tab.runs.on_preview, tab.runs.on_stop):
        act(ME, key, visitor("a"))
    assert run.pop_requests() == {"save", "preview", "stop"}
    run.write_state("failed", step=3, error="The disk is <full>.")
    answer = tab.runs.on_tick(ME, key, visitor("a"))
    visible = {name for name, button in tab.runs.actions.items() if answer[button].visible}
    assert visible == {"resume", "delete"}, "nothing was saved, so there is nothing to open"
    assert "&lt;full&gt;" in answer[tab.runs.slots["failure"]] and not answer[tab.runs.timer].active
    last(tab.runs.on_resume(ME, key, visitor("a")))
    assert run.state()["status"] == "queued", "it waits until the last process has gone"
    run.write_state("stopped", step=3)
    processes.close()
    answer = tab.runs.on_delete(ME, key, visitor("a"))
    assert answer[tab.runs.chosen] is None and not message(tab, answer) and not run.folder.exists()


def test_what_a_run_says_shows_no_path_of_the_server(tab: FinetuneTab, draft: Draft):
    key = started(tab, draft)[tab.runs.chosen]
    run = tab.finetuning.registry.run(tab.finetuning.registry.find(owner_of(ME), key))
    error = f"[Errno 28] No space left on device: '{run.folder}/checkpoint/model.safetensors'"
    run.log(error)
    run.write_state("failed", step=3, error=error)
    answer = tab.runs.on_tick(ME, key, visitor("a"))
    for slot in ("failure", "log"):
        piece = answer[tab.runs.slots[slot]]
        assert "model.safetensors" in piece and str(run.folder.parent) not in piece


def test_a_look_sends_only_what_has_changed(tab: FinetuneTab, draft: Draft):
    key = started(tab, draft)[tab.runs.chosen]
    run = tab.finetuning.registry.run(tab.finetuning.registry.find(owner_of(ME), key))
    assert set(tab.runs.on_tick(ME, key, visitor("a"))) == {tab.runs.chosen}
    run.append_metrics({"step": 1, "recon_loss": 0.3, "guide_loss": 0.1, "seconds": 2.0})
    seen = tab.runs.on_tick(ME, key, visitor("a"))
    assert (
        tab.runs.slots["losses"] in seen
        and tab.runs.slots["log"] not in seen
        and "0.3000" in seen[tab.runs.slots["losses"]]
    )
    assert "about 10 s left" in seen[tab.runs.slots["status"]]
    assert tab.runs.slots["losses"] in tab.runs.on_tick(ME, key, visitor("of another tab"))


def test_what_cannot_be_started_is_told_and_leaves_nothing(tab: FinetuneTab, draft: Draft):
    for values, words in (
        (form(tab, None), "Add some clips"),
        (form(tab, draft) | {tab.init: "gone"}, "no checkpoint"),
        (form(tab, draft) | {tab.options.fields["crop"]: 99}, "crop"),
        (form(tab, draft) | {tab.options.fields["steps"]: None}, "steps is empty"),
    ):
        assert words in message(tab, last(tab.on_start(values, visitor("a"))))
    assert tab.finetuning.registry.records() == []
    tab.finetuning.registry.limits = dataclasses.replace(tab.finetuning.registry.limits, active=1)
    started(tab, draft)
    assert "1 of your runs" in message(tab, last(tab.on_start(form(tab, draft), visitor("a"))))
    tab.finetuning.registry.limits = dataclasses.replace(tab.finetuning.registry.limits, on=0)
    assert "turned off" in message(tab, last(tab.on_start(form(tab, draft), visitor("a"))))
    assert len(tab.finetuning.registry.records()) == 1


def test_a_checkpoint_becomes_a_choice_of_its_owner_and_of_nobody_else(
    tab: FinetuneTab, draft: Draft, tiny_checkpoint: Path
):
    key = started(tab, draft)[tab.runs.chosen]
    record = tab.finetuning.registry.find(owner_of(ME), key)
    run = tab.finetuning.registry.run(record)
    assert "not saved a checkpoint yet" in message(tab, tab.runs.on_use(ME, key))
    shutil.copytree(tiny_checkpoint, run.checkpoint)
    answer = tab.runs.on_use(ME, key)
    opening = answer[tab.context.open_request]
    assert opening.checkpoint == str(run.folder) and opening.clip.is_file() and opening.window.whole
    assert answer[tab.context.tabs].selected == "explore" and answer[tab.context.own_checkpoints] == (str(run.folder),)
    assert str(run.folder) in tab.context.checkpoints(answer[tab.context.own_checkpoints])
    assert tab.on_load(ME, None, visitor("n"))[tab.context.own_checkpoints] == (str(run.folder),)
    assert tab.on_load(OTHER, None, visitor("n"))[tab.context.own_checkpoints] == ()
    tab.context.explorations.explorer.warm_up(str(run.folder))
    assert all("mein-lauf" not in name for name in tab.context.checkpoints())


def test_a_visitor_of_a_space_pushes_a_checkpoint_that_loads_by_its_name(
    tab: FinetuneTab, draft: Draft, tiny_checkpoint: Path, hub_server: HubServer, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SYSTEM", "spaces")
    monkeypatch.setenv("OAUTH_CLIENT_ID", "id")
    key = started(tab, draft)[tab.runs.chosen]
    run = tab.finetuning.registry.run(tab.finetuning.registry.find(owner_of(ME), key))
    shutil.copytree(tiny_checkpoint, run.checkpoint)
    pushed = tab.runs.slots["pushed"]
    stranger = last(tab.runs.on_push(ME, key, "me/mine", True, None))
    assert "Sign in with Hugging Face first." in stranger[pushed] and not hub_server.asked
    signed_in = gr.OAuthToken(token=TOKEN, scope="contribute-repos", expires_at=0)
    assert f"{hub_server.url}/me/mine" in last(tab.runs.on_push(ME, key, " me/mine ", True, signed_in))[pushed]
    assert hub_server.repos["me/mine"].private
    loaded = AVD.from_pretrained("me/mine", token=TOKEN)
    assert loaded.fingerprint == AVD.from_pretrained(tiny_checkpoint).fingerprint


def test_clips_come_in_are_held_out_and_the_bad_ones_named(tab: FinetuneTab, rendered_clip: Path, tmp_path: Path):
    drafts, torn = tab.drafts, tmp_path / "torn <b>.mp4"
    torn.write_bytes(b"not a video")
    *_, last = drafts.on_upload([str(rendered_clip), str(torn), str(rendered_clip)], None)
    draft = last[drafts.draft]
    assert len(draft.clips) == 2 and draft.held_out == {1} and last[drafts.start].interactive
    assert "torn &lt;b&gt;.mp4" in last[drafts.notes] and "too short" in last[drafts.count]
    moved = drafts.on_hold(draft, SimpleNamespace(value="1"))
    assert moved[drafts.draft].held_out == frozenset()
    assert drafts.on_hold(draft, SimpleNamespace(value="7"))[drafts.draft] is draft
    *_, more = drafts.on_upload([str(torn)], draft)
    assert more[drafts.draft].clips == draft.clips and more[drafts.upload].visible
    tab.finetuning.registry.limits = dataclasses.replace(tab.limits, clips=2)
    *_, full = drafts.on_upload([str(rendered_clip)], draft)
    assert "At most 2 clips" in message(tab, full) and full[drafts.draft].clips == draft.clips


def test_the_estimate_fits_the_length_and_fills_the_fields(tab: FinetuneTab, draft: Draft, monkeypatch):
    monkeypatch.setattr(tab.finetuning, "step_time", lambda *_: SimpleNamespace(
        seconds=0.5, batch_size=4, steps_in=lambda seconds: int(seconds / 0.5)))  # fmt: skip
    begun, answer = tab.on_first_fit(form(tab, draft))
    assert begun[tab.fitted] and "Measuring" in begun[tab.slots["estimate"]]
    assert "<b>120 steps</b>" in answer[tab.slots["estimate"]] and answer[tab.options.fields["steps"]] == 120
    assert "--steps 120" in answer[tab.options.command]
    (again,) = tab.on_first_fit(form(tab, draft) | {tab.fitted: True})
    assert set(again) == {tab.options.command, tab.slots["message"]}, "what was changed since then stays"


def test_a_home_that_cannot_be_written_turns_it_off(tab: FinetuneTab):
    tab.finetuning.registry = RunRegistry("/proc/nothing-can-be-made-here", TuneLimits())
    assert len(tab.finetuning.browser_secret()) == 16 and not tab.finetuning.registry.limits.on
