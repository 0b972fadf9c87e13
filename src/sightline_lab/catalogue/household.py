"""Drawings of things for the house."""

from sightline_lab.catalogue.canvas import Canvas, Paint, curve, oval, rectangle
from sightline_lab.catalogue.look import METAL, Look, heart, lighter, scaled


def mug(canvas: Canvas, look: Look) -> None:
    half, top, bottom = look.between(0.22, 0.28), look.between(0.24, 0.32), look.between(0.76, 0.82)
    taper = look.between(-0.02, 0.06)
    middle, deep = 0.44, 0.05
    right = middle + half
    size = look.between(0.10, 0.15)
    ring = oval((right - 0.01, (top + bottom) / 2), (size + 0.05, size + 0.04), -100, 100)
    canvas.line(ring, 0.045, look.plain(0.95))
    side = [(middle - half, top), *oval((middle, bottom - deep), (half - taper, deep), 180, 0), (right, top)]
    canvas.fill(side, look.main(round=True))
    canvas.ellipse((middle, top), (half, deep), look.plain())
    inside = Paint(scaled(lighter(look.product.shade.rgb, 0.4), 0.75), look.product.material)
    canvas.ellipse((middle, top), (half * 0.92, deep * 0.8), inside)
    if look.has("lid"):
        canvas.fill(oval((middle, top - 0.01), (half * 1.02, deep * 1.3), 180, 360)
                    + oval((middle, top), (half * 1.02, deep), 0, 180),
                    look.part("lid", "plastic"))  # fmt: skip
        canvas.ellipse((middle, top - 0.07), (0.04, 0.03), look.part("lid", "plastic"))
    if look.has("heart print"):
        canvas.fill(heart((middle, (top + bottom) / 2 + 0.02), 0.10), look.part("heart print"))


def chair(canvas: Canvas, look: Look) -> None:
    seat, wide, top = look.between(0.54, 0.60), look.between(0.40, 0.48), look.between(0.08, 0.14)
    thick, lean = look.between(0.026, 0.04), look.between(0.02, 0.05)
    left, right = 0.5 - wide / 2, 0.5 + wide / 2
    post, dark = look.plain(), look.plain(0.8)
    for x in (left + 0.07, right - 0.07):
        canvas.line([(x, seat), (x, 0.86)], thick * 0.9, dark)
    if look.has("slats"):
        slats = look.count("slats")
        for number in range(slats):
            x = left + 0.02 + (number + 1) * (wide - 0.04) / (slats + 1)
            canvas.line([(x, top + 0.04), (x, seat - 0.02)], thick * 0.7, dark)
    else:
        canvas.fill(curve(rectangle(left + 0.02, top + 0.02, right - 0.02, seat - 0.12), rounds=2), dark)
    for x in (left, right):
        canvas.line([(x, top), (x, seat)], thick, post)
    canvas.line([(left, top + 0.02), (right, top + 0.02)], thick * 1.6, post)
    front = seat + 0.08
    canvas.fill([(left + 0.01, seat - 0.02), (right - 0.01, seat - 0.02), (right + lean, front),
                 (left - lean, front)], post)  # fmt: skip
    canvas.fill(rectangle(left - lean, front, right + lean, front + 0.03), dark)
    for x, side in ((left - lean + 0.02, -1), (right + lean - 0.02, 1)):
        canvas.line([(x, front + 0.02), (x + side * 0.01, 0.93)], thick, post)
    if look.has("seat cushion"):
        shape = [(left + 0.01, seat - 0.045), (right - 0.01, seat - 0.045),
                 (right + lean - 0.01, front - 0.005),
                 (left - lean + 0.01, front - 0.005)]  # fmt: skip
        canvas.fill(curve(shape, rounds=2), look.part("seat cushion", "cotton"))
    if look.has("armrests"):
        for x, side in ((left, -1), (right, 1)):
            canvas.line([(x, seat - 0.20), (x + side * 0.07, seat - 0.17)], thick, post)
            canvas.line([(x + side * 0.07, seat - 0.17), (x + side * 0.05, front)], thick * 0.8, post)


def lamp(canvas: Canvas, look: Look) -> None:
    top, wide, narrow = look.between(0.10, 0.16), look.between(0.24, 0.32), look.between(0.10, 0.20)
    rim, foot, belly = look.between(0.42, 0.50), look.between(0.14, 0.20), look.between(0.05, 0.13)
    left = [(0.48, rim - 0.02), (0.48, rim + 0.06), (0.5 - belly, 0.66), (0.5 - belly * 0.8, 0.76),
            (0.46, 0.84),
            (0.46, 0.84)]  # fmt: skip
    canvas.fill(curve(left + [(1 - x, y) for x, y in reversed(left)]), look.main(round=True))
    canvas.ellipse((0.5, 0.86), (foot, 0.035), look.plain(0.9, round=True))
    shade = look.part("lampshade", "linen", round=True)
    canvas.fill([(0.5 - narrow, top), *oval((0.5, rim), (wide, 0.035), 180, 0), (0.5 + narrow, top)], shade)
    canvas.ellipse((0.5, top), (narrow, 0.018), Paint(lighter(shade.rgb, 0.5)))
    if look.has("pull cord"):
        x = 0.5 + wide * 0.55
        canvas.line([(x, rim + 0.02), (x, rim + 0.16)], 0.008, METAL)
        canvas.ellipse((x, rim + 0.17), (0.014, 0.018), METAL)


def bottle(canvas: Canvas, look: Look) -> None:
    half, shoulder, neck = look.between(0.12, 0.17), look.between(0.30, 0.40), look.between(0.06, 0.10)
    top, bottom = 0.20, 0.90
    if look.has("carry loop"):
        canvas.line(oval((0.5, top - 0.05), (0.07, 0.075), 150, 390), 0.018, look.plain(0.75))
    left = [(0.5 - neck, top), (0.5 - neck, top), (0.5 - neck, top + 0.06), (0.5 - half, shoulder),
            (0.5 - half, 0.6), (0.5 - half, bottom), (0.5 - half, bottom), (0.5, bottom + 0.015)]  # fmt: skip
    canvas.fill(curve(left + [(1 - x, y) for x, y in reversed(left[:-1])]), look.main(round=True))
    cap = look.part("cap", "plastic", round=True)
    wide = neck + 0.012
    canvas.fill(curve(rectangle(0.5 - wide, top - 0.075, 0.5 + wide, top + 0.02), rounds=2), cap)
    if look.has("label"):
        label = look.part("label", round=True)
        canvas.fill(rectangle(0.5 - half, 0.55, 0.5 + half, 0.74), label)
        ink = scaled(label.rgb, 0.45) if sum(label.rgb) > 300 else lighter(label.rgb, 0.6)
        for row, reach in enumerate((0.7, 0.5, 0.6)):
            y = 0.60 + row * 0.045
            canvas.line([(0.5 - half * reach, y), (0.5 + half * reach, y)], 0.012, Paint(ink))


def vase(canvas: Canvas, look: Look) -> None:
    lip, neck, belly = look.between(0.07, 0.13), look.between(0.04, 0.09), look.between(0.15, 0.26)
    top, waist, foot = look.between(0.36, 0.42), look.between(0.60, 0.70), look.between(0.08, 0.15)
    stems = look.count("flowers")
    for number in range(stems):
        lean = (number - (stems - 1) / 2) * 0.13
        tip = (0.5 + lean * 1.3, 0.16 + abs(lean) * 0.5)
        canvas.line([(0.5 + lean * 0.2, top + 0.05), tip], 0.014, Paint((70, 120, 60)))
        for petal in range(6):
            around = oval(tip, (0.045, 0.045), petal * 60, petal * 60 + 1)[0]
            canvas.ellipse(around, (0.03, 0.03), look.part("flowers"))
        center = (
            (250, 214, 60)
            if look.part("flowers").rgb[2] < 200 or sum(look.part("flowers").rgb) > 700
            else (90, 60, 30)
        )
        canvas.ellipse(tip, (0.024, 0.024), Paint(center))
    if look.has("handles"):
        for side in (-1, 1):
            x = 0.5 + side * (neck + 0.02)
            loop = [(x, top + 0.07), (x + side * 0.14, top + 0.06), (0.5 + side * (belly + 0.06),
                    waist - 0.12),
                    (0.5 + side * belly * 0.95, waist - 0.04)]  # fmt: skip
            canvas.line(curve(loop, closed=False), 0.03, look.plain(0.85))
    left = [(0.5 - lip, top), (0.5 - lip, top), (0.5 - neck, top + 0.07), (0.5 - belly, waist - 0.06),
            (0.5 - belly, waist + 0.05), (0.5 - foot, 0.90), (0.5 - foot, 0.90), (0.5, 0.91)]  # fmt: skip
    canvas.fill(curve(left + [(1 - x, y) for x, y in reversed(left[:-1])]), look.main(round=True))
    canvas.ellipse((0.5, top + 0.01), (lip * 0.9, 0.018), look.plain(0.5))


def teapot(canvas: Canvas, look: Look) -> None:
    wide, tall = look.between(0.22, 0.27), look.between(0.19, 0.25)
    y = 0.60
    spout = [(0.5 - wide * 0.7, y + 0.06), (0.5 - wide - 0.06, y - 0.02), (0.14, y - tall + 0.02),
             (0.10, y - tall - 0.01), (0.10, y - tall - 0.01), (0.17, y - tall - 0.02),
             (0.5 - wide - 0.02, y - 0.13), (0.5 - wide * 0.6, y - 0.09)]  # fmt: skip
    canvas.fill(curve(spout), look.plain(0.92))
    ring = oval((0.5 + wide - 0.01, y - 0.02), (0.15, tall * 0.75), -105, 105)
    canvas.line(ring, 0.042, look.plain(0.9))
    canvas.ellipse((0.5, y + tall - 0.01), (wide * 0.55, 0.03), look.plain(0.75))
    canvas.ellipse((0.5, y), (wide, tall), look.main(round=True))
    lid = look.part("lid", look.product.material)
    canvas.fill(oval((0.5, y - tall * 0.86), (wide * 0.55, 0.07), 180, 360)
                + oval((0.5, y - tall * 0.86), (wide * 0.55, 0.025), 0, 180), lid)  # fmt: skip
    canvas.ellipse((0.5, y - tall * 0.86 - 0.085), (0.03, 0.028), lid)
