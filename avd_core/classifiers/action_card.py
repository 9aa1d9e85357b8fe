"""The model card of the bundled action classifier, from what was measured."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date

import torch

from avd_core.classifiers.action_data import LEFT_OUT, SETS, SIZE, Example
from avd_core.classifiers.action_net import ActionClassifier
from avd_core.classifiers.action_training import Recipe, Score

CARD = """---
license: mit
library_name: avd-explorer
tags: [image-classification, action-recognition]
---
# Action classifier

A residual network of {parameters:,} parameters that names the action in a distilled
image of AVD, or in a frame. It is trained from scratch, and answers where ImageNet weights cannot be had. It is small,
and knows only the {classes} actions below. Where the likeliest has a probability below {threshold:.2f}, it
answers "none of the {classes} actions it knows".

**For research and inspection; not for judging or watching people.**

{labels}

## Data

{clips} clips to train on, as they are (three frames of each) and distilled at {size} px (the default window
and the whole clip) by {avd}, whose own cards say which of them they were trained on.

| set | clips | what | held out |
|---|---|---|---|
{sets}

An action that both sets hold is one class. No footage is in these files.

## Training

{steps} steps of {batch_size} pictures ({epochs} epochs) on {machine}, {today:%Y-%m-%d}:
{seconds:.0f} s for two trainings, after {prepared:.0f} s of distilling (or reading what was distilled
before). No other network than these had a part in it.
Recipe: {recipe}. Logits are divided by
{temperature:.2f}, fitted on the groups and films that chose.

## Results

One window a clip, the default one, named among all {classes} classes; looked at once. "Refused" were not named at all,
"though right" are those of them whose likeliest class was the true one.

| set and picture | right | clips | guessing in the set | refused | though right |
|---|---|---|---|---|---|
{scores}

Expected calibration error (10 bins, 0 is best): {errors}.

## None of these

Judged by a first network of {known} classes, which saw no clip of {left_out_to_choose} (these
settled the threshold, beside the clips that chose) nor of {left_out_to_report} (these judge it).
To refuse those last is right, to refuse a clip of a class that it knows is wrong.

| pictures | clips | right refusals | wrong refusals | named rightly |
|---|---|---|---|---|
{refusals}

## Limits

The clips are from a few hundred films and sports broadcasts; an action looks like its usual place, and is named by it.
The figures are those of small parts of UCF101 and of JHMDB, not comparable with tables of UCF101 or HMDB51. A name that
it gives is no ground for a decision about anybody.
"""


@dataclass(frozen=True)
class Facts:
    """Facts of a training.

    Attributes:
        avd: names and fingerprints of the checkpoints that distilled the clips.
        examples: all clips, those to report on included.
        clips: number of those trained on.
        steps: of the second training.
        device: where it was trained.
        prepared: seconds of distilling.
        seconds: of both trainings.
        temperature: divisor of the logits.
        known: number of classes of the first network.
    """

    avd: str
    examples: Sequence[Example]
    clips: int
    steps: int
    device: str
    prepared: float
    seconds: float
    temperature: float
    known: int


def card(
    network: ActionClassifier,
    recipe: Recipe,
    facts: Facts,
    refusing: Sequence[Score],
    reported: Sequence[Score],
    calibration: Mapping[str, float],
) -> str:
    """Return the card as Markdown.

    Args:
        network: the classifier that ships.
        recipe: how it was trained.
        facts: of its training.
        refusing: scores of the first network, which did not know all classes.
        reported: scores of `network` on the clips to report on.
        calibration: expected calibration error by kind of picture.
    """
    if "cpu" in facts.device:
        machine = f"CPU ({platform.machine()}), {torch.get_num_threads()} thread(s)"
    else:
        machine = torch.cuda.get_device_name(facts.device)
    measured = {name: value for name, value in vars(facts).items() if name != "examples"}
    return CARD.format(
        **measured,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        classes=len(network.config.labels),
        labels=", ".join(network.config.labels),
        threshold=network.config.threshold,
        size=SIZE,
        sets="\n".join(_sets(facts.examples)),
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        machine=machine,
        today=date.today(),
        recipe=", ".join(f"{key} {value}" for key, value in asdict(recipe).items()),
        scores="\n".join(_score_row(score) for score in reported),
        errors=", ".join(f"{error:.3f} on {kind}" for kind, error in calibration.items()),
        left_out_to_choose=", ".join(LEFT_OUT["choose"]),
        left_out_to_report=", ".join(LEFT_OUT["report"]),
        refusals="\n".join(_refusal_row(score) for score in refusing),
    )


def _sets(examples: Sequence[Example]) -> list[str]:
    """Return a row for each set that clips are from, with the number of those trained on."""
    rows = []
    for one in SETS:
        mine = [example for example in examples if example.set_name == one.name]
        if mine:
            count = sum(example.part != "report" for example in mine)
            rows.append(f"| `{one.name}` | {count} | {one.about} | {one.split} |")
    return rows


def _score_row(score: Score) -> str:
    right, guessing = 100 * score.correct / score.count, 100 / score.classes
    return (
        f"| {score.title} | {right:.1f} % | {score.count} | {guessing:.0f} % | {score.refused} | "
        f"{score.refused_right} |"
    )


def _refusal_row(score: Score) -> str:
    """Return a row; a score without classes is of clips that should be refused."""
    if not score.classes:
        return f"| {score.title} | {score.count} | {score.refused} |  |  |"
    return f"| {score.title} | {score.count} |  | {score.refused} | {score.correct - score.refused_right} |"
