"""Drawings of clothes, lying flat."""

from sightline_lab.catalogue.canvas import Canvas, Paint, curve, mirrored, oval, rectangle
from sightline_lab.catalogue.look import METAL, Look, buckle, button, scaled, star


def _top(canvas: Canvas, look: Look, sleeve: float, hem: float, neck: float) -> None:
    """A body with two sleeves; `sleeve` is how far down they reach, `neck` how deep the opening is."""
    shoulder, waist = look.between(0.26, 0.30), look.between(0.27, 0.31)
    top = 0.20
    cuff_out = 0.08 + (0.0 if sleeve > 0.5 else 0.02)
    arm = [(shoulder, top), (cuff_out, sleeve), (cuff_out, sleeve), (cuff_out + 0.10, sleeve + 0.04),
           (cuff_out + 0.10, sleeve + 0.04), (shoulder + 0.03, top + 0.22)]  # fmt: skip
    for side in (arm, mirrored(arm)):
        canvas.fill(curve(side, rounds=2), look.main())
    left = [(0.40, top - 0.04), (0.40, top - 0.04), (shoulder, top), (shoulder + 0.005, top + 0.2),
            (waist, hem),
            (waist, hem)]  # fmt: skip
    opening = [
        (0.60, top - 0.04),
        (0.56, top - 0.04 + neck),
        (0.5, top - 0.03 + neck),
        (0.44, top - 0.04 + neck),
    ]
    body = left + [(1 - x, y) for x, y in reversed(left)] + opening
    canvas.fill(curve(body, rounds=2), look.main())
    canvas.line([(waist + 0.01, hem - 0.02), (0.99 - waist, hem - 0.02)], 0.006, look.plain(0.7))
    for x in (cuff_out + 0.01, 1 - cuff_out - 0.11):
        low = (0.0, 0.035) if x < 0.5 else (0.035, 0.0)
        canvas.seam([(x, sleeve - 0.02 + low[0]), (x + 0.10, sleeve - 0.02 + low[1])], look.seam)


def t_shirt(canvas: Canvas, look: Look) -> None:
    neck = look.between(0.05, 0.08)
    _top(canvas, look, look.between(0.38, 0.44), look.between(0.80, 0.86), neck)
    ring = curve(
        [(0.40, 0.16), (0.44, 0.16 + neck), (0.5, 0.17 + neck), (0.56, 0.16 + neck), (0.60, 0.16)], False
    )
    canvas.line(ring, 0.022, look.plain(0.82))
    if look.has("chest pocket"):
        canvas.fill(rectangle(0.56, 0.34, 0.67, 0.46), look.part("chest pocket", look.product.material))
        canvas.seam([(0.56, 0.365), (0.67, 0.365)], look.seam)
    if look.has("star print"):
        y = 0.60 if look.has("chest pocket") else 0.50
        canvas.fill(star((0.5, y), 0.10), look.part("star print"))


def shirt(canvas: Canvas, look: Look) -> None:
    hem = look.between(0.82, 0.88)
    _top(canvas, look, look.between(0.62, 0.74), hem, 0.06)
    canvas.fill(rectangle(0.485, 0.22, 0.515, hem - 0.005), look.plain(0.88))
    for side in (1, -1):
        wing = [(0.5, 0.235), (0.5 - side * 0.10, 0.14), (0.5 - side * 0.13, 0.20), (0.5 - side * 0.07, 0.29)]
        canvas.fill(wing, look.plain(0.94))
    buttons = look.count("buttons")
    for number in range(buttons):
        y = 0.30 + number * (hem - 0.37) / (buttons - 1)
        button(canvas, (0.5, y), look.part("buttons", "plastic"), 0.013)
    for x in (0.56, 0.34)[: look.count("chest pockets")]:
        pocket = [(x, 0.36), (x + 0.10, 0.36), (x + 0.10, 0.46), (x + 0.05, 0.485), (x, 0.46)]
        canvas.fill(pocket, look.plain(0.9))
        canvas.seam([(x, 0.385), (x + 0.10, 0.385)], look.seam)


def sweater(canvas: Canvas, look: Look) -> None:
    hem = look.between(0.78, 0.84)
    _top(canvas, look, look.between(0.66, 0.76), hem, 0.05)
    waist = 0.295
    canvas.fill(rectangle(waist, hem - 0.06, 1 - waist, hem), look.plain(0.85))
    for rib in range(16):
        x = waist + 0.01 + rib * (1 - 2 * waist - 0.02) / 15
        canvas.seam([(x, hem - 0.055), (x, hem - 0.005)], look.seam)
    if look.has("turtleneck"):
        canvas.fill(curve(rectangle(0.405, 0.09, 0.595, 0.22), rounds=2), look.plain(0.9))
        canvas.seam([(0.42, 0.15), (0.58, 0.15)], look.seam)
    else:
        ring = curve([(0.40, 0.16), (0.44, 0.21), (0.5, 0.22), (0.56, 0.21), (0.60, 0.16)], False)
        canvas.line(ring, 0.03, look.plain(0.85))
    if look.has("zip"):
        canvas.line([(0.5, 0.22), (0.5, 0.42)], 0.016, METAL)
        canvas.line([(0.5, 0.42), (0.5, 0.45)], 0.024, METAL)
    if look.has("elbow patches"):
        for x in (0.175, 0.825):
            canvas.ellipse((x, 0.50), (0.036, 0.065), look.part("elbow patches", "suede"))


def dress(canvas: Canvas, look: Look) -> None:
    waist, flare, hem = look.between(0.35, 0.38), look.between(0.14, 0.24), look.between(0.82, 0.92)
    line, neck = look.between(0.40, 0.46), look.between(0.06, 0.12)
    if look.has("sleeves"):
        arm = [(0.34, 0.13), (0.20, 0.30), (0.20, 0.30), (0.28, 0.35), (0.28, 0.35), (0.37, 0.26)]
        for side in (arm, mirrored(arm)):
            canvas.fill(curve(side, rounds=2), look.main())
    left = [(0.42, 0.10), (0.42, 0.10), (0.345, 0.12), (0.36, 0.24), (waist, line),
            (waist - 0.02, line + 0.04),
            (flare, hem), (flare, hem), (0.5, hem + 0.02)]  # fmt: skip
    opening = [(0.58, 0.10), (0.55, 0.10 + neck), (0.5, 0.11 + neck), (0.45, 0.10 + neck)]
    body = left + [(1 - x, y) for x, y in reversed(left[:-1])] + opening
    canvas.fill(curve(body, rounds=2), look.main())
    for fold in (0.30, 0.42, 0.58, 0.70):
        x = 0.5 + (fold - 0.5) * (0.5 - flare) * 2.4
        canvas.seam([(0.5 + (fold - 0.5) * 0.5, line + 0.08), (x, hem - 0.02)], look.seam)
    if look.has("belt"):
        canvas.line([(waist + 0.005, line), (0.995 - waist, line)], 0.035, look.part("belt", "leather"))
        buckle(canvas, (0.5, line), 0.026)
    buttons = look.count("buttons")
    for number in range(buttons):
        top = 0.14 + neck
        y = top + number * (line - 0.05 - top) / (buttons - 1)
        button(canvas, (0.5, y), look.part("buttons", "plastic"), 0.013)


def skirt(canvas: Canvas, look: Look) -> None:
    waist, flare, hem = look.between(0.32, 0.36), look.between(0.12, 0.24), look.between(0.70, 0.88)
    top = 0.18
    left = [
        (waist, top),
        (waist, top),
        (waist - 0.05, top + 0.12),
        (flare, hem),
        (flare, hem),
        (0.5, hem + 0.02),
    ]
    canvas.fill(curve(left + [(1 - x, y) for x, y in reversed(left[:-1])], rounds=2), look.main())
    for fold in range(1, 6):
        share = fold / 6
        canvas.seam([(waist + share * (1 - 2 * waist), top + 0.08), (flare + share * (1 - 2 * flare),
        hem - 0.01)],
                    look.seam)  # fmt: skip
    canvas.line([(waist + 0.005, top + 0.02), (0.995 - waist, top + 0.02)], 0.04, look.plain(0.85))
    if look.has("belt"):
        canvas.line([(waist, top + 0.02), (1 - waist, top + 0.02)], 0.05, look.part("belt", "leather"))
        buckle(canvas, (0.5, top + 0.02), 0.034)
    buttons = look.count("buttons")
    for number in range(buttons):
        y = top + 0.12 + number * (hem - top - 0.2) / (buttons - 1)
        button(canvas, (0.5, y), look.part("buttons", "plastic"), 0.016)


def _legs(canvas: Canvas, look: Look, hem: float, foot: float) -> float:
    """Two legs from the waist to the hem; the waist's left end."""
    waist, top = look.between(0.33, 0.36), 0.10
    leg = [(waist, top), (waist, top), (0.5, top), (0.5, top), (0.5, top + 0.24), (0.485, top + 0.26),
           (0.47, hem), (0.47, hem), (0.47 - foot, hem), (0.47 - foot, hem),
           (waist - 0.035, top + 0.2)]  # fmt: skip
    for side in (leg, mirrored(leg)):
        canvas.fill(curve(side, rounds=2), look.main())
    canvas.line([(waist + 0.005, top + 0.015), (0.995 - waist, top + 0.015)], 0.035, look.plain(0.88))
    canvas.seam(curve([(0.5, top + 0.03), (0.5, top + 0.2), (0.515, top + 0.24)], closed=False), look.seam)
    if look.has("pockets"):
        for side in (-1, 1):
            x = 0.5 + side * (0.5 - waist)
            edge = [
                (x - side * 0.07, top + 0.04),
                (x - side * 0.03, top + 0.10),
                (x + side * 0.02, top + 0.12),
            ]
            canvas.line(curve(edge, closed=False), 0.009, Paint(look.seam))
    if look.has("belt"):
        canvas.line([(waist, top + 0.015), (1 - waist, top + 0.015)], 0.038, look.part("belt", "leather"))
        buckle(canvas, (0.5, top + 0.015), 0.028)
    return waist


def trousers(canvas: Canvas, look: Look) -> None:
    hem, foot = look.between(0.86, 0.93), look.between(0.10, 0.20)
    _legs(canvas, look, hem, foot)
    if look.has("turn-ups"):
        for left in (0.47 - foot, 0.53):
            canvas.fill(rectangle(left - 0.006, hem - 0.045, left + foot + 0.006, hem), look.plain(0.82))


def shorts(canvas: Canvas, look: Look) -> None:
    hem = look.between(0.50, 0.66)
    canvas.pose = canvas.pose.moved(0.12)
    _legs(canvas, look, hem, look.between(0.19, 0.24))
    if look.has("drawstring"):
        for end in ((0.46, 0.28), (0.54, 0.27)):
            canvas.line(curve([(0.5, 0.12), (0.5 + (end[0] - 0.5) * 0.4, 0.2), end], closed=False), 0.014,
                        look.part("drawstring"))  # fmt: skip


def jacket(canvas: Canvas, look: Look) -> None:
    hem = look.between(0.78, 0.86)
    if look.has("hood"):
        canvas.fill(
            curve([(0.36, 0.24), (0.36, 0.10), (0.5, 0.04), (0.64, 0.10), (0.64, 0.24)]), look.plain(0.85)
        )
        canvas.ellipse((0.5, 0.17), (0.09, 0.09), look.plain(0.55))
    _top(canvas, look, look.between(0.68, 0.76), hem, 0.07)
    for side in (1, -1):
        wing = [(0.5, 0.26), (0.5 - side * 0.10, 0.15), (0.5 - side * 0.14, 0.22), (0.5 - side * 0.05, 0.32)]
        canvas.fill(wing, look.plain(0.86))
    if look.has("zip"):
        canvas.line([(0.5, 0.26), (0.5, hem - 0.01)], 0.02, look.part("zip", "metal"))
        canvas.line([(0.5, 0.30), (0.5, 0.35)], 0.03, METAL)
    else:
        canvas.line([(0.5, 0.26), (0.5, hem - 0.01)], 0.01, Paint(look.seam))
    pockets = look.count("pockets")
    for number, (x, y) in enumerate(((0.335, 0.60), (0.545, 0.60), (0.345, 0.36), (0.545, 0.36))):
        if number < pockets:
            canvas.fill(rectangle(x, y, x + 0.12, y + 0.12), look.plain(0.9))
            canvas.fill([(x - 0.005, y), (x + 0.125, y), (x + 0.125, y + 0.03), (x + 0.06, y + 0.05),
                         (x - 0.005, y + 0.03)], look.plain(0.78))  # fmt: skip
    canvas.fill(rectangle(0.30, hem - 0.035, 0.70, hem), Paint(scaled(look.product.shade.rgb, 0.8), "wool"))


def cushion(canvas: Canvas, look: Look) -> None:
    half, tall = look.between(0.30, 0.38), look.between(0.24, 0.36)
    left, right, top, bottom = 0.5 - half, 0.5 + half, 0.5 - tall, 0.5 + tall
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    outline = []
    for number, (x, y) in enumerate(corners):
        after = corners[(number + 1) % 4]
        outline += [(x, y), (x, y), ((x + after[0]) / 2 * 0.96 + 0.02, (y + after[1]) / 2 * 0.96 + 0.02)]
    shape = curve(outline)
    if look.has("tassels"):
        for x, y in corners:
            away = (x + (x - 0.5) * 0.22, y + (y - 0.5) * 0.22)
            canvas.line([(x, y), away], 0.045, look.part("tassels", "wool"))
    canvas.fill(shape, look.main())
    if look.has("piping"):
        canvas.line([*shape, shape[0]], 0.016, look.part("piping"))
    if look.has("button"):
        canvas.ellipse((0.5, 0.5), (0.05, 0.045), look.plain(0.7))
        canvas.ellipse((0.5, 0.5), (0.034, 0.034), look.part("button"))
        canvas.seam(oval((0.5, 0.5), (0.01, 0.01)), look.seam)
