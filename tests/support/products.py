"""Pictures of products on white, drawn: outline, colour and details of a design, the grain of a photo."""

import numpy as np
from PIL import Image, ImageDraw

COLORS = ((190, 40, 45), (35, 70, 150), (40, 120, 70), (120, 80, 50), (225, 175, 50), (60, 60, 66))
SCALE = 3  # drawn so much larger than it is kept


def shoe(design: int, color: int, side: int = 160) -> Image.Image:
    """A shoe: `design` decides its outline, laces and stripe."""
    rng = np.random.default_rng(design)
    full = side * SCALE
    picture = Image.new("RGB", (full, full), "white")
    draw = ImageDraw.Draw(picture)
    upper, sole = COLORS[color % len(COLORS)], COLORS[(color + 3) % len(COLORS)]
    heel, toe, ankle = rng.uniform(0.3, 0.45), rng.uniform(0.52, 0.6), rng.uniform(0.25, 0.4)
    outline = [(0.1, 0.7), (0.12, heel), (ankle, heel + 0.02), (0.6, toe), (0.88, toe + 0.06), (0.92, 0.7)]
    draw.polygon([(x * full, y * full) for x, y in outline], fill=upper)
    draw.rectangle((0.08 * full, 0.68 * full, 0.94 * full, 0.75 * full), fill=sole)
    for lace in range(int(rng.integers(2, 6))):
        x, y = ankle + 0.05 * (lace + 1), heel + 0.06 + 0.03 * lace
        draw.line((x * full, y * full, (x + 0.08) * full, (y + 0.05) * full), fill="white", width=full // 60)
    at = rng.uniform(0.2, 0.6)
    stripe = [(at, 0.66), (at + 0.06, 0.56), (at + rng.uniform(0.08, 0.16), 0.66)]
    draw.polygon([(x * full, y * full) for x, y in stripe], fill=sole)
    pixels_YXC = np.asarray(picture, dtype=np.float32)
    grain_YX = rng.normal(0, 12, (side // 4, side // 4)).astype(np.float32)
    grain = Image.fromarray(grain_YX).resize((full, full), Image.Resampling.BICUBIC)
    thing_YX1 = (pixels_YXC.min(axis=2) < 250)[..., None]
    lit_YXC = pixels_YXC + thing_YX1 * np.asarray(grain)[..., None]
    whole = Image.fromarray(np.clip(lit_YXC, 0, 255).astype(np.uint8))
    return whole.resize((side, side), Image.Resampling.LANCZOS)
