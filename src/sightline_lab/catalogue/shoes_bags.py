"""Drawings of shoes, bags and what is worn beside clothes. Shoes show their toe to the left."""

from sightline_lab.catalogue.canvas import Canvas, Paint, curve, oval, rectangle
from sightline_lab.catalogue.look import DARK, METAL, Look, buckle, lighter, scaled, star


def sneaker(canvas: Canvas, look: Look) -> None:
    ankle, toe, length = look.between(0.28, 0.40), look.between(0.50, 0.58), look.between(0.06, 0.12)
    sole, high = look.between(0.05, 0.09), look.between(0.60, 0.68)
    left, right, ground = length, 1 - length, 0.74
    top = [(right - 0.02, ankle - 0.03), (high, ankle + 0.03)]
    tongue = [(high - 0.10, ankle - 0.06), (high - 0.02, ankle - 0.08), (high + 0.03, ankle + 0.06),
              (high - 0.09, ankle + 0.08)]  # fmt: skip
    canvas.fill(curve(tongue), look.plain(0.8))
    body = [(left + 0.02, ground - 0.02), (left + 0.01, toe + 0.10), (left + 0.10, toe),
            (high - 0.22, toe - 0.04), (high - 0.08, ankle + 0.04),
            top[1], top[1], (right - 0.10, ankle + 0.07),
            top[0], top[0], (right + 0.01, ankle + 0.12), (right - 0.01, ground - 0.02)]  # fmt: skip
    canvas.fill(curve(body), look.main())
    bottom = ground + sole
    canvas.fill(
        curve([(left - 0.01, ground - 0.03), (left - 0.01, ground - 0.03), (0.5, ground - 0.015),
               (right + 0.01, ground - 0.04), (right + 0.01, ground - 0.04), (right + 0.02, bottom),
               (right - 0.03, bottom + 0.01), (left + 0.05, bottom + 0.01), (left - 0.02, bottom - 0.02)]),
        look.part("sole", "rubber"),
    )  # fmt: skip
    canvas.seam(curve([(left + 0.02, toe + 0.13), (left + 0.12, toe + 0.09), (left + 0.17, ground - 0.02)],
                      closed=False), look.seam)  # fmt: skip
    for stripe in range(look.count("side stripes")):
        x = high - 0.14 + stripe * 0.055
        canvas.line([(x, ground - 0.05), (x + 0.09, toe - 0.01)], 0.024, look.part("side stripes"))
    if look.has("laces"):
        for row in range(4):
            x, y = high - 0.06 - row * 0.045, ankle + 0.06 + row * (toe - ankle - 0.02) / 4
            canvas.line([(x - 0.035, y + 0.02), (x + 0.05, y + 0.035)], 0.016, look.part("laces"))


def boot(canvas: Canvas, look: Look) -> None:
    top, width, toe = look.between(0.10, 0.26), look.between(0.24, 0.30), look.between(0.56, 0.62)
    back, sole = look.between(0.74, 0.80), look.between(0.04, 0.07)
    front, ground = back - width, 0.82
    left = look.between(0.14, 0.2)
    shaft = [(front - 0.01, top), (front - 0.01, top), (back + 0.02, top), (back + 0.02, top), (back, 0.5),
             (back + 0.02, ground), (back + 0.02, ground), (left, ground), (left, ground),
             (left + 0.01, toe + 0.06), (left + 0.12, toe), (front - 0.04, toe - 0.06),
             (front, 0.46)]  # fmt: skip
    canvas.fill(curve(shaft), look.main())
    canvas.fill(
        [(left - 0.01, ground - 0.01), (back + 0.03, ground - 0.01), (back + 0.03, ground + sole + 0.025),
         (back - 0.13, ground + sole + 0.025), (back - 0.15, ground + sole), (left + 0.01, ground + sole)],
        look.part("sole", "rubber"),
    )  # fmt: skip
    canvas.line([(front - 0.01, top + 0.02), (back + 0.02, top + 0.02)], 0.02, look.plain(0.75))
    if look.has("laces"):
        for row in range(5):
            y = top + 0.08 + row * 0.07
            lean = max(0.0, y - 0.42) * 0.4
            canvas.line(
                [(front + 0.01 - lean, y), (front + 0.10 - lean, y + 0.02)], 0.016, look.part("laces")
            )
    if look.has("zip"):
        canvas.line([(back - 0.09, top + 0.04), (back - 0.09, ground - 0.06)], 0.02, METAL)
        canvas.line([(back - 0.09, top + 0.04), (back - 0.09, top + 0.09)], 0.028, METAL)
    for row in range(look.count("buckles")):
        y = top + 0.14 + row * 0.16
        canvas.line([(front - 0.005, y), (back + 0.01, y)], 0.035, look.plain(0.7))
        buckle(canvas, (front + 0.06, y), 0.026)


def sandal(canvas: Canvas, look: Look) -> None:
    ground, wedge = look.between(0.70, 0.76), look.between(0.03, 0.10)
    arch = look.between(0.30, 0.38)
    for strap in range(look.count("straps")):
        x = 0.20 + strap * 0.155
        width, rise = look.between(0.05, 0.07), arch - 0.12 + strap * 0.03
        band = oval((x + 0.05, ground - 0.02), (0.10, max(0.12, rise)), 180, 360)
        inner = oval((x + 0.05, ground - 0.02), (0.10 - width, max(0.12, rise) - width), 360, 180)
        canvas.fill(band + inner, look.main())
    heel = [(0.80, ground - 0.02), (0.84, ground - arch), (0.90, ground - arch), (0.91, ground - 0.02)]
    canvas.fill(curve(heel), look.main())
    canvas.line(
        curve([(0.86, ground - arch + 0.03), (0.74, ground - arch - 0.03), (0.64, ground - arch + 0.04),
               (0.60, ground - 0.02)], closed=False), 0.04, look.main(),
    )  # fmt: skip
    if look.has("buckle"):
        buckle(canvas, (0.72, ground - arch + 0.005), 0.032)
    sole = [(0.08, ground - 0.03), (0.08, ground - 0.03), (0.5, ground - 0.01), (0.93, ground - 0.05),
            (0.93, ground - 0.05), (0.93, ground + wedge), (0.93, ground + wedge),
            (0.55, ground + wedge * 0.6),
            (0.12, ground + 0.035), (0.06, ground)]  # fmt: skip
    canvas.fill(curve(sole), look.part("sole", "rubber"))


def pump(canvas: Canvas, look: Look) -> None:
    heel, toe = look.between(0.18, 0.34), look.between(0.06, 0.14)
    back, thin = look.between(0.84, 0.9), look.between(0.018, 0.05)
    ground = 0.78
    up = ground - heel
    body = [(toe, ground - 0.01), (toe, ground - 0.01), (toe + 0.10, ground - 0.10),
            (toe + 0.26, ground - 0.17),
            (toe + 0.34, ground - 0.13), (back - 0.22, up - 0.02), (back - 0.10, up - 0.12),
            (back, up - 0.15),
            (back + 0.01, up - 0.13), (back + 0.02, up + 0.04), (back + 0.02, up + 0.06),
            (back - 0.18, up + 0.10), (toe + 0.40, ground - 0.01), (toe + 0.30, ground)]  # fmt: skip
    canvas.fill(
        curve([(back - 0.11, up + 0.02), (back + 0.02, up), (back + 0.02, up), (back, ground), (back, ground),
               (back - thin, ground), (back - thin, ground), (back - thin - 0.015, up + 0.13)]),
        look.plain(0.85),
    )  # fmt: skip
    canvas.fill(curve(body), look.main())
    if look.has("ankle strap"):
        ring = curve(
            [(back - 0.01, up - 0.12), (back - 0.12, up - 0.22), (back - 0.24, up - 0.13)], closed=False
        )
        canvas.line(ring, 0.022, look.plain(0.9))
        canvas.line([(back - 0.01, up - 0.12), (back - 0.24, up - 0.13)], 0.022, look.plain(0.9))
    if look.has("bow"):
        x, y = toe + 0.25, ground - 0.155
        for side in (-1, 1):
            wing = [(x, y), (x + side * 0.08, y - 0.05), (x + side * 0.08, y + 0.04)]
            canvas.fill(curve(wing, rounds=2), look.part("bow"))
        canvas.ellipse((x, y), (0.018, 0.022), look.part("bow"))


def handbag(canvas: Canvas, look: Look) -> None:
    top, flare, bottom = look.between(0.40, 0.48), look.between(-0.05, 0.06), look.between(0.80, 0.88)
    left = look.between(0.14, 0.22)
    reach = look.between(0.16, 0.28)
    for handle in range(look.count("handles")):
        grip = oval((0.5 + 0.03 * handle, top + 0.02), (0.20, reach + 0.02 - 0.05 * handle), 180, 360)
        canvas.line(grip, 0.032, look.plain(0.7 + 0.15 * handle))
    body = [(left, top), (left, top), (1 - left, top), (1 - left, top), (1 - left + flare, bottom - 0.03),
            (1 - left + flare, bottom), (0.5, bottom + 0.01), (left - flare, bottom),
            (left - flare, bottom - 0.03)]  # fmt: skip
    canvas.fill(curve(body), look.main())
    canvas.line([(left + 0.01, top + 0.02), (0.99 - left, top + 0.02)], 0.03, look.plain(0.8))
    canvas.seam([(left + 0.03, top + 0.07), (left + 0.02 - flare, bottom - 0.04), (0.98 - left + flare,
                bottom - 0.04), (0.97 - left, top + 0.07)], look.seam)  # fmt: skip
    if look.has("clasp"):
        canvas.fill(rectangle(0.455, top + 0.02, 0.545, top + 0.13), look.plain(0.8))
        canvas.fill(rectangle(0.475, top + 0.07, 0.525, top + 0.115), METAL)
    if look.has("tassel"):
        x = 1 - left - 0.10
        canvas.line([(x, top + 0.01), (x, top + 0.12)], 0.01, look.part("tassel"))
        canvas.ellipse((x, top + 0.13), (0.022, 0.022), look.part("tassel"))
        canvas.fill([(x - 0.015, top + 0.14), (x + 0.015, top + 0.14), (x + 0.035, top + 0.29),
                     (x - 0.035, top + 0.29)], look.part("tassel", "wool"))  # fmt: skip


def backpack(canvas: Canvas, look: Look) -> None:
    left, top = look.between(0.20, 0.26), look.between(0.14, 0.20)
    right = 1 - left
    canvas.line(oval((0.5, top + 0.02), (0.07, 0.08), 180, 360), 0.025, look.plain(0.7))
    if look.has("side straps"):
        for x, side in ((left, -1), (right, 1)):
            strap = [(x, 0.35), (x + side * 0.08, 0.45), (x + side * 0.08, 0.68), (x, 0.80)]
            canvas.line(curve(strap, closed=False), 0.035, look.part("side straps"))
    body = [(left, 0.86), (left, 0.86), (left - 0.01, 0.4), (left + 0.06, top + 0.02), (0.5, top - 0.03),
            (right - 0.06, top + 0.02), (right + 0.01, 0.4), (right, 0.86), (right, 0.86)]  # fmt: skip
    canvas.fill(curve(body), look.main())
    if look.has("zip"):
        canvas.line(oval((0.5, 0.40), (0.5 - left - 0.03, 0.40 - top - 0.02), 180, 360), 0.016, METAL)
        canvas.line([(left + 0.035, 0.40), (left + 0.035, 0.46)], 0.024, METAL)
    pockets = look.count("front pockets")
    paint = look.part("front pockets", look.product.material)
    places = {
        1: [(left + 0.06, 0.54, right - 0.06, 0.83)],
        2: [(left + 0.06, 0.62, right - 0.06, 0.84), (left + 0.10, 0.42, right - 0.10, 0.57)],
        3: [(left + 0.03, 0.60, 0.485, 0.84), (0.515, 0.60, right - 0.03, 0.84),
            (left + 0.10, 0.40, right - 0.10, 0.55)],
    }[pockets]  # fmt: skip
    for box in places:
        x0, y0, x1, y1 = box
        canvas.fill(curve([(x0, y0), (x0, y0), (x1, y0), (x1, y0), (x1, y1), (x0, y1)]), paint)
        canvas.line([(x0 + 0.01, y0 + 0.035), (x1 - 0.01, y0 + 0.035)], 0.008, Paint(scaled(paint.rgb, 0.6)))


def watch(canvas: Canvas, look: Look) -> None:
    radius, width = look.between(0.17, 0.23), look.between(0.16, 0.22)
    square = look.rng.random() < 0.35
    half = width / 2
    for end, side in ((0.07, -1), (0.93, 1)):
        strap = [(0.5 - half, 0.5 + side * radius * 0.7), (0.5 + half, 0.5 + side * radius * 0.7),
                 (0.5 + half * 0.8, end), (0.5 - half * 0.8, end)]  # fmt: skip
        canvas.fill(strap, look.main())
        if look.product.material == "steel":
            for row in range(1, 7):
                y = 0.5 + side * (radius + (abs(end - 0.5) - radius) * row / 7)
                canvas.seam([(0.5 - half * 0.9, y), (0.5 + half * 0.9, y)], look.seam)
        else:
            for row in range(3):
                canvas.ellipse((0.5, end - side * (0.05 + 0.04 * row)), (0.008, 0.008), DARK)
    face = look.part("dial", "glass")
    canvas.line([(0.5 + radius, 0.5), (0.5 + radius + 0.035, 0.5)], 0.03, METAL)
    if square:
        canvas.fill(curve(rectangle(0.5 - radius, 0.5 - radius, 0.5 + radius, 0.5 + radius), rounds=2), METAL)
        inner = radius * 0.84
        canvas.fill(curve(rectangle(0.5 - inner, 0.5 - inner, 0.5 + inner, 0.5 + inner), rounds=2), face)
    else:
        canvas.ellipse((0.5, 0.5), (radius, radius), METAL)
        canvas.ellipse((0.5, 0.5), (radius * 0.84, radius * 0.84), face)
    ink = (240, 240, 240) if sum(face.rgb) < 380 else (30, 30, 34)
    subdials = look.count("subdials")
    for number in range(subdials):
        x, y = ((0.42, 0.5), (0.58, 0.5), (0.5, 0.58))[number]
        tone = lighter(face.rgb, 0.3) if sum(face.rgb) < 380 else scaled(face.rgb, 0.78)
        canvas.ellipse((x, y), (0.042, 0.042), Paint(tone))
        canvas.seam([(x, y), (x + 0.015, y - 0.02)], ink)
    for hour in range(12):
        x, y = oval((0.5, 0.5), (radius * 0.72, radius * 0.72), hour * 30, hour * 30 + 1)[0]
        canvas.ellipse((x, y), (0.009, 0.009), Paint(ink))
    turns = (look.between(200, 340), look.between(20, 160), look.between(80, 110))
    for hand in range(look.count("hands")):
        reach = radius * (0.45, 0.65, 0.7)[hand]
        tip = oval((0.5, 0.5), (reach, reach), turns[hand], turns[hand] + 1)[0]
        rgb = (206, 36, 42) if hand == 2 else ink
        canvas.line([(0.5, 0.5), tip], (0.022, 0.016, 0.008)[hand], Paint(rgb))
    canvas.ellipse((0.5, 0.5), (0.014, 0.014), Paint(ink))


def sunglasses(canvas: Canvas, look: Look) -> None:
    half, tall, gap = look.between(0.17, 0.20), look.between(0.11, 0.16), look.between(0.04, 0.07)
    boxy, y = look.rng.random() < 0.5, 0.5
    lens = look.part("lenses", "glass")
    for side in (-1, 1):
        temple = [(0.5 + side * (gap + 2 * half - 0.01), y - tall * 0.5),
                  (0.5 + side * (gap + 2 * half + 0.03), y - tall * 0.6),
                  (0.5 + side * (gap + 2 * half - 0.05), y - tall * 1.5)]  # fmt: skip
        canvas.line(curve(temple, closed=False), 0.022, look.plain(0.8))
    for side in (-1, 1):
        x = 0.5 + side * (gap + half)
        if boxy:
            outer = curve([(x - half, y - tall), (x - half, y - tall), (x + half, y - tall),
                           (x + half, y - tall),
                           (x + half * 0.9, y + tall), (x - half * 0.9, y + tall)])  # fmt: skip
        else:
            outer = oval((x, y), (half, tall * 1.1))
        inner = [(x + (a - x) * 0.8, y + (b - y) * 0.76) for a, b in outer]
        canvas.fill(outer, look.main())
        canvas.fill(inner, lens)
    canvas.line(
        [(0.5 - gap - 0.02, y - tall * 0.35), (0.5 + gap + 0.02, y - tall * 0.35)], 0.03, look.plain()
    )
    if look.has("top bar"):
        canvas.line([(0.5 - gap - 0.09, y - tall * 0.98), (0.5 + gap + 0.09, y - tall * 0.98)], 0.02, METAL)


def cap(canvas: Canvas, look: Look) -> None:
    tall, long = look.between(0.30, 0.40), look.between(0.24, 0.32)
    base = 0.64
    crown = [(0.38, base), (0.38, base), (0.37, base - tall * 0.7), (0.48, base - tall * 1.1),
             (0.70, base - tall * 1.1), (0.88, base - tall * 0.6), (0.90, base), (0.90, base)]  # fmt: skip
    canvas.fill(curve(crown), look.main())
    canvas.seam(
        curve([(0.60, base - tall), (0.56, base - tall * 0.5), (0.56, base)], closed=False), look.seam
    )
    canvas.ellipse((0.61, base - tall * 1.01), (0.025, 0.014), look.plain(0.8))
    peak = [(0.40, base - 0.05), (0.40, base - 0.05), (0.66, base - 0.01), (0.66, base + 0.02),
            (0.40, base + 0.03), (0.38 - long, base + 0.09), (0.37 - long, base + 0.05),
            (0.38 - long * 0.6, base - 0.02)]  # fmt: skip
    canvas.fill(curve(peak), look.part("peak", look.product.material))
    if look.has("star patch"):
        canvas.fill(star((0.47, base - tall * 0.5), 0.075), look.part("star patch"))


def umbrella(canvas: Canvas, look: Look) -> None:
    wide, top = look.between(0.36, 0.42), look.between(0.12, 0.18)
    rim, panels = 0.52, 4
    handle = look.part("handle", "wood", round=False)
    canvas.line([(0.5, 0.3), (0.5, 0.80)], 0.016, METAL)
    canvas.line([(0.5, 0.76), *oval((0.55, 0.84), (0.05, 0.06), 180, 20)], 0.035, handle)
    canvas.line([(0.5, top - 0.05), (0.5, top + 0.02)], 0.016, METAL)
    arch = oval((0.5, rim), (wide, rim - top), 180, 360)
    step = 2 * wide / panels
    scallop = []
    for panel in range(panels):
        x = 0.5 + wide - panel * step
        scallop += oval((x - step / 2, rim), (step / 2, 0.05), 0, -180)
    canvas.fill(arch + scallop, look.main())
    for panel in range(1, panels):
        x = 0.5 - wide + panel * step
        bend = curve([(0.5, top), (0.5 + (x - 0.5) * 0.8, top + 0.10), (x, rim)], closed=False)
        canvas.seam(bend, look.seam)
    if look.has("ruffled edge"):
        canvas.line(scallop, 0.028, look.part("ruffled edge"))
