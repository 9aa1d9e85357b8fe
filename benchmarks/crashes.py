"""Kills of what writes, and what is left of it: `python -m benchmarks.crashes`.

A training, a storyboard, an evidence run and the server are killed by SIGKILL again and again: half the time at a
random moment, half the time just before a write that is drawn among all it makes. After each kill everything that was
finished must be there and readable; then it is started again, and goes on. At the end it must come to the same as
without kills.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kills import count_changes, die_at, fork

KILLS = 50


class Lost(Exception):
    """Something that was finished is gone, cannot be read, or is another thing than without kills."""


@dataclass
class Tally:
    """What came of the kills of a kind.

    Attributes:
        random, aimed: kills by kind; an attempt that ended before its kill counts as neither.
        finished: attempts that ended by themselves.
        found: what was lost, in words.
    """

    random: int = 0
    aimed: int = 0
    finished: int = 0
    found: list[str] = field(default_factory=list)


class Command:
    """Something that a command line makes in a folder, in a fork of this process."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def arguments(self) -> list[str]:
        raise NotImplementedError

    def check(self) -> None:
        """Raise `Lost` unless what is there after a kill can be used."""

    def check_finished(self) -> None:
        """Raise `Lost` unless all is there, as without kills; leave nothing, so that it begins anew."""

    def run(self) -> None:
        from avd_core.cli.main import main

        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = main(self.arguments())
        if status:
            raise Lost(f"it does not go on: {said.getvalue()[-300:]}")


class Training(Command):
    """The smallest training, which saves after every step."""

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
        from benchmarks.soak import make_clip

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
        from benchmarks.soak import LEVELS, make_clip

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
        if (self.out / "work").exists() or [path for path in self.folder.glob(".report.*") if any(path.iterdir())]:
            raise Lost("work is left")
        shutil.rmtree(self.out)  # made by this benchmark
        self.kept = 0


COMMANDS = {kind.name: kind for kind in (Training, Storyboard, Evidence)}
KINDS = (*COMMANDS, "server")


def crash(kind: str, kills: int, seed: int) -> Tally:
    """Kill a command so often, checking what is left each time, and let it come to its end."""
    dice, tally = random.Random(f"{kind} {seed}"), Tally()
    with tempfile.TemporaryDirectory() as temporary:
        command = COMMANDS[kind](Path(temporary))
        _checked(tally, "without a kill", command.run, command.check_finished)  # imports what the forks shall not
        begun = time.monotonic()
        writes = count_changes(command.run, command.folder)
        seconds = time.monotonic() - begun
        _checked(tally, "without a kill", command.check_finished)
        while tally.random + tally.aimed < kills and not tally.found:
            aim = dice.randrange(writes) if dice.random() < 0.5 else None
            after = dice.uniform(0, seconds)
            try:
                hit = _killed(command, aim, after)
            except Lost as error:
                tally.found.append(str(error))
                break
            if not hit:
                tally.finished += 1
                _checked(tally, "after an attempt that was not killed", command.check_finished)
                continue
            what = f"after {after:.2f} s" if aim is None else f"before write {aim} of {writes}"
            tally.random, tally.aimed = tally.random + (aim is None), tally.aimed + (aim is not None)
            _checked(tally, f"killed {what}", command.check)
        if not tally.found:
            _checked(tally, "in the end", command.run, command.check_finished)
    return tally


def _checked(tally: Tally, when: str, *checks: Callable[[], object]) -> None:
    try:
        for check in checks:
            check()
    except Exception as error:
        tally.found.append(f"{when}: {type(error).__name__}: {error}")


def _killed(command: Command, aim: int | None, after: float) -> bool:
    """Run a command in a fork that is killed at a write, or after a time; return False where it ended before.

    Raises:
        Lost: it failed.
    """
    child = fork()
    if not child:
        code = 1
        try:
            if aim is not None:
                die_at(aim, command.folder)
            command.run()
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    if aim is None:
        end = time.monotonic() + after
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                break
            time.sleep(0.005)
        else:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
    else:
        _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.waitstatus_to_exitcode(status):
        raise Lost(f"{command.name} does not go on after a kill")
    return False


# The server -------------------------------------------------------------------------------------------------------

SERVE = """
import runpy, sys
from pathlib import Path
from tests.kills import die_at
if sys.argv[1] != "-": die_at(int(sys.argv[1]), Path(sys.argv[2]))
runpy.run_path("app.py", run_name="__main__")
"""


def crash_server(kills: int, seed: int) -> Tally:
    """Kill a server at work so often: the next one starts, has nothing of the dead one, and all finished runs."""
    from app.services.workspace import MARKER, PASSING, PREFIX
    from avd_core.runs.registry import RunRegistry, new_secret, owner_of
    from benchmarks.soak import Visitor
    from scripts.screenshot import ROOT, free_port, served

    dice, tally = random.Random(f"server {seed}"), Tally()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        base, home, clients = folder / "server", RunRegistry(folder / "runs"), folder / "clients"
        clients.mkdir()
        record = home.reserve(owner_of(new_secret()) or "", "mine", "cpu")
        home.run(record).create({"model": {}, "train": {}})
        home.run(record).write_state("done", step=1)
        home.write(record)
        before = _content(home.folder / record.key)
        environment = os.environ | {
            "GRADIO_TEMP_DIR": str(base),
            "AVD_RUNS": str(home.folder),
            "AVD_CHECKPOINT": "tiny",
        }
        for number in range(kills + 1):
            aim = dice.randrange(60) if dice.random() < 0.5 and number < kills else None
            own = {"GRADIO_SERVER_PORT": str(free_port()), "PYTHONPATH": str(ROOT)}
            arguments = (sys.executable, "-c", SERVE, "-" if aim is None else str(aim), str(base))
            try:
                with served(environment | own, folder / "log.txt", arguments) as url:
                    alive = [path for path in base.glob(f"{PREFIX}*") if (path / MARKER).exists()]
                    if len(alive) > 1:
                        raise Lost(f"{len(alive) - 1} folders of dead servers are left")
                    if _content(home.folder / record.key) != before or home.records() != [record]:
                        raise Lost("a finished run has changed")
                    visitor = Visitor(url, number, clients, "tiny")
                    if number == kills:  # the last one lives, works, and ends by itself
                        visitor.ask("distill")
                        continue
                    work = subprocess.Popen(
                        [sys.executable, "-c", ASK, url, str(number), str(clients)], cwd=ROOT, stderr=subprocess.DEVNULL
                    )
                    end = time.monotonic() + (dice.uniform(0, 3) if aim is None else 20)
                    while time.monotonic() < end and _lives(url.pid):
                        time.sleep(0.01)
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(url.pid, signal.SIGKILL)
                    work.kill()
                    work.wait()
            except RuntimeError as error:  # killed by its aim before it served
                if aim is None:
                    tally.found.append(f"the server does not start: {error}")
                    return tally
            except Exception as error:
                tally.found.append(f"after kill {number}: {type(error).__name__}: {error}")
                return tally
            tally.random, tally.aimed = tally.random + (aim is None), tally.aimed + (aim is not None)
        if left := [path.name for kind in (PREFIX, PASSING) for path in base.glob(f"{kind}*")]:
            tally.found.append(f"{left} are left")
    return tally


ASK = """
import sys
from pathlib import Path
from benchmarks.soak import Visitor
visitor = Visitor(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), "tiny")
while True: visitor.ask("explore")
"""


def _lives(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


def _content(folder: Path) -> dict[str, Any]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def main(arguments: list[str] | None = None) -> int:
    """Kill and print the figures; 1 where anything was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crashes", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
    parser.add_argument("--kills", type=int, default=KILLS, help="of each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    found = []
    print(f"{'killed':<12}{'at random':>10}{'aimed':>7}{'not hit':>9}{'lost':>6}{'seconds':>9}", flush=True)
    for kind in options.kinds:
        begun = time.monotonic()
        tally = (
            crash_server(options.kills, options.seed) if kind == "server" else crash(kind, options.kills, options.seed)
        )
        took = time.monotonic() - begun
        counts = f"{tally.random:>10}{tally.aimed:>7}{tally.finished:>9}{len(tally.found):>6}{took:>9.0f}"
        print(f"{kind:<12}{counts}", flush=True)
        found += [f"{kind}: {words}" for words in tally.found]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
