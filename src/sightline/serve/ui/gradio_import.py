"""Gradio, told before it is imported to send nothing home. The page takes `gr` from here."""

import os

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # no usage statistics, no question for a newer version
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import gradio as gr  # noqa: E402

__all__ = ["gr"]
