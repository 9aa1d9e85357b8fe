"""Write the model card of a checkpoint: what it is, its data and training, what was measured, and its limits.

All is read from the checkpoint and its run directory. The card holds nothing that was not measured, and of the clips
only the owner's description, no names of files and folders.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData
from safetensors import SafetensorError
from safetensors.torch import load_file

from avd_core.config import ModelConfig, TrainConfig
from avd_core.data.datasets import find_clips
from avd_core.data.packs import PackedClips
from avd_core.hub_client import is_repo_id
from avd_core.networks import checkpoint
from avd_core.networks.checkpoint import CheckpointError
from avd_core.runs.previews import read_figures
from avd_core.runs.run import Run, RunError

LONGEST_WORDS = 4000
RECENT = 50  # steps of which the last figures are the mean
LIMITS = """\
- The image must stay the PNG that it is: a lossy format or another size damages the clip in it, unless its training
  knew such damage.
- The motion is a code for the decoder. An ordinary network sees little of it, and a fresh critic can tell such images
  from real frames.
- A clip unlike those it learned from restores less well. PSNR per frame shows where; compare it with the clip's mean
  frame, which restores a calm clip well too."""


def run_of(folder: Path) -> Run | None:
    """Return the run of a checkpoint folder; None if it lies in no run directory."""
    run = Run(folder.parent)
    try:
        return run if folder.name == run.checkpoint.name and "train" in run.config() else None
    except RunError:
        return None


def model_card(folder: str | Path, repo_id: str, *, about: str = "") -> ModelCard:
    """Return the card of a checkpoint folder, with its training if it lies in a run directory.

    Args:
        folder: of `config.json` and `model.safetensors`.
        repo_id: `owner/name` of its repository.
        about: the owner's description of the clips; by default that of the run's config.

    Raises:
        CheckpointError: the folder holds no readable checkpoint.
    """
    folder = Path(folder)
    run = run_of(folder)
    run_config = run.config() if run else {}
    start = str(run_config.get("init") or "")
    data = ModelCardData(
        library_name="avd-explorer",
        tags=["video", "image-to-video", "representation-learning", "adversarial-video-distillation"],
        base_model=start if is_repo_id(start) else None,
    )
    words = " ".join((about or str(run_config.get("about") or "")).split())[:LONGEST_WORDS]
    parts = [f"# {repo_id.partition('/')[2]}", _what(folder, start)]
    if run:
        parts += [f"## Data\n\n{_data(run_config, words)}", f"## Training\n\n{_training(run, run_config)}"]
        parts += [f"## Results\n\n{figures}"] if (figures := _results(run)) else []
    elif words:
        parts.append(f"## Data\n\n{words}")
    parts += [f"## Use\n\n{_use(repo_id)}", f"## Limits\n\n{LIMITS}"]
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n")


def _what(folder: Path, start: str) -> str:
    try:
        config = ModelConfig.from_json(folder / checkpoint.CONFIG)
        weights = load_file(folder / checkpoint.WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"The folder {folder.name!r} holds no readable checkpoint: {error}.") from error
    sizes = {
        network: f"{sum(tensor.numel() for name, tensor in weights.items() if name.startswith(network)):,}"
        for network in ("encoder", "decoder", "discriminator")
    }
    # Not the path of a folder, which is private.
    known = start if "/" not in start or is_repo_id(start) else checkpoint.shown_name(start, Path(start))
    origin = f" Fine-tuned from `{known}`." if start else ""
    return (
        f"Encoder ({sizes['encoder']} parameters), decoder ({sizes['decoder']}) and discriminator "
        f"({sizes['discriminator']}) of Adversarial Video Distillation: {config.frames} frames at {config.size} px on "
        f"the short side become one 8-bit RGB image of that size, and come back from it.{origin} An independent "
        "implementation of arXiv 1907.05640, made with AVD Explorer; not the authors' code, and no figure here is the "
        f"paper's. Fingerprint of the weights: `{checkpoint.fingerprint(weights)}`."
    )


def _data(run_config: Mapping[str, Any], words: str) -> str:
    about = words or "Whoever trained it says nothing about the clips, so whether they may be used is unknown."
    counts = {part: _count(run_config.get(part, ())) for part in ("clips", "held_out")}
    lines = [f"Trained on {counts['clips']}."] if counts["clips"] else []
    if not run_config.get("clips"):
        lines = ["Trained on synthetic scenes alone."]
    if counts["held_out"]:
        lines.append(f"Held out of the training, for previews and reference scores: {counts['held_out']}.")
    return "\n".join([about, "", *lines]).strip() + "\n\nNo footage is in these files."


def _count(specs: list[Mapping[str, Any]]) -> str:
    """Return a phrase with the number of clips in the sources; '' if one of them is missing."""
    total = 0
    for spec in specs:
        path = Path(spec["path"])
        try:
            total += len(PackedClips(path)) if path.is_file() else len(find_clips(path, spec.get("patterns")))
        except ValueError:
            return ""
    return f"{total} clip{'s' if total != 1 else ''}" if total else ""


def _training(run: Run, run_config: Mapping[str, Any]) -> str:
    config, metrics = TrainConfig.from_dict(run_config["train"]), run.metrics()
    step = metrics[-1]["step"] if metrics else 0
    seconds = sum(line.get("seconds", 0.0) for line in metrics)
    hardware = list(dict.fromkeys(preview.device for preview in read_figures(run.previews)))
    where = f" on {' and '.join(hardware)}" if hardware else ""
    settings = json.dumps(
        {name: value for name, value in config.to_dict().items() if value != getattr(TrainConfig, name)}
    )
    return (
        f"{step} of {config.steps} steps of {config.batch_size} clips, crops of {config.crop} px, {config.precision}, "
        f"seed {config.seed}{where}: {seconds:.0f} seconds (the sum of `seconds` in the run's metrics).\n\n"
        f"Fields of `TrainConfig` that differ from its defaults: `{settings}`."
    )


def _results(run: Run) -> str:
    rows = []
    previews = read_figures(run.previews)
    for one in dict.fromkeys((*previews[:1], *previews[-1:])):
        which = "held-out" if run.config().get("held_out") else "training"
        rows.append((f"PSNR of {one.clips} {which} clips, restored whole, step {one.step}", f"{one.psnr:.2f} dB"))
    recent = run.metrics()[-RECENT:]
    terms = {
        "recon_loss": "mean absolute error of training crops, in [-1, 1]",
        "gain_over_mean": "PSNR of training crops over their mean frame, dB",
    }
    for name, words in terms.items():
        values = [line[name] for line in recent if name in line]
        if values:
            rows.append((f"{words}, mean of the last {len(values)} steps", f"{statistics.fmean(values):.3g}"))
    lines = [f"| {name} | {value} |" for name, value in rows]
    return "\n".join(["| measured by the run itself | |", "|---|---|", *lines]) if rows else ""


def _use(repo_id: str) -> str:
    return (
        f'```python\nfrom avd_core.networks.avd import AVD\n\nmodel = AVD.from_pretrained("{repo_id}")\n```\n\n'
        f"Or `python -m avd_core explore clip.mp4 --out out --checkpoint {repo_id}`."
    )
