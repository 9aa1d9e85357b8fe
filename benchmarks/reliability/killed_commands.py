"""Commands that `benchmarks.reliability.crashes` kills, and what must hold after a kill and at the end."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import shutil
from pathlib import Path


class Lost(Exception):
    """Finished work is gone, cannot be read, or differs from that of a run without kills."""


class Command:
    """A command line that writes into a folder."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def arguments(self) -> list[str]:
        """Return the arguments of `avd`."""
        raise NotImplementedError

    def check(self) -> None:
        """Check the folder after a kill; raise `Lost` unless all that was finished can be used."""

    def check_finished(self) -> None:
        """Check the finished output, then delete it; raise `Lost` unless it equals that of a run without kills."""

    def run(self) -> None:
        """Run the command in this process; raise `Lost` if it fails."""
        from avd_core.cli.main import main

        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            status = main(self.arguments())
        if status:
            raise Lost(f"it does not go on: {output.getvalue()[-300:]}")


class Training(Command):
    """A training of twelve steps that saves after each."""

    name, steps = "training", 12

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from tests.squares import write_pack

        self.pack, self.out, self.saved, self.first = write_pack(folder / "squares.pack"), folder / "run", -1, None

    def arguments(self) -> list[str]:
        from avd_core.runs.run import Run
        from tests.squares import MINI, QUICK

        if not (self.out / "config.json").exists():
            config = dataclasses.replace(QUICK, steps=self.steps, batch_size=1, save_every_seconds=1e-3)
            described = {"model": MINI.to_dict(), "train": config.to_dict(), "clips": [{"path": str(self.pack)}]}
            Run(self.out).create({**described, "held_out": []})
        return ["train", "--run", str(self.out), "--quiet"]

    def check(self) -> None:
        from avd_core.networks.avd import AVD
        from avd_core.runs.run import Run

        run = Run(self.out)
        if not (self.out / "config.json").exists():
            if self.saved >= 0:
                raise Lost(f"the run of step {self.saved} is gone")
            return
        run.state()
        steps = [line["step"] for line in run.metrics()]
        if steps != list(range(1, len(steps) + 1)):
            raise Lost(f"steps {steps}")
        if run.training_state.exists():
            import torch

            step = torch.load(run.training_state, weights_only=True)["step"]
            if step < self.saved:
                raise Lost(f"step {self.saved} was saved, step {step} is there")
            if self.saved >= 0:
                AVD.from_pretrained(self.out)  # of a step before at least
            self.saved = step
        elif self.saved >= 0:
            raise Lost(f"training.pt of step {self.saved} is gone")

    def check_finished(self) -> None:
        from avd_core.networks.avd import AVD
        from avd_core.runs.run import Run

        run = Run(self.out)
        steps = [line["step"] for line in run.metrics()]
        if run.state()["status"] != "done" or steps != list(range(1, self.steps + 1)):
            raise Lost(f"{run.state()['status']} with steps {steps}")
        weights = AVD.from_pretrained(self.out).fingerprint
        self.first = self.first or weights
        if weights != self.first:
            raise Lost(f"the weights are {weights}, without kills {self.first}")
        if left := [path.name for path in self.out.iterdir() if path.name.endswith(".part")]:
            raise Lost(f"{left} are left")
        shutil.rmtree(self.out)  # made by this benchmark
        self.saved = -1


class Storyboard(Command):
    """A storyboard of a clip of four seconds."""

    name = "storyboard"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from benchmarks.reliability.soak import make_clip

        self.clip, self.out, self.first = make_clip(folder / "clip.mp4", (160, 100, 60)), folder / "strip", None

    def arguments(self) -> list[str]:
        return ["storyboard", str(self.clip), "--out", str(self.out), "--checkpoint", "tiny", "--size", "64"]

    def check(self) -> None:
        from avd_core.explore.storyboard.files import ZIP
        from avd_core.explore.storyboard.reader import read_strip

        if self.out.exists():
            list(read_strip(self.out / ZIP).images())

    def check_finished(self) -> None:
        from avd_core.explore.storyboard.files import ZIP

        content = (self.out / ZIP).read_bytes()
        self.first = self.first or content
        if content != self.first:
            raise Lost("the strip is another one than without kills")
        left = [path for path in self.folder.glob(".strip.*") if any(path.iterdir())]
        if left:
            raise Lost(f"{[path.name for path in left]} are left")
        shutil.rmtree(self.out)  # made by this benchmark


class Evidence(Command):
    """Restoration measured on four clips of two classes."""

    name = "evidence"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from benchmarks.reliability.soak import LEVELS, make_clip

        self.clips, self.out, self.first = folder / "clips", folder / "report", None
        for number, group in enumerate("aabb"):
            (self.clips / group).mkdir(parents=True, exist_ok=True)
            make_clip(self.clips / group / f"{number}.mp4", LEVELS[7 * number])
        self.kept = 0

    def arguments(self) -> list[str]:
        measured = ["--checkpoints", "tiny", "--protocols", "restoration", "--workers", "0"]
        return ["evidence", str(self.clips), "--out", str(self.out), *measured]

    def check(self) -> None:
        from safetensors import safe_open

        kept = 0
        for path in self.out.glob("work/*/*.safetensors"):
            with safe_open(path, "np") as file:
                kept += len(list(file.keys()))
        if (self.out / "evidence.json").exists():
            json.loads((self.out / "evidence.json").read_text())
        elif kept < self.kept:
            raise Lost(f"{self.kept} arrays were kept, {kept} are there")
        self.kept = kept

    def check_finished(self) -> None:
        protocols = json.loads((self.out / "evidence.json").read_text())["protocols"]
        self.first = self.first or protocols
        if protocols != self.first:
            raise Lost("the figures are others than without kills")
        if (self.out / "work").exists() or [*self.folder.glob(".report.*")]:
            raise Lost("work is left")
        shutil.rmtree(self.out)  # made by this benchmark
        self.kept = 0


COMMANDS = {kind.name: kind for kind in (Training, Storyboard, Evidence)}
