"""To the Hub and back, with the real client against a small Hub on this machine; hostile repositories are refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time

import pytest
import torch
from huggingface_hub import ModelCard

from avd_core.config import PRESETS
from avd_core.hub import push
from avd_core.hub_client import HubError
from avd_core.networks import checkpoint
from avd_core.networks.avd import AVD
from avd_core.networks.calibration import Calibration
from avd_core.networks.checkpoint import CheckpointError
from tests.hub_server import READER, TOKEN
from tests.repository import ROOT

NAMES = {"config.json", "model.safetensors", "README.md"}


@pytest.fixture
def folder(tiny_checkpoint, tmp_path):
    return shutil.copytree(tiny_checkpoint, tmp_path / "mine")


def uploads(hub_server) -> list[str]:
    return [path for method, path, _ in hub_server.asked if method == "PUT" or "/commit/" in path]


def test_a_checkpoint_goes_to_the_hub_in_one_commit_and_comes_back(hub_server, folder):
    (folder / "notes.txt").write_text("mine alone")
    assert push.push(folder, "me/model", token=TOKEN) == f"{hub_server.url}/me/model"
    assert set(hub_server.files("me/model")) - {".gitattributes"} == NAMES
    assert hub_server.repos["me/model"].messages == ["initial commit", "Checkpoint mine"]
    assert not hub_server.repos["me/model"].private
    loaded, own = AVD.from_pretrained("me/model"), AVD.from_pretrained(folder)
    assert (loaded.name, loaded.fingerprint, loaded.config) == ("me/model", own.fingerprint, own.config)


def test_a_private_one_is_seen_by_its_owner_alone(hub_server, folder):
    push.push(folder, "me/secret", private=True, token=TOKEN)
    assert hub_server.repos["me/secret"].private
    assert AVD.from_pretrained("me/secret", token=TOKEN).config == PRESETS["tiny"]
    with pytest.raises(CheckpointError, match="no such repository, or you may not see it"):
        AVD.from_pretrained("me/secret")


def test_what_should_be_private_does_not_go_where_everybody_sees_it(hub_server, folder):
    push.push(folder, "me/model", token=TOKEN)
    before = len(uploads(hub_server))
    with pytest.raises(HubError, match="exists and is public"):
        push.push(folder, "me/model", private=True, token=TOKEN)
    assert len(uploads(hub_server)) == before


def test_a_revision_is_a_branch_and_a_commit_can_be_asked_for(hub_server, folder):
    push.push(folder, "me/model", token=TOKEN)
    first = hub_server.repos["me/model"].branches["main"]
    other = AVD(PRESETS["tiny"])
    assert other.push_to_hub("me/model", revision="longer", token=TOKEN) == f"{hub_server.url}/me/model/tree/longer"
    assert AVD.from_pretrained("me/model", revision="longer").fingerprint == other.fingerprint
    loaded = AVD.from_pretrained("me/model@longer")
    assert (loaded.name, loaded.fingerprint) == ("me/model@longer", other.fingerprint)
    assert AVD.from_pretrained("me/model", revision=first).fingerprint == AVD.from_pretrained(folder).fingerprint
    with pytest.raises(CheckpointError, match="no such branch, tag or commit"):
        AVD.from_pretrained("me/model", revision="nothing")


def test_a_calibration_of_other_weights_does_not_stay(hub_server, folder):
    AVD(PRESETS["tiny"], calibration=Calibration((1.0,), (2.0,))).push_to_hub("me/model", token=TOKEN)
    assert AVD.from_pretrained("me/model").calibration == Calibration((1.0,), (2.0,))
    push.push(folder, "me/model", token=TOKEN)
    assert AVD.from_pretrained("me/model").calibration is None


def test_another_model_is_not_overwritten(hub_server, folder):
    hub_server.add("me/bert", {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"theirs"})
    with pytest.raises(HubError, match="holds another kind of model"):
        push.push(folder, "me/bert", token=TOKEN)
    assert hub_server.files("me/bert")["model.safetensors"] == b"theirs"


@pytest.mark.parametrize(
    ("repo", "token", "sentence"),
    [
        ("me/model", None, "there is no token"),
        ("me/model", "hf_wrong", "there is no token, or the Hub does not take it"),
        ("me/model", READER, "no right to do this"),
        ("others/model", TOKEN, "no right to do this"),
        ("model", TOKEN, "write owner/name"),
    ],
)
def test_whoever_may_not_push_is_told_why(hub_server, folder, repo, token, sentence):
    with pytest.raises(HubError, match=sentence) as told:
        push.push(folder, repo, token=token)
    assert not uploads(hub_server) and str(token) not in str(told.value)


def test_what_is_broken_is_not_pushed(hub_server, folder):
    (folder / "model.safetensors").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="no readable checkpoint"):
        push.push(folder, "me/model", token=TOKEN)
    assert not hub_server.asked
    with pytest.raises(CheckpointError, match="lies on the Hub already"):
        push.push("me/other", "me/model", token=TOKEN)


def test_a_card_that_lies_there_goes_with_it(hub_server, folder):
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# By hand\n")
    push.push(folder, "me/model", token=TOKEN)
    assert hub_server.files("me/model")["README.md"].endswith(b"# By hand\n")
    push.push(folder, "me/model", about="Clips of my cat.", token=TOKEN)
    card = ModelCard(hub_server.files("me/model")["README.md"].decode())
    assert card.data.library_name == "avd-explorer" and "Clips of my cat." in card.text


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("size", [2**40, None])
def test_too_large_is_refused_before_anything_is_downloaded(hub_server, folder, file, size):
    hub_server.add_folder("bad/model", folder)
    hub_server.sizes[file] = size
    with pytest.raises(CheckpointError, match=f"{file} is larger than"):
        AVD.from_pretrained("bad/model")
    assert not [path for _, path, _ in hub_server.asked if "/resolve/" in path]


def test_a_file_larger_than_the_hub_said_is_refused(hub_server, folder):
    (folder / "config.json").write_text(json.dumps(PRESETS["tiny"].to_dict()) + " " * checkpoint.MAX_JSON_BYTES)
    hub_server.add_folder("bad/model", folder)
    hub_server.sizes["config.json"] = 100
    with pytest.raises(CheckpointError, match="larger than the Hub said"):
        AVD.from_pretrained("bad/model")


def test_a_hostile_config_is_refused_before_the_weights_are_fetched(hub_server, folder):
    (folder / "config.json").write_text(json.dumps(PRESETS["tiny"].to_dict() | {"frames": 10**9}))
    hub_server.add_folder("bad/model", folder)
    with pytest.raises(CheckpointError, match=r"bad/model is refused: ModelConfig\.frames"):
        AVD.from_pretrained("bad/model")
    assert not [path for _, path, _ in hub_server.asked if path.endswith(".safetensors")]


def test_a_pickle_is_neither_read_nor_fetched(hub_server, folder, tmp_path):
    torch.save(AVD(PRESETS["tiny"]).state_dict(), tmp_path / "pytorch_model.bin")
    pickle = (tmp_path / "pytorch_model.bin").read_bytes()
    config = (folder / "config.json").read_bytes()
    hub_server.add("bad/one", {"config.json": config, "pytorch_model.bin": pickle})
    with pytest.raises(CheckpointError, match="is no AVD checkpoint"):
        AVD.from_pretrained("bad/one")
    hub_server.add("bad/two", {"config.json": config, "model.safetensors": pickle, "pytorch_model.bin": pickle})
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        AVD.from_pretrained("bad/two")
    assert not [path for _, path, _ in hub_server.asked if path.endswith(".bin")]


def test_other_weights_than_the_config_says_are_refused(hub_server, folder):
    AVD(PRESETS["base"]).save_pretrained(folder.with_name("base"))
    shutil.copy(folder.with_name("base") / "model.safetensors", folder)
    hub_server.add_folder("bad/model", folder)
    with pytest.raises(CheckpointError, match="does not fit its config"):
        AVD.from_pretrained("bad/model")


def test_a_download_that_never_ends_has_a_deadline(hub_server, folder):
    hub_server.add_folder("slow/model", folder)
    hub_server.faults.append(("GET /slow/model/resolve", 0, ""))
    started = time.monotonic()
    with pytest.raises(CheckpointError, match="had not finished after"):
        checkpoint.locate("slow/model", deadline=0.5)
    assert time.monotonic() - started < 8


def push_in_a_process(hub_server, tmp_path, *words: str, token: str | None = TOKEN) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "avd_core", "push", *words], env=hub_server.environment(tmp_path / "home", token),
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip


def test_avd_push(hub_server, folder, tmp_path):
    done = push_in_a_process(
        hub_server, tmp_path, str(folder), "me/model", "--private", "--revision", "v2", "--about", "Cats."
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{folder} -> {hub_server.url}/me/model/tree/v2"
    assert hub_server.repos["me/model"].private and b"Cats." in hub_server.files("me/model", "v2")["README.md"]
    done = push_in_a_process(hub_server, tmp_path, str(folder), "me/model", token=None)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr.startswith("avd push: The checkpoint could not be pushed to me/model: ")
        and "HF_TOKEN" in done.stderr
    )
    assert done.stderr.count("\n") == 1
