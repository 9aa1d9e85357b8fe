"""The endpoints for programs: what the page does, by name and type, for `gradio_client` or plain HTTP.

They use hidden components rather than `gr.api`: that accepts any path of a file, while a `gr.File` accepts only what
was uploaded to this server (gradio 6.31). Checkpoints and classifiers are those that the page offers, never a
path and never a download. Calls wait in the same queues as the page's visitors, `/refine` in that of long work.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr

from app.context import FIRST, LONG, PageContext
from app.services.errors import fault, sentence
from avd_core.explore.explorer import DEFAULT_CLASSIFIER, DEFAULT_METHOD, ExploreRequest, RequestError
from avd_core.explore.requests import DEFAULT_REFINE
from avd_core.media.window import Window
from avd_core.media.writer import write_mp4

NAMES = ("explore", "distill", "refine", "restore", "compare")
FAULT = "Something broke here, and it was not your file (error {}). Please try again."


class Api:
    """The endpoints; the files of their answers lie in the store, and are deleted when the page's are."""

    def __init__(self, context: PageContext) -> None:
        self.explorations, self.checkpoint = context.explorations, context.checkpoint
        clip = gr.File(label="the video: MP4, MOV, AVI, MKV, WebM or GIF", visible=False)
        image = gr.File(label="a distilled PNG, or any PNG, JPEG or WebP", visible=False)
        checkpoint = gr.Textbox(self.checkpoint, label="one that the page offers", visible=False)
        checkpoints = gr.Textbox(label="those of the page to compare, by commas; by default all", visible=False)
        decoder = gr.Textbox(label="one that the page offers; by default the image's own text picks", visible=False)
        start = gr.Number(label="where the window begins, in seconds; by default where most moves", visible=False)
        seconds = gr.Number(label="the window's length in seconds; by default at most 4", visible=False)
        whole = gr.Checkbox(False, label="take the whole clip as the window", visible=False)
        fps = gr.Number(label="frames a second to play at; by default what the image says", visible=False)
        classifier = gr.Textbox(DEFAULT_CLASSIFIER, label="one that the page offers", visible=False)
        cam = gr.Textbox(DEFAULT_METHOD, label="how to ask where the classifier looks", visible=False)
        target = gr.Textbox(label="the class to look for; by default the likeliest", visible=False)
        sides = "short side in pixels, a multiple of 8 from 64 to 224; by default the checkpoint's or the clip's own"
        size = gr.Number(precision=0, label=sides, visible=False)
        steps = gr.Number(DEFAULT_REFINE, precision=0, label="gradient steps on the distilled image", visible=False)
        window = [checkpoint, start, seconds, whole]

        def answer(*files: str, figures: str) -> list[Any]:
            return [*(gr.File(label=name, visible=False) for name in files), gr.JSON(label=figures, visible=False)]

        everything = answer("distilled", "restored", "comparison", "overlay", figures="report")
        self._open(self.explore, [clip, *window, classifier, cam, target, size], everything)
        self._open(self.distill, [clip, *window, size], answer("distilled", figures="facts"))
        self._open(self.refine, [clip, *window, size, steps], answer("distilled", figures="facts"), LONG)
        self._open(self.restore, [image, decoder, fps], answer("restored", figures="facts"))
        compared = [checkpoints, checkpoint, *window[1:], classifier, size]
        self._open(self.compare, [clip, *compared], answer("sheet", "everything", figures="report"))

    def _open(self, handler: Callable, inputs: list[Any], outputs: list[Any], queue: dict[str, Any] = FIRST) -> None:
        public = queue | {"api_visibility": "public", "api_name": handler.__name__}
        gr.on([], _with_sentences(handler), inputs, outputs, **public)

    def explore(
        self,
        clip: str,
        checkpoint: str | None = None,
        start: float | None = None,
        seconds: float | None = None,
        whole: bool = False,
        classifier: str = DEFAULT_CLASSIFIER,
        cam: str = DEFAULT_METHOD,
        target: str | None = None,
        size: int | None = None,
    ) -> tuple[str, str, str, str, dict[str, Any]]:
        """Explore one clip: its one image, the clip restored from it, and figures about both.

        Returns:
            The distilled image (PNG), the restored clip and the original beside it (MP4), the heat map laid over the
            image (PNG), and the figures: the report.json of the `explore` command.
        """
        from avd_core.classifiers.saliency import METHODS

        self._known("saliency method", cam, METHODS)
        self._known("classifier", classifier, self.explorations.explorer.classifiers())
        window = Window(start, seconds, whole)
        request = ExploreRequest(clip, self._checkpoint(checkpoint), window, classifier, cam, target or None, size)
        result = self.explorations.explorer.explore(request)
        files = result.save(self.explorations.store.folder())
        report = result.report()
        return str(files.distilled), str(files.restored), str(files.comparison), str(files.cam), report

    def distill(
        self,
        clip: str,
        checkpoint: str | None = None,
        start: float | None = None,
        seconds: float | None = None,
        whole: bool = False,
        size: int | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """Distill a clip into one image.

        Returns:
            The PNG that /restore plays, and the facts: checkpoint, fingerprint, frames, size, fps, window, notes.
        """
        return self.refine(clip, checkpoint, start, seconds, whole, size, 0)

    def refine(
        self,
        clip: str,
        checkpoint: str | None = None,
        start: float | None = None,
        seconds: float | None = None,
        whole: bool = False,
        size: int | None = None,
        steps: int | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """Distill a clip into one image and refine it by gradient steps, each of which takes up to a second.

        Returns:
            As /distill; more of the clip comes back from the PNG.
        """
        steps = DEFAULT_REFINE if steps is None else steps
        window = Window(start, seconds, whole)
        made = self.explorations.explorer.distill(
            clip, checkpoint=self._checkpoint(checkpoint), window=window, size=size, refine=steps
        )
        path = made.save(self.explorations.store.folder() / "distilled.png")
        facts = _facts(made.info.checkpoint, made.info.fingerprint, made.clip.frames.shape, made.clip.fps)
        return str(path), facts | {
            "window": {"start": made.clip.start, "seconds": made.clip.seconds}, "refined": steps,
            "notes": list(made.clip.notes),
        }  # fmt: skip

    def restore(
        self, image: str, checkpoint: str | None = None, fps: float | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Restore the clip from its distilled image alone; any other picture plays too, and the notes say so.

        Returns:
            The clip (MP4), and the facts: checkpoint, fingerprint, frames, size, fps, notes.
        """
        chosen = self._checkpoint(checkpoint) if checkpoint else None
        played = self.explorations.explorer.restore(Path(image), checkpoint=chosen, fps=fps)
        path = write_mp4(self.explorations.store.folder() / "restored.mp4", played.frames, played.fps)
        facts = _facts(played.checkpoint, played.fingerprint, played.frames.shape, played.fps)
        return str(path), facts | {"notes": list(played.notes)}

    def compare(
        self,
        clip: str,
        checkpoints: str | None = None,
        judge: str | None = None,
        start: float | None = None,
        seconds: float | None = None,
        whole: bool = False,
        classifier: str = DEFAULT_CLASSIFIER,
        size: int | None = None,
    ) -> tuple[str, str, dict[str, Any]]:
        """Make one image of a clip by every method and checkpoint; rate all by the same critic and classifier.

        Returns:
            All of them as one picture (PNG); the images and the clips that come back from them (ZIP); and the figures:
            the comparison.json of the `compare` command.
        """
        from avd_core.explore.comparison import CompareRequest, compare
        from avd_core.explore.comparison_files import save_comparison

        explorer = self.explorations.explorer
        self._known("classifier", classifier, explorer.classifiers())
        names = [name.strip() for name in (checkpoints or "").split(",") if name.strip()] or explorer.checkpoints()
        chosen = tuple(self._checkpoint(name) for name in names)
        window = Window(start, seconds, whole)
        request = CompareRequest(Path(clip), chosen, window, classifier, self._checkpoint(judge), size)
        *_, comparison = compare(explorer, request)
        folder = save_comparison(comparison, self.explorations.store.folder() / "comparison")
        everything = shutil.make_archive(str(folder.with_name("everything")), "zip", folder)
        return str(folder / "sheet.png"), everything, comparison.report()

    def _checkpoint(self, name: str | None) -> str:
        name = name or self.checkpoint
        self._known("checkpoint", name, [self.checkpoint, *self.explorations.explorer.checkpoints()])
        return name

    def _known(self, what: str, name: str, known: Any) -> None:
        if name not in known:
            raise RequestError(f"There is no {what} {name!r} here; there are {', '.join(dict.fromkeys(known))}.")


def _facts(checkpoint: str, fingerprint: str, shape: tuple[int, ...], fps: float) -> dict[str, Any]:
    count, height, width, _ = shape
    names = {"checkpoint": checkpoint, "fingerprint": fingerprint}
    return names | {"frames": count, "size": [height, width], "fps": fps}


def _with_sentences(handler: Callable) -> Callable:
    """Answer an error with its sentence, which a caller can act on; a fault of the program is logged."""

    @wraps(handler)
    def answer(*inputs: Any) -> Any:
        try:
            if not inputs[0]:
                raise RequestError(f"{handler.__name__} needs a file: upload one, and name it in the call.")
            return handler(*inputs)
        except Exception as error:
            if words := sentence(error):
                raise gr.Error(words, print_exception=False) from error
            raise gr.Error(FAULT.format(fault(error)), print_exception=False) from error

    return answer
