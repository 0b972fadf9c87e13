"""What SPIN changes in the answer of a real LLaVA, and which heads it silences.

    python examples/spin_llava.py picture.jpg "Describe this picture."

The default checkpoint takes 14 GB; `--checkpoint llava-hf/llava-interleave-qwen-0.5b-hf` takes 2. The default
setting is the published one for describing with LLaVA-1.5-7B; other models and tasks need their own, chosen
on held-out data (docs/guide/spin.md).
"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from sightline import spin


def load(checkpoint: str) -> tuple:
    """(model, processor) of a checkpoint of the Hugging Face hub or of a folder; one that cannot be had ends
    the program."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        processor = AutoProcessor.from_pretrained(checkpoint)
        model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype="auto", use_safetensors=True)
    except OSError as error:
        typer.echo(
            f"spin_llava: cannot load {checkpoint}: {str(error).splitlines()[0]}\n"
            "It is downloaded once: run this where there is a network and HF_HUB_OFFLINE is not set, or "
            "give --checkpoint the folder of a model that you have.",
            err=True,
        )
        raise typer.Exit(1) from error
    return model.to(device).eval(), processor


def main(
    picture: Path,
    question: Annotated[str, typer.Argument()] = "Describe this picture in detail.",
    checkpoint: str = "llava-hf/llava-1.5-7b-hf",
    keep: float = 0.95,
    alpha: float = 0.08,
    max_new_tokens: int = 128,
) -> None:
    """Answer QUESTION about PICTURE without and with SPIN."""
    model, processor = load(checkpoint)
    content = [{"type": "image"}, {"type": "text", "text": question}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(images=Image.open(picture).convert("RGB"), text=prompt, return_tensors="pt")
    inputs = inputs.to(model.device, model.dtype)

    def answer() -> str:
        made = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        return processor.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()

    typer.echo(f"greedy: {answer()}")
    with spin.suppressed(model, keep=keep, alpha=alpha) as work:
        typer.echo(f"SPIN:   {answer()}")
    share_LH = work.silenced()
    typer.echo("heads silenced most often:")
    for flat in np.argsort(-share_LH, axis=None, kind="stable")[:10]:
        layer, head = np.unravel_index(flat, share_LH.shape)
        typer.echo(f"  layer {layer:2} head {head:2}: {share_LH[layer, head]:.0%} of the tokens")


if __name__ == "__main__":
    typer.run(main)
