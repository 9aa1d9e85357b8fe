"""The look: one Gradio theme, and the style sheets and scripts of `static/`.

Warm paper and copper (what a still is made of). Two colours carry meaning everywhere on the page: blue is what the
camera saw, copper is what went through the distilled image. The fonts come with Gradio, so nothing is fetched; of their
weights only regular and bold are whole (gradio 6.31's semi-bold files hold no Latin letters).
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from gradio.themes.utils import colors, fonts, sizes

STATIC = Path(__file__).parent / "static"
# The page's own first, then one for each tab.
CSS_PATHS = sorted(STATIC.glob("*.css"), key=lambda path: (path.stem != "page", path.stem))
_SCRIPTS = sorted(STATIC.glob("*.js"), key=lambda path: (path.stem != "page", path.stem))
# Values of HTML components cannot carry scripts, so the page's scripts go into the document's head.
_ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><g fill='none' stroke='%2335689c' stroke-width='2'>"
    "<path d='M3 5h14v14H3z'/><path d='M7 9h14v14H7z'/></g><path fill='%23b4531f' d='M12 13h17v17H12z'/></svg>"
)
HEAD = f"""
<link rel="icon" type="image/svg+xml" href="data:image/svg+xml,{_ICON}">
<meta name="description" content="Turn a video clip into one realistic image, and get the clip back from it.">
{"".join(f"<script>{path.read_text(encoding='utf-8')}</script>" for path in _SCRIPTS)}
"""

_PAPER = colors.Color(
    name="paper",
    c50="#faf8f5",
    c100="#f3f0eb",
    c200="#e6e1d9",
    c300="#d2cbc0",
    c400="#a39b8f",
    c500="#7a7268",
    c600="#5c554d",
    c700="#3f3a34",
    c800="#292521",
    c900="#1c1917",
    c950="#131110",
)
_COPPER = colors.Color(
    name="copper",
    c50="#fdf4ee",
    c100="#fae5d6",
    c200="#f4c8aa",
    c300="#eda678",
    c400="#e48650",
    c500="#cf6730",
    c600="#b4531f",
    c700="#91401a",
    c800="#72341a",
    c900="#5c2c19",
    c950="#33150a",
)

_VALUES = {
    "body_background_fill": "*neutral_50",
    "body_background_fill_dark": "*neutral_950",
    "body_text_color": "*neutral_900",
    "body_text_color_dark": "*neutral_100",
    "body_text_color_subdued": "*neutral_600",
    "body_text_color_subdued_dark": "*neutral_400",
    "background_fill_primary": "white",
    "background_fill_primary_dark": "*neutral_900",
    "border_color_primary": "*neutral_200",
    "border_color_primary_dark": "*neutral_800",
    "block_background_fill": "transparent",
    "block_background_fill_dark": "transparent",
    "block_border_width": "0px",
    "block_border_width_dark": "0px",
    "block_shadow": "none",
    "block_shadow_dark": "none",
    "block_padding": "0px",
    "block_label_text_color": "*body_text_color_subdued",
    "block_title_text_color": "*body_text_color_subdued",
    "block_title_text_color_dark": "*body_text_color_subdued",
    "block_title_text_weight": "400",
    "block_title_text_size": "*text_sm",
    "block_info_text_color": "*body_text_color_subdued",
    "input_background_fill": "white",
    "input_background_fill_dark": "*neutral_950",
    "input_border_color": "*neutral_300",
    "input_border_color_dark": "*neutral_700",
    "input_border_width": "1px",
    "button_primary_background_fill": "*primary_600",
    "button_primary_background_fill_hover": "*primary_700",
    "button_primary_background_fill_dark": "*primary_400",
    "button_primary_background_fill_hover_dark": "*primary_300",
    "button_primary_text_color": "white",
    "button_primary_text_color_dark": "*neutral_950",
    "button_secondary_background_fill": "white",
    "button_secondary_background_fill_dark": "*neutral_900",
    "button_secondary_border_color": "*neutral_300",
    "button_secondary_border_color_dark": "*neutral_700",
    "button_border_width": "1px",
    "slider_color": "*primary_600",
    "slider_color_dark": "*primary_400",
    "loader_color": "*primary_500",
    "checkbox_label_background_fill": "transparent",
    "checkbox_label_background_fill_dark": "transparent",
    "checkbox_label_background_fill_selected": "*primary_50",
    "checkbox_label_background_fill_selected_dark": "*primary_950",
    "checkbox_label_border_width": "1px",
    "checkbox_background_color_selected": "*primary_600",
    "checkbox_border_color_selected": "*primary_600",
}


def theme() -> gr.themes.Base:
    """Build the theme, for `launch(theme=...)`."""
    look = gr.themes.Base(
        primary_hue=_COPPER,
        secondary_hue=_COPPER,
        neutral_hue=_PAPER,
        text_size=sizes.text_md,
        radius_size=sizes.radius_lg,
        font=(fonts.LocalFont("IBM Plex Sans", weights=(400, 700)), "ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=(fonts.LocalFont("IBM Plex Mono", weights=(400, 700)), "ui-monospace", "monospace"),
    )
    return look.set(**_VALUES)
