"""The options of a training: a control for every field of `TrainConfig`, the command line, a config file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from app.context import UNLIMITED, UNQUEUED, Updates, message
from app.render import finetune as render
from app.services.result_store import ResultStore
from avd_core.config import ConfigError, TrainConfig
from avd_core.training.finetune import parse_fields, recipe

MAX_BYTES = 2**16  # of a config file


class TrainingOptions:
    """The Advanced drawer, laid out where it is constructed.

    Attributes:
        fields: The controls, by the name of their field.
        command: Shows the command line.
        load: Takes a config file.
        save: Gives one.
    """

    def __init__(self) -> None:
        start = TrainConfig.from_dict(recipe(200))
        self.fields: dict[str, gr.components.Component] = {}
        with gr.Accordion("Advanced: every choice of the training, the command line, a config file", open=False):
            self.command = gr.HTML(render.command(""), elem_id="tune-command", apply_default_css=False)
            with gr.Row(elem_classes="tune-files"):
                self.save = gr.DownloadButton("Save the config", size="sm", elem_id="tune-save-config")
                self.load = gr.UploadButton(
                    "Load a config", file_types=[".json"], size="sm", elem_id="tune-load-config"
                )
            with gr.Row(elem_classes="tune-fields"):
                for name, about in TrainConfig.descriptions().items():
                    self.fields[name] = _control(name, getattr(start, name), _sentence(about))

    def wire(self, message_slot: gr.HTML, store: ResultStore) -> None:
        """Wire loading and saving; errors go to `message_slot`, the saved file into `store`."""
        self.message, self.store = message_slot, store
        self.load.upload(self.on_load, self.load, [self.message, *self.fields.values()], **UNLIMITED)
        self.save.click(self.on_save, set(self.fields.values()), [self.save, self.message], **UNQUEUED)

    def on_load(self, path: str) -> Updates:
        try:
            return self.updates(self.read(path)) | {self.message: ""}
        except ValueError as error:
            return {self.message: message(error, "Nothing was changed.")}

    def on_save(self, values: dict) -> Updates:
        try:
            path = self.write(self.values(values), self.store.folder() / "train-config.json")
        except Exception as error:
            return {self.message: message(error, "Change it, then save.")}
        return {self.save: gr.DownloadButton(value=str(path)), self.message: ""}

    def values(self, values: Mapping[Any, Any]) -> dict[str, Any]:
        """Check and return the fields as they were filled in.

        Raises:
            ConfigError: One is empty or out of range; the sentence names it.
        """
        filled = {name: values[control] for name, control in self.fields.items()}
        empty = [name for name, value in filled.items() if value is None]
        if empty:
            raise ConfigError(f"TrainConfig.{empty[0]} is empty: give it a value.")
        return parse_fields(filled)

    def updates(self, train: Mapping[str, Any]) -> Updates:
        """Set the controls to these values; fields that are not named keep theirs."""
        return {self.fields[name]: value for name, value in train.items() if name in self.fields}

    @staticmethod
    def write(train: Mapping[str, Any], path: Path) -> Path:
        """Write a config file that `read` takes."""
        path.write_text(json.dumps(dict(train), indent=1) + "\n", encoding="utf-8")
        return path

    @staticmethod
    def read(path: str | Path) -> dict[str, Any]:
        """Read the fields of a config file, or of the `run.json` that comes with a checkpoint.

        Raises:
            ConfigError: It is no such file, or a field is unknown or out of range.
        """
        path = Path(path)
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path.name} is too large for a config.")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, ValueError, RecursionError):
            raise ConfigError(f"{path.name} is no JSON file that can be read.") from None
        if isinstance(values, dict) and isinstance(values.get("train"), dict):
            values = values["train"]
        if not isinstance(values, dict):
            raise ConfigError(f"{path.name} is no config: it must hold named fields.")
        return parse_fields(values)


def _control(name: str, value: Any, note: str) -> gr.components.Component:
    options = {"label": name, "info": note, "elem_id": f"tune-{name}", "min_width": 220}
    if isinstance(value, bool):
        return gr.Checkbox(value, **options)
    if isinstance(value, int | float):
        return gr.Number(value, precision=0 if isinstance(value, int) else None, **options)
    return gr.Textbox(value, **options)


def _sentence(text: str) -> str:
    text = text.replace("`", "")
    return text[:1].upper() + text[1:]
