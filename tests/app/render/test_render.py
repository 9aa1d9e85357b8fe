"""Results as HTML: well-formed, escaped, and the drawn places are those of the numbers."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from app.render import attribution, classifier, fragments, realism, spectrum, stage, trimmer
from app.render import quality as quality_render
from avd_core.analysis.metrics import quality
from avd_core.analysis.spectrum import look_beneath
from avd_core.classifiers.loading import Prediction
from avd_core.classifiers.road import Faithfulness
from avd_core.explore.parts import FrameSaliency, Realism, Recognition
from avd_core.media.thumbnails import Filmstrip
from avd_core.networks.calibration import Calibration
from tests.repository import ROOT

VOID = {"img", "input", "rect", "line", "polyline", "polygon"}
HOSTILE = '<script>alert("x")</script>'


class Balance(HTMLParser):
    """Every element that is opened is closed, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(html)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> says {names} twice"
        assert tag != "img" or "alt" in names
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        assert tag in VOID, f"<{tag}/> does not close itself in HTML"

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def scored(logit: float = 0.2, own: tuple[float, ...] = (0.1, 0.4)) -> tuple[Realism, Calibration]:
    calibration = Calibration.from_scores(np.linspace(-1, 1, 201), np.linspace(-1.5, 0.5, 101))
    share = calibration.percentile_among_real
    patches = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    among = (share(logit), calibration.percentile_among_distilled(logit))
    return Realism(logit, *among, tuple(map(share, own)), own, patches), calibration


def measured():
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (8, 16, 24, 3), dtype=np.uint8)
    return quality(clip, np.clip(clip.astype(int) + 6, 0, 255).astype(np.uint8))


def film() -> Filmstrip:
    return Filmstrip((np.zeros((64, 96, 3), np.uint8), None, np.full((64, 96, 3), 200, np.uint8)), 10.0, 3.0)


def beneath(reference: bool = False):
    frames = np.random.default_rng(0).integers(0, 256, (3, 16, 24, 3), dtype=np.uint8)
    return look_beneath(frames[1], frames, frames[2] if reference else None)


def recognised(in_frame: str) -> Recognition:
    predictions = (Prediction(HOSTILE, 0.5), Prediction("cat", 0.001))
    return Recognition(HOSTILE, HOSTILE, predictions, (Prediction(in_frame, 0.4),))


def pieces() -> dict[str, str]:
    scores, calibration = scored()
    maps = np.random.default_rng(0).random((8, 16, 24)).astype(np.float32)
    return {
        "header": fragments.HEADER,
        "stage": stage.stage(size=(112, 152), frames=16, fps=4, original="a", distilled="b", restored="c", error="d"),
        "unfinished stage": stage.stage(size=(112, 152), frames=16, fps=4, original="a"),
        "progress": fragments.progress(HOSTILE, 0.4),
        "nothing": fragments.nothing(),
        "summary": fragments.summary(HOSTILE, frames=16, start=1, length=2, total=9, checkpoint=HOSTILE),
        "problem": fragments.problem(HOSTILE, HOSTILE),
        "waiting": fragments.waiting("realism", "Realism"),
        "realism": realism.card(scores, calibration, "p.png", (112, 152)),
        "realism without references": realism.card(scores, None, "p.png", (112, 152)),
        "restoration": quality_render.card(measured(), 4.0),
        "recognition": classifier.recognition_card(recognised(HOSTILE)),
        "recognition of another frame": classifier.recognition_card(recognised("dog")),
        "saliency": classifier.saliency_card("a", "b", HOSTILE, HOSTILE, (112, 152), ["#000000", "#ffffff"]),
        "faithfulness": classifier.faithfulness_card(Faithfulness(0.1, 0.5, 0.1, 0.3, (0.05, -0.1), 0), HOSTILE),
        "frames": classifier.frames_card(
            "a",
            "b",
            FrameSaliency(np.ones((3, 2, 2), np.float32), (0.0, 0.004, 0.5)),
            HOSTILE,
            HOSTILE,
            fps=4,
            colours=["#000000"],
        ),
        "frames to come": classifier.frames_offer(HOSTILE),
        "downloads": fragments.downloads([("Image", "a?b&c", HOSTILE)]),
        "notes": fragments.notes([HOSTILE]),
        "details": fragments.details({"read": 0.1, "distill": 2.0}, "0123456789ab"),
        "tiles": stage.tiles([(HOSTILE, HOSTILE, HOSTILE, "a"), ("b", "B", "Later", None)]),
        "preview": stage.preview("a", HOSTILE, 90.0, 60.0),
        "filmstrip": trimmer.panel(film(), 3.0, 4.0),
        "filmstrip to come": trimmer.waiting(),
        "spectrum": spectrum.card(beneath(), (16, 24), "a", "b", "c"),
        "spectrum beside a target": spectrum.card(beneath(reference=True), (16, 24), "a", "b", "c"),
        "attribution": attribution.card(maps, "a", (16, 24)),
        "attribution offered": attribution.offer_card(8, "a", (16, 24)),
        "attribution under way": attribution.progress_card(0.5, "a", (16, 24)),
    }


@pytest.mark.parametrize("name", pieces())
def test_is_whole_and_escaped(name: str):
    html = pieces()[name]
    Balance(html)
    assert "<script" not in html and "None" not in html and "nan" not in html.lower()


def test_agreement_among_few_labels_is_the_first_place():
    predictions = (Prediction("dog", 0.7), Prediction("cat", 0.3))
    for label, words in (("dog", "kept"), ("cat", "lost")):
        assert f"agreement {words}" in classifier.recognition_card(
            Recognition("clip:a/b=dog|cat", None, predictions, (Prediction(label, 1),))
        )


def test_none_of_the_classes_is_said_instead_of_a_name():
    unsure = Prediction("dog", 0.3, none_of=33)
    html = classifier.recognition_card(Recognition("action", None, (unsure, Prediction("cat", 0.2, 33)), (unsure,)))
    assert "<b>None of the 33 actions it knows.</b> Nearest:" in html
    assert "by itself: <b>none of the 33 actions it knows</b>" in html
    assert fragments.macros("fragments.html").first_guess(unsure).strip() == "<b>none of the 33 actions it knows</b>"
    sure = Prediction("dog", 0.3)
    assert "actions it knows" not in classifier.recognition_card(Recognition("action", None, (sure,), (sure,)))


def test_agreement_is_named():
    assert "1st of its five" in classifier.recognition_card(recognised(HOSTILE))
    assert "not among the image’s five" in classifier.recognition_card(recognised("dog"))


@pytest.mark.parametrize(
    ("moved", "words"),
    [((0.0, 0.05), "Truer than all 2"), ((0.2, 0.3), "Misleading"), ((0.0, 0.3), "1 of 2")],
)
def test_a_map_is_true_only_beyond_chance(moved: tuple[float, ...], words: str):
    assert words in classifier.faithfulness_card(Faithfulness(0.1, 0.5, 0.1, 0.3, moved, 0), "dog")


@pytest.mark.parametrize(
    ("percentile", "words"),
    [
        (0, "0th"),
        (0.3, "<1st"),
        (1, "1st"),
        (2.4, "2nd"),
        (11, "11th"),
        (63.2, "63rd"),
        (99.7, ">99th"),
        (100, "100th"),
    ],
)
def test_ordinals(percentile: float, words: str):
    assert fragments.ordinal(percentile) == words


def test_seconds_keep_their_sense():
    assert [fragments.seconds(s) for s in (0.25, 0.999, 3.14, 60, 119.8, 125)] == [
        *("0.25 s", "1.0 s", "3.1 s", "1 min", "2 min", "2 min 5 s")
    ]


def test_curve_stands_where_its_values_are():
    figures = measured()
    html = quality_render.card(figures, 4.0)
    plot = html[html.index('class="metric psnr"') : html.index('class="metric ssim"')]
    labels = [(float(top), float(value)) for top, value in re.findall(r'top:([\d.]+)%">([\d.]+)<', plot)]
    (low_top, low), (high_top, high) = labels[0], labels[-1]
    line = re.search(r'<polyline class="made" points="([^"]+)"', plot).group(1)
    points = [tuple(map(float, point.split(","))) for point in line.split()]
    values = figures.per_frame["psnr"]
    assert len(points) == len(values)
    for (x, y), (frame, value) in zip(points, enumerate(values), strict=True):
        assert x == pytest.approx(100 * (frame + 0.5) / len(values), abs=0.01)
        assert low + (y - low_top) / (high_top - low_top) * (high - low) == pytest.approx(value, abs=0.1)
    # Where the copy is the frame itself, PSNR is infinite: the line leaves the plot, and no number is made up.
    middle = re.search(r'<polyline class="middle" points="([^"]+)"', plot).group(1).split()
    assert float(middle[4].split(",")[1]) < 0
    assert f"{figures.psnr:.1f}" in plot and f"{figures.psnr_mean_copy:.1f}" in plot


def test_image_and_its_frames_stand_on_the_axis_of_real_frames():
    scores, calibration = scored(logit=0.5, own=(-0.5, 0.0))
    html = realism.card(scores, calibration, "p.png", (8, 8))
    ticks = {int(share): float(left) for left, share in re.findall(r'<span style="left:([\d.]+)%">(\d+)<', html)}
    own = [float(left) for left in re.findall(r'class="own" style="left:([\d.]+)%', html)]
    marker = float(re.search(r'class="marker \w+" style="left:([\d.]+)%', html).group(1))
    # Real scores are uniform on [-1, 1]: -0.5, 0 and 0.5 are the 25th, 50th and 75th percentiles.
    assert [*own, marker] == pytest.approx([ticks[25], ticks[50], ticks[75]], abs=0.2)
    assert "75th" in html and "201 real frames" in html and "101 distilled images" in html
    assert "25th–50th" in html and "0.5" not in re.sub(r"<[^>]*>", "", html), "a raw score is shown"


@pytest.mark.parametrize("logit", [-100.0, 100.0])
def test_extreme_score_stays_on_the_axis(logit: float):
    scores, calibration = scored(logit=logit)
    html = realism.card(scores, calibration, "p.png", (8, 8))
    places = [float(left) for left in re.findall(r"left:(-?[\d.]+)%", html)]
    assert all(0 <= place <= 100 for place in places)


def test_references_that_are_all_the_same_are_drawn():
    scores, _ = scored()
    Balance(realism.card(scores, Calibration((0.1,), (0.1, 0.1)), "p.png", (8, 8)))


def test_patch_map_is_blue_where_the_critic_is_content():
    image = np.full((16, 32, 3), 128, np.uint8)
    tinted = realism.patch_map(image, np.array([[1.0, -1.0]], np.float32))
    assert tinted.shape == image.shape and tinted.dtype == np.uint8
    left, right = tinted[8, 0].astype(int), tinted[8, -1].astype(int)
    assert left[2] > left[0] and right[0] > right[2]
    plain = realism.patch_map(image, np.zeros((2, 2), np.float32))
    assert (plain == plain[0, 0]).all(), "a critic without preference leaves no tint"


def test_window_stands_on_the_filmstrip_where_it_is_in_the_clip():
    html = trimmer.panel(film(), 3.0, 4.0)
    assert "--from:30.00%;--to:70.00%" in html and html.count("<img") == 2
    marks = {float(at): float(left) for left, at in re.findall(r'left:([\d.]+)%"[^>]*>([\d.]+) s<', html)}
    assert len(marks) >= 5 and all(left == pytest.approx(10 * at) for at, left in marks.items())
    assert re.findall(r'aria-valuenow="([\d.]+)"', html) == ["3.0", "7.0"]
    assert 'data-window="3.0 5.0"' in html and 'data-window="0 10.0"' in html
    short = trimmer.panel(Filmstrip((None,), 1.8, 0.0), 0.0, 1.8)
    assert "Most motion" not in short, "in a clip that is taken whole there is nothing to find"
    assert "1:30" in trimmer.panel(Filmstrip((None,), 180.0, 5.0), 5.0, 4.0)


def test_spectra_are_drawn_on_one_scale():
    wave = np.broadcast_to(128 + 100 * np.cos(np.arange(24) * np.pi / 3)[None, :, None], (16, 24, 3)).astype(np.uint8)
    weak = np.broadcast_to(128 + 10 * np.cos(np.arange(24) * np.pi / 3)[None, :, None], (16, 24, 3)).astype(np.uint8)
    own, frame = spectrum.spectra(look_beneath(wave, weak[None]))
    assert own.max() == 255
    # A tenth of the amplitude is one of the three powers of ten from white to black.
    assert frame.max() == pytest.approx(255 * 2 / 3, abs=6)


def test_pixels_take_the_colour_of_the_frame_they_draw_on():
    maps, image = np.zeros((4, 20, 20), np.float32), np.full((20, 20, 3), 100, np.uint8)
    maps[0, :, :8], maps[3, :, 12:] = 5, 5
    painted = attribution.paint(maps, image)
    first, last = attribution.colours(4)[[0, 3]]
    assert (painted[10, 2] == first).all() and (painted[10, 17] == last).all()
    assert (painted[10, 10] == 60).all(), "where nothing contributes the image stays grey"
    # A frame that leads nearly everywhere gives way, or all would be its colour.
    maps[2] = 9
    assert attribution.leading(maps) == 2
    painted = attribution.paint(maps, image)
    assert (painted[10, 2] == first).all() and (painted[10, 17] == last).all()
    html = attribution.card(maps, "a", (20, 20))
    assert "from frame 3, the most" in html and "Frame 3 leads" in html
    still = attribution.paint(np.zeros((4, 20, 20)), image)
    assert (still == 60).all(), "a clip in which nothing matters is not coloured"


def test_ticks_hold_the_values():
    for low, high in [(19.2, 33.1), (0.71, 0.74), (60, 60), (0, 1), (22.31, 22.32)]:
        ticks = fragments.ticks(low, high)
        assert 2 <= len(ticks) <= 6 and ticks[0] <= low and ticks[-1] >= high and ticks == sorted(set(ticks))


def test_addresses_come_from_the_caller_alone():
    everything = "".join(pieces().values())
    assert not re.search(r"https?://", everything.replace("http://www.w3.org", "")), "the page asks another machine"


def test_realism_at_its_end_is_said_in_words_and_beside_it_stands_the_second_position():
    among, calibration = scored()
    piece = realism.card(among, calibration, "p.png", (8, 8))
    assert (
        "among distilled images of this size" in piece and fragments.ordinal(among.percentile_among_distilled) in piece
    )
    assert "no longer tells" not in piece
    beyond, _ = scored(logit=-1.3)
    piece = realism.card(beyond, calibration, "p.png", (8, 8))
    assert beyond.percentile_among_real == 0 < beyond.percentile_among_distilled
    assert "less real than every real frame it is compared with" in piece and "no longer tells one image" in piece
    assert "more real than every one of them" in realism.card(scored(logit=1.2)[0], calibration, "p.png", (8, 8))


def test_no_markup_is_put_together_by_hand():
    by_hand = re.compile(r"""f("{3}|["'])\s*<[a-z/]""")
    assert by_hand.search("""f'<b>{name}</b>'""")
    for path in sorted((ROOT / "app/render").glob("*.py")):
        found = by_hand.search(path.read_text(encoding="utf-8"))
        assert not found, f"{path.name}: markup lies in templates, which escape: {found and found.group()}"
