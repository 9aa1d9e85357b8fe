"""avd inspect: images of many clips, and a table of them."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from avd_core.cli.common import add_checkpoint, add_classifier, add_size, complain, output_names, path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clips", nargs="+", type=path, metavar="CLIP", help="video files, folders of them, or zips")
    parser.add_argument("--out", required=True, type=path, metavar="DIR")
    add_checkpoint(parser)
    parser.add_argument("--whole", action="store_true", help="whole clips, not only where most moves")
    add_size(parser)
    add_classifier(parser)


def run(args: argparse.Namespace) -> int:
    from avd_core.atomic_io import check_folder, staged_folder
    from avd_core.data.clip_files import gather
    from avd_core.explore.batch import BatchRequest, inspect, write_csv
    from avd_core.explore.explorer import Explorer
    from avd_core.media.archives import ArchiveLimits
    from avd_core.media.distilled_png import save_distilled
    from avd_core.media.window import Window

    check_folder(args.out)
    status, rows = 0, []
    with tempfile.TemporaryDirectory() as unpacked, staged_folder(args.out) as staging:
        found = gather(args.clips, unpacked, ArchiveLimits(max_files=100_000, max_entries=200_000))
        for sentence in found.skipped:
            status = complain(args.command, sentence)
        for sentence in found.passed_over:
            complain(args.command, sentence)
        request = BatchRequest(found.sources, args.checkpoint, args.classifier, Window(whole=args.whole), args.size)
        names = output_names([Path(source.title) for source in found.sources], ".png")
        for row, name in zip(inspect(Explorer(), request), names, strict=True):
            rows.append(replace(row, image=None))
            place = f"{len(rows)} of {len(names)}"
            if row.image is None or row.info is None:
                status = complain(args.command, f"{row.source.title}: {row.problem}")
                continue
            save_distilled(staging / name, row.image, row.info)
            first = row.topk[0]
            print(f"{place}  {row.source.title}  {row.gain:+.1f} dB  {first}", flush=True)
        write_csv(staging / "inspection.csv", rows)
    print(f"{len(rows)} clips -> {args.out}")
    return status
