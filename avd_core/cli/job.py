"""avd job: launch a run on Hugging Face Jobs and follow it; the job continues if this command ends."""

from __future__ import annotations

import argparse

from avd_core.cli.common import path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=path, metavar="RUN", help="a run directory, such as train --prepare makes")
    parser.add_argument("--repo", metavar="OWNER/NAME", help="the private repository to use (default: after the run)")
    parser.add_argument("--flavor", default="t4-small", help="the machine (default: t4-small)")
    parser.add_argument("--timeout", default="2h", help="when it ends at the latest (default: 2h)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--follow", action="store_true", help="follow the job that is there")
    what.add_argument("--stop", action="store_true", help="stop it, saved")
    what.add_argument("--cancel", action="store_true", help="end it at once")


def run(args: argparse.Namespace) -> int:
    from avd_core.hub import jobs
    from avd_core.hub.job_sync import follow
    from avd_core.hub_client import HubError
    from avd_core.runs.run import Run

    there = Run(args.run_folder)
    if args.stop or args.cancel:
        (jobs.stop if args.stop else jobs.cancel)(there)
        return 0
    if not args.follow:
        job = jobs.launch(there, repo_id=args.repo, flavor=args.flavor, timeout=args.timeout)
        print(f"{args.run_folder} -> {job.url}", flush=True)
    printed, state = "", there.state()
    for state in follow(there):
        line = f"{state['status']} at step {state['step']}"
        if line != printed:
            print(line, flush=True)
        printed = line
    if state["status"] == "failed":
        raise HubError(state["error"])
    return 0
