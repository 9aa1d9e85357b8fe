"""avd explore: distill clips, restore them, and report all figures."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from avd_core.cli.common import (
    CommandError,
    add_checkpoint_and_window,
    add_classifier,
    add_size,
    each,
    output_names,
    path,
    window_of,
)

if TYPE_CHECKING:
    from avd_core.classifiers.road import Faithfulness
    from avd_core.explore.parts import Refined
    from avd_core.explore.results import Exploration, SavedExploration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clips", nargs="+", type=path, metavar="CLIP", help="video files")
    parser.add_argument(
        "--out", required=True, type=path, metavar="DIR", help="for one clip DIR/..., for several DIR/<stem>/..."
    )
    add_checkpoint_and_window(parser)
    add_size(parser)
    parser.add_argument(
        "--refine", type=int, default=0, metavar="N", help="gradient steps on the image: slower, and more comes back"
    )
    add_classifier(parser)
    parser.add_argument("--labels", nargs="+", metavar="LABEL", help="what a clip: classifier shall choose among")
    parser.add_argument("--cam", default="gradcam", metavar="METHOD", help="saliency method (default: gradcam)")
    parser.add_argument("--cam-video", action="store_true", help="also cam.mp4: where it looks in every restored frame")
    parser.add_argument("--road", action="store_true", help="also how faithful the map is (ROAD), in report.json")
    parser.add_argument("--save-frames", action="store_true", help="also the frames before and after, lossless")
    parser.add_argument("--zip", action="store_true", help="also everything as one file, with a page to read it on")


def run(args: argparse.Namespace) -> int:
    from avd_core.atomic_io import check_folder
    from avd_core.classifiers.names import with_labels
    from avd_core.classifiers.saliency import METHODS
    from avd_core.explore.explorer import Explorer, ExploreRequest
    from avd_core.explore.report_page import write_bundle

    if args.cam not in METHODS:
        raise CommandError(f"There is no saliency method {args.cam!r}; there are {', '.join(METHODS)}.")
    names = output_names(args.clips) if len(args.clips) > 1 else [""]
    classifier = with_labels(args.classifier, args.labels) if args.labels else args.classifier
    requests = [
        ExploreRequest(clip, args.checkpoint, window_of(args), classifier, args.cam, size=args.size, refine=args.refine)
        for clip in args.clips
    ]
    check_folder(args.out)
    explorer = Explorer()
    explorer.warm_up(args.checkpoint, classifier)

    def work(request: ExploreRequest, name: str) -> None:
        exploration = explorer.add_saliency_details(explorer.explore(request), frames=args.cam_video, road=args.road)
        saved = exploration.save(args.out / name, args.save_frames)
        if args.zip:
            write_bundle(exploration, saved.folder / "everything.zip")
        print(_summary(exploration, saved))

    return each(args, work, requests, names)


def _summary(exploration: Exploration, saved: SavedExploration) -> str:
    clip, figures, realism = exploration.clip, exploration.quality, exploration.realism
    topk, saliency = exploration.recognition.topk, exploration.saliency
    frame, rank = exploration.recognition.frame[0], exploration.recognition.rank_of_frame
    count, height, width, _ = clip.frames.shape
    standing = (
        f"above {realism.percentile_among_real:.0f} % of real frames and {realism.percentile_among_distilled:.0f} % of "
        f"distilled images{f': {realism.at_the_end}' if realism.at_the_end else ''}"
        if realism.percentile_among_real is not None
        else "no reference scores in this checkpoint"
    )
    lines = [
        f"{exploration.request.clip.name} -> {saved.folder}",
        f"  window    {clip.start:.2f} to {clip.start + clip.seconds:.2f} s of {clip.source.seconds:.2f} s, "
        f"{count} frames of {width} x {height}, by {exploration.checkpoint}",
        f"  restored  {figures.psnr:.2f} dB (middle frame {figures.psnr_middle_copy:.2f}, mean frame "
        f"{figures.psnr_mean_copy:.2f}), SSIM {figures.ssim:.3f} ({figures.ssim_middle_copy:.3f}, "
        f"{figures.ssim_mean_copy:.3f})",
        *([f"  refined   {_refinement(exploration.refined)}"] if exploration.refined else []),
        f"  realism   {standing}",
        "  seen      "
        + (topk[0].refusal + "; nearest: " if topk[0].refusal else "")
        + ", ".join(f"{p.label} {p.probability:.0%}" for p in topk)
        + f" ({exploration.recognition.classifier})",
        f"  frame     {frame} in the middle frame by itself, "
        + (f"number {rank} in the image" if rank else "not among the image's five"),
        *([f"  faithful  {_faithfulness(saliency.faithfulness, saliency.label)}"] if saliency.faithfulness else []),
        *(f"  note      {note}" for note in exploration.notes),
    ]
    return "\n".join(lines)


def _refinement(refined: Refined) -> str:
    before, after = refined.image_psnr
    return (
        f"{refined.gain:+.2f} dB by {refined.steps} steps on the image, which is {before:.1f} dB from its frame before "
        f"and {after:.1f} after"
    )


def _faithfulness(road: Faithfulness, label: str) -> str:
    return (
        f"ROAD {road.score:+.3f} (copies of the map moved elsewhere {min(road.moved):+.3f} to {max(road.moved):+.3f}): "
        f"of {road.untouched:.0%} {label} keeps {road.most_first:.0%} with the hottest pixels taken away first, "
        f"{road.least_first:.0%} with the coldest"
    )
