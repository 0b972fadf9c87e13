"""A product -> its picture, as a shop shows it: white ground, the thing in the middle."""

import io

import numpy as np
from PIL import Image, ImageEnhance

from sightline_lab.catalogue import clothes, household, shoes_bags
from sightline_lab.catalogue.canvas import Canvas, Pose
from sightline_lab.catalogue.look import Look
from sightline_lab.catalogue.products import Product, generator

DRAWINGS = {
    "sneaker": shoes_bags.sneaker, "boot": shoes_bags.boot, "sandal": shoes_bags.sandal,
    "pump": shoes_bags.pump, "handbag": shoes_bags.handbag, "backpack": shoes_bags.backpack,
    "watch": shoes_bags.watch, "sunglasses": shoes_bags.sunglasses, "cap": shoes_bags.cap,
    "umbrella": shoes_bags.umbrella, "t-shirt": clothes.t_shirt, "shirt": clothes.shirt,
    "sweater": clothes.sweater, "dress": clothes.dress, "skirt": clothes.skirt,
    "trousers": clothes.trousers, "shorts": clothes.shorts, "jacket": clothes.jacket,
    "cushion": clothes.cushion, "mug": household.mug, "chair": household.chair, "lamp": household.lamp,
    "bottle": household.bottle, "vase": household.vase, "teapot": household.teapot,
}  # fmt: skip
FACING = {"sneaker", "boot", "sandal", "pump", "cap", "mug", "teapot"}  # their mirror image sells as well
SIDES = (0.875, 1.25)  # of the asked size


def picture(seed: int, product: Product, side: int) -> bytes:
    """The JPEG of an item, `side` pixels wide more or less."""
    if product.copy_of is None:
        rng = generator(seed, product.number, 2)
        return encoded(drawn(seed, product, round(side * rng.uniform(*SIDES))), int(rng.integers(84, 95)))
    rng = generator(seed, product.copy_of, 2)
    original = drawn(seed, product, round(side * rng.uniform(*SIDES)))
    return _changed(original, product.change, generator(seed, product.number, 3))


def drawn(seed: int, product: Product, side: int) -> Image.Image:
    """The picture of a product, RGB [side, side]; its shape and pose are those of its design."""
    rng = generator(seed, product.design, 1)
    pose = Pose(
        scale=float(rng.uniform(0.86, 1.0)),
        turn=float(rng.uniform(-4, 4)),
        mirrored=bool(product.kind in FACING and rng.random() < 0.5),
        shift=(float(rng.uniform(-0.015, 0.015)), float(rng.uniform(-0.015, 0.015))),
    )
    look = Look(product, rng, pitch=float(rng.uniform(0.05, 0.12)), slant=int(rng.integers(3)))
    canvas = Canvas(side, pose)
    DRAWINGS[product.kind](canvas, look)
    return canvas.finish()


def encoded(image: Image.Image, quality: int) -> bytes:
    """The picture as a JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def _changed(image: Image.Image, change: str, rng: np.random.Generator) -> bytes:
    """A true copy: what becomes of a picture that is taken over by another seller."""
    quality = int(rng.integers(80, 92))
    if change == "re-encoded":
        quality = int(rng.integers(55, 80))
    elif change == "rescaled":
        side = round(image.width * float(rng.choice((0.7, 0.8, 1.2, 1.3))))
        image = image.resize((side, side), Image.Resampling.BICUBIC)
    elif change == "shifted":
        limit = max(2, image.width // 40)
        moved = Image.new("RGB", image.size, (255, 255, 255))
        moved.paste(image, (int(rng.integers(-limit, limit + 1)), int(rng.integers(1, limit + 1))))
        image = moved
    else:
        image = ImageEnhance.Brightness(image).enhance(float(rng.choice((0.9, 0.94, 1.06, 1.1))))
    return encoded(image, quality)
