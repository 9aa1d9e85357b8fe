"""Kill commands and the server while they write, and check what is left: `python -m benchmarks.reliability.crashes`.

A training, a storyboard, an evidence run and the server are killed by SIGKILL again and again, half the time at a
random moment, half the time just before a write drawn among all that they make. After each kill all that was finished
must be there and readable, and the next start goes on from it. In the end the result must be that of a run without
kills.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
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

from benchmarks.reliability.killed_commands import COMMANDS, Command, Lost
from tests.kills import count_changes, die_at, fork

KILLS = 50


@dataclass
class Tally:
    """Results for one command, or for the server.

    Attributes:
        random, aimed: number of kills at a random moment, and before a write.
        finished: number of attempts that ended before they were killed.
        found: what was lost, one message each.
    """

    random: int = 0
    aimed: int = 0
    finished: int = 0
    found: list[str] = field(default_factory=list)


KINDS = (*COMMANDS, "server")


def crash(kind: str, kills: int, seed: int) -> Tally:
    """Kill a command `kills` times and check what is left each time; then run it to its end and check the result."""
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
    """Run a command in a fork and kill it.

    Args:
        command: what to run.
        aim: number of the write to kill it before; None kills it after a time.
        after: that time in seconds.

    Returns:
        Whether it was killed; False if it ended before.

    Raises:
        Lost: the command failed.
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
from benchmarks.reliability.killed_commands import COMMANDS, Command, Lost
from tests.kills import die_at
if sys.argv[1] != "-": die_at(int(sys.argv[1]), Path(sys.argv[2]))
runpy.run_path("app.py", run_name="__main__")
"""


def crash_server(kills: int, seed: int) -> Tally:
    """Kill a server at work `kills` times; the next must start, remove the dead one's folder and keep all runs."""
    from app.services.workspace import MARKER, PASSING, PREFIX
    from avd_core.runs.registry import RunRegistry, new_secret, owner_of
    from benchmarks.reliability.soak import Visitor
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
from benchmarks.reliability.soak import Visitor
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
    """Run the kills and print a table; return 1 if anything was lost."""
    about = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reliability.crashes", description=about)
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
