"""avd calibrate: add reference scores to a trained checkpoint, for each size at which it is used."""

from __future__ import annotations

import argparse

from avd_core.cli.common import path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a run, a folder, a bundled name or a Hub repo id")
    parser.add_argument("--data", type=path, required=True, metavar="PACK", help="clips that never trained it")
    parser.add_argument("--out", required=True, type=path, metavar="DIR", help="the checkpoint folder to write")
    parser.add_argument("--size", type=int, metavar="PX", help="the short side it is made for (default: as it says)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[], metavar="PX", help="further sizes to calibrate at")
    parser.add_argument("--limit", type=int, default=200, metavar="N", help="clips to take, evenly (default: 200)")


def run(args: argparse.Namespace) -> int:
    from dataclasses import replace

    import torch

    from avd_core.data.packs import PackedClips
    from avd_core.devices import default_device
    from avd_core.networks.avd import AVD
    from avd_core.training.preview import calibrate

    device = default_device()
    model = AVD.from_pretrained(args.checkpoint, device=device)
    for size in (*args.sizes, args.size or model.config.size):  # all are validated before any work
        model.config = replace(model.config, size=size)
    with torch.inference_mode():
        clips = PackedClips(args.data)
        model.calibration = calibrate(model, clips, sizes=args.sizes, limit=args.limit, device=device)
    print(f"{args.checkpoint} -> {model.save_pretrained(args.out)}, made for {model.config.size} px")
    for size, scores in sorted(model.calibration.sizes.items()):
        among = sorted(scores.percentile_among_real(logit) for logit in scores.distilled)
        print(f"  {size} px: {len(among)} clips; half of its images look less real than {among[len(among) // 2]:.0f} %")
    return 0
