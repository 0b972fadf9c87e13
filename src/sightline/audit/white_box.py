"""What can be measured of a model that lies open: a bundle, or a model of transformers whose picture stands
in its prompt.

Interventions at decoding time, on the questions about things and on descriptions: SPIN (arXiv 2505.16411)
with two controls that silence as many heads, random ones and those that attend most to the picture; VCD
(arXiv 2311.16922); PAI (arXiv 2407.21771). Each is compared with the model as it is, answer by answer. The
atlas: how much of its attention each head has on the picture. Maps: where three methods of explanation, and
noise as a control, say that a "Yes" comes from, judged by the true boxes and by what taking pixels away does.

Shapes: L layers, H heads, T answer tokens, M memory tokens, P image tokens.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from sightline.audit import answer_file, audit_figures
from sightline.audit.answer_file import Head
from sightline.audit.answerer import Identity, Reply
from sightline.audit.audit_figures import DESCRIPTIONS, EXISTENCE, Answers
from sightline.audit.audit_items import DESCRIPTION, PLAIN, Audit, Box, Request
from sightline.audit.audit_report import Record
from sightline.core import artifacts, progress
from sightline.core.params.generation import SPIN_OFF, Spin
from sightline.core.runtime import derive_seed
from sightline.data import images
from sightline.evaluate import bootstrap
from sightline.evaluate.scoring import NOT_PERCENT, Group, rounded
from sightline.explain import faithfulness, perturbation, target
from sightline.explain.target import ExplainedAnswer, ExplainedModel
from sightline.inference.decoding import contrastive
from sightline.inference.engine import GeneratedTokens, Memory
from sightline.inference.session import Session

if TYPE_CHECKING:
    from sightline.models.vlm import VLM

FILE, ANSWERS = "white-box.json", "white-box"
KEEPS, ALPHA = (0.9, 0.75, 0.5), 0.1  # of SPIN: share of heads kept, factor of the others
VCD_STRENGTH, VCD_NOISE, PLAUSIBLE = 1.0, 500, 0.1  # as published
PAI_ATTENTION, PAI_STRENGTH = 0.5, 0.1  # as published: alpha 0.5, gamma 1.1
METHODS = ("cross_attention", "grad_cam", "occlusion", "random")
MAPPED = 24  # boxes that maps are drawn for
YES = "Yes"
BATCH = 8
MAX_PIXELS = 2**25
SHOWN = {EXISTENCE: ("accuracy", "f1", "yes_rate"), DESCRIPTIONS: ("chair_i", "chair_s", "recall")}
Rule = Literal["published", "random heads", "inverse"]


@dataclass(frozen=True)
class Intervention:
    """`keep` and `rule`: of SPIN; `contrast`: what the picture's logits are contrasted with, `noise` or
    `nothing`; `amplify`: PAI's attention on the picture. Rules but the published one and `amplify` need the
    PyTorch model."""

    name: str
    keep: float | None = None
    rule: Rule = "published"
    contrast: Literal["noise", "nothing"] | None = None
    amplify: float = 0.0

    @property
    def needs_torch(self) -> bool:
        return self.rule != "published" or self.amplify > 0 or self.contrast == "nothing"


NONE = Intervention("as it is")
CONTROLS: tuple[tuple[str, Rule], ...] = (
    ("SPIN", "published"), ("random heads", "random heads"), ("inverse", "inverse")
)  # fmt: skip
INTERVENTIONS = (
    *(Intervention(f"{name}, keep {keep}", keep, rule) for keep in KEEPS for name, rule in CONTROLS),
    Intervention("VCD", contrast="noise"),
    Intervention("PAI", contrast="nothing", amplify=PAI_ATTENTION),
)


@dataclass(frozen=True)
class OpenModel:
    """`session` asks the model as it is. `with_settings(rule, amplify)` asks its PyTorch form, and `trained`
    is that; None for a bundle, whose graphs have the published rule alone."""

    identity: Identity
    session: Session
    with_settings: Callable[[Rule, float], Session] | None = None
    trained: "VLM | None" = None


class Change(Record):
    """A figure with an intervention and its difference from the model as it is, percent, with 95 %
    intervals; differences are paired."""

    intervention: str
    part: str
    kind: str
    metric: str
    n: int
    value: float
    low: float
    high: float
    change: float
    change_low: float
    change_high: float


class MapFigures(Record):
    """A method of explanation over `n` boxes, with 95 % intervals: how often a map's strongest pixel lies in
    the box of the thing that was asked about (percent), beside how often one at random would (`chance`); the
    answer's probability, as a share of that on the whole picture, while the strongest pixels are taken away
    first (deletion, lower is better) and put in first (insertion, higher is better)."""

    method: str
    n: int
    pointing: float
    pointing_low: float
    pointing_high: float
    chance: float
    deletion: float
    deletion_low: float
    deletion_high: float
    insertion: float
    insertion_low: float
    insertion_high: float


class WhiteBox(Record):
    """white-box.json. atlas: of every head of every layer, the share of its attention that is on the picture
    while answers about things are written. left_out: what could not be measured, and why."""

    version: Literal[1]
    model: Identity
    interventions: list[Change]
    atlas: list[list[float]]
    maps: list[MapFigures]
    left_out: list[str]


def run(audit: Audit, boxes: Mapping[str, Mapping[str, Sequence[Box]]], model: OpenModel, out: Path,
        answer_tokens: int) -> WhiteBox:  # fmt: skip
    """Measure into out/white-box.json. boxes: of the pictures by their digests, of each kind of thing. Every
    answer is kept in out/white-box, so that the same call goes on where it was ended."""
    wanted = {
        question.key for question in audit.asked.questions
        if question.probe == PLAIN and (audit_figures.is_poll(question) or question.type == DESCRIPTION)
    }  # fmt: skip
    requests = [request for request in audit.requests(answer_tokens) if request.key in wanted]
    if not requests:
        raise ValueError("--white-box asks about things and for descriptions, and this data has neither")
    chosen = [it for it in INTERVENTIONS if model.with_settings is not None or not it.needs_torch]
    replies, atlas = _asked(model, chosen, requests, out / ANSWERS, audit.asked.digest, answer_tokens)
    left_out = [
        f"{it.name}: the graphs of a bundle have the published rule and plain attention alone"
        for it in INTERVENTIONS
        if it not in chosen
    ]
    maps, unmapped = _maps(audit, boxes, model)
    made = WhiteBox(
        version=1, model=model.identity, interventions=_changes(audit, chosen, replies),
        atlas=[[round(float(share), 4) for share in row] for row in atlas], maps=maps,
        left_out=[*left_out, *unmapped],
    )  # fmt: skip
    artifacts.write_json(out / FILE, made.model_dump())
    return made


def _asked(
    model: OpenModel, chosen: Sequence[Intervention], requests: Sequence[Request], out: Path, asked: str,
    answer_tokens: int,
) -> tuple[dict[str, dict[str, Reply]], np.ndarray]:  # fmt: skip
    """(by intervention, the replies by the key of the request; the atlas [L, H])."""
    out.mkdir(exist_ok=True)
    head = Head(model=model.identity, asked=asked, answer_tokens=answer_tokens)
    every = [NONE, *chosen]
    with answer_file.opened(out, head) as kept, progress.step("asking", len(every) * len(requests)) as step:
        for intervention in every:
            keys = {request.key: f"{intervention.name}: {request.key}" for request in requests}
            left = [request for request in requests if keys[request.key] not in kept.replies]
            step.advance(len(requests) - len(left))
            for request, text in _texts(model, intervention, left):
                kept.add(keys[request.key], Reply(text=text))
                step.advance()
        replies = {
            it.name: {request.key: kept.replies[f"{it.name}: {request.key}"] for request in requests}
            for it in every
        }
    polls = [request for request in requests if request.tokens == answer_tokens]
    return replies, _atlas(model.session, polls or requests)


def _texts(
    model: OpenModel, intervention: Intervention, requests: Sequence[Request]
) -> Iterator[tuple[Request, str]]:
    session = model.session
    if intervention.needs_torch:
        assert model.with_settings is not None  # the others are not chosen
        session = model.with_settings(intervention.rule, intervention.amplify)
    spin, layers = SPIN_OFF, session.engine.config["layers"]
    if intervention.keep is not None:
        spin = Spin(
            keep=intervention.keep, top_k=None, alpha=ALPHA, layers=tuple(range(layers)), score="mass"
        )
    for tokens in sorted({request.tokens for request in requests}):
        waiting = iter([request for request in requests if request.tokens == tokens])
        while chunk := list(islice(waiting, BATCH)):
            yield from zip(chunk, _answers(session, intervention, chunk, spin, tokens), strict=True)


def _answers(
    session: Session, intervention: Intervention, chunk: Sequence[Request], spin: Spin, tokens: int
) -> list[str]:
    shown = [images.decode(it.picture.data, MAX_PIXELS, it.picture.id) for it in chunk]
    longest = session.engine.config["max_answer"]
    generation = session.settings.generation.greedy().replaced(max_tokens=min(tokens, longest))
    if intervention.contrast is None:
        answers = session.answer(shown, [it.text for it in chunk], generation, spin, batch_size=BATCH)
        return [answer.text for answer in answers]
    inputs, pixels_BCYX = session.decoding_inputs(generation, spin), session.pixels(shown)
    ids_BS, mask_BS = session.question_ids([it.text for it in chunk])
    memory = session.engine.memory(session.engine.image_tokens(pixels_BCYX), ids_BS, mask_BS)
    if intervention.contrast == "noise":
        noised_BCYX = np.stack(
            [
                contrastive.noised(pixels, VCD_NOISE, _noise(it.picture.digest))
                for pixels, it in zip(pixels_BCYX, chunk, strict=True)
            ]
        )
        other = session.engine.memory(session.engine.image_tokens(noised_BCYX), ids_BS, mask_BS)
        strength = VCD_STRENGTH
    else:
        other, strength = _without_image(session, ids_BS, mask_BS), PAI_STRENGTH
    written: list[GeneratedTokens] = contrastive.generate(
        session.engine, memory, other, inputs, strength=strength, plausible=PLAUSIBLE
    )
    return [session.tokenizer.decode(generated.ids) for generated in written]


def _without_image(session: Session, ids_BS: np.ndarray, mask_BS: np.ndarray) -> Memory:
    from sightline.inference.torch_engine import TorchEngine

    assert isinstance(session.engine, TorchEngine)  # PAI is not chosen for others
    return session.engine.memory_without_image(ids_BS, mask_BS)


def _noise(picture: str) -> np.random.Generator:
    """The same noise for the same picture."""
    return np.random.default_rng(derive_seed(0, "audit", "vcd", picture))


def _atlas(session: Session, requests: Sequence[Request]) -> np.ndarray:
    """Mean over the tokens of an answer, then over the answers, of each head's attention on the image,
    [L, H]; an empty answer has none."""
    patches = int(np.prod(session.engine.config["grid"]))
    total_LH = np.zeros((session.engine.config["layers"], session.engine.config["heads"]))
    count = 0
    for start in range(0, len(requests), BATCH):
        chunk = requests[start : start + BATCH]
        shown = [images.decode(it.picture.data, MAX_PIXELS, it.picture.id) for it in chunk]
        longest = min(chunk[0].tokens, session.engine.config["max_answer"])
        generation = session.settings.generation.greedy().replaced(max_tokens=longest)
        asked = [it.text for it in chunk]
        for answer in session.answer(shown, asked, generation, SPIN_OFF, need_maps=True, batch_size=BATCH):
            if answer.maps_LHTM is not None:
                total_LH += answer.maps_LHTM[..., :patches].sum(-1).mean(-1)
                count += 1
    return total_LH / max(count, 1)


def _changes(
    audit: Audit, chosen: Sequence[Intervention], replies: Mapping[str, Mapping[str, Reply]]
) -> list[Change]:
    weights_RC = audit_figures.weights(audit.asked)
    by_name = {name: _groups(audit, found, weights_RC) for name, found in replies.items()}
    before = {(group.family, group.kind): group for group in by_name[NONE.name]}
    made = []
    for intervention in (NONE, *chosen):
        for group in by_name[intervention.name]:
            earlier = before[group.family, group.kind]
            n = int(group.measure.sample_size(group.sample.total))
            for metric in SHOWN[group.family]:
                figure, percent = group.measure.FIGURES[metric], metric not in NOT_PERCENT
                own = bootstrap.interval(figure, group.sample, percent)
                gap = bootstrap.difference(figure, group.sample, earlier.sample, percent)
                made.append(
                    Change(
                        intervention=intervention.name,
                        part=group.family,
                        kind=group.kind,
                        metric=metric,
                        n=n,
                        value=rounded(own.value),
                        low=rounded(own.low),
                        high=rounded(own.high),
                        change=rounded(gap.value),
                        change_low=rounded(gap.low),
                        change_high=rounded(gap.high),
                    )  # fmt: skip
                )
    return made


def _groups(audit: Audit, replies: Mapping[str, Reply], weights_RC: np.ndarray) -> list[Group]:
    """Existence over all polls, and descriptions."""
    unasked = {question.key: Reply(text="") for question in audit.asked.questions}
    answers = Answers(audit.asked, {**unasked, **replies})
    groups = audit_figures.plain_groups(answers, weights_RC)
    return [
        group for group in groups
        if group.family == DESCRIPTIONS or (group.family, group.kind) == (EXISTENCE, audit_figures.ALL)
    ]  # fmt: skip


def _maps(
    audit: Audit, boxes: Mapping[str, Mapping[str, Sequence[Box]]], model: OpenModel
) -> tuple[list[MapFigures], list[str]]:
    """(figures of every method, what was left out)."""
    cases = _cases(audit, boxes)
    if not cases:
        return [], [
            "maps: no question about a single thing with a known box (only rendered scenes have them)"
        ]
    trained, session = model.trained, model.session
    explained = ExplainedModel(
        session, SPIN_OFF, None if trained is None else cast("Callable[[], VLM]", lambda: trained)
    )
    ids = session.tokenizer.encode(YES, 8, special=False)
    made, left_out = [], []
    for method in METHODS:
        if method == "grad_cam" and model.trained is None:
            left_out.append("grad_cam: gradients need the PyTorch model, which a bundle does not hold")
            continue
        found = [_judged(explained, method, ids, *case) for case in progress.track(cases, f"maps: {method}")]
        made.append(_map_figures(method, np.array(found)))
    return made, left_out


def _cases(
    audit: Audit, boxes: Mapping[str, Mapping[str, Sequence[Box]]]
) -> list[tuple[np.ndarray, str, Box]]:
    """(picture, question, box) of polls about a thing that is there once."""
    asked = audit.asked
    made: list[tuple[np.ndarray, str, Box]] = []
    pictures = {picture.digest: picture for picture in audit.pictures}
    lexicon = audit_figures.lexicon(asked)
    for question in asked.questions:
        if question.probe != PLAIN or not audit_figures.is_poll(question) or question.truths[0] != "yes":
            continue
        kinds = lexicon.mentions(question.text)
        there = boxes.get(question.shown, {}).get(kinds[0], ()) if kinds else ()
        if len(there) == 1 and len(made) < MAPPED:
            picture = pictures[question.shown]
            rgb = images.decode(picture.data, MAX_PIXELS, picture.id)
            made.append((rgb, question.text, there[0]))
    return made


def _judged(
    model: ExplainedModel, method: str, ids: list[int], rgb: np.ndarray, question: str, box: Box
) -> tuple[float, float, float, float]:
    """(does it point into the box, the box's share of the picture, deletion, insertion)."""
    answer = target.force(model, rgb, question, ids)
    (heat,) = target.explain_answer(model, method, answer).words[:1]
    tokens = answer.words[0][1]
    side = model.session.image_size
    whole = float(_probability(model, answer, tokens, np.ones((1, side, side), np.float32))[0])
    deletion, insertion = faithfulness.deletion_insertion(
        heat, lambda present: _probability(model, answer, tokens, present) / whole, side
    )
    x0, y0, x1, y1 = box
    share = (x1 - x0) * (y1 - y0) / (rgb.shape[0] * rgb.shape[1])
    return float(faithfulness.pointing(heat, box)), share, deletion, insertion


def _probability(
    model: ExplainedModel, answer: ExplainedAnswer, tokens: list[int], present_NYX: np.ndarray
) -> np.ndarray:
    """Of the word, with only these pixels present over the picture's mean colour, [N]."""
    pixels_CYX = model.session.pixels([answer.rgb])[0]
    shown = perturbation.over(pixels_CYX, perturbation.backgrounds(model, answer.rgb)["mean"], present_NYX)
    _, mask_1S = model.session.question_ids([answer.question])
    return np.exp(target.log_prob(model, answer, tokens, shown, np.repeat(mask_1S, len(shown), axis=0)))


def _map_figures(method: str, found_N4: np.ndarray) -> MapFigures:
    pointing_N, share_N, deletion_N, insertion_N = found_N4.T
    rng = np.random.default_rng(derive_seed(0, "audit", "maps"))
    low, high = faithfulness.wilson(float(pointing_N.mean()), len(found_N4))
    bounds = [faithfulness.mean_interval(values, rng) for values in (deletion_N, insertion_N)]
    return MapFigures(
        method=method, n=len(found_N4), pointing=rounded(100 * pointing_N.mean()),
        pointing_low=rounded(100 * low), pointing_high=rounded(100 * high),
        chance=rounded(100 * share_N.mean()),
        deletion=rounded(deletion_N.mean()), deletion_low=rounded(bounds[0][0]),
        deletion_high=rounded(bounds[0][1]),
        insertion=rounded(insertion_N.mean()), insertion_low=rounded(bounds[1][0]),
        insertion_high=rounded(bounds[1][1]),
    )  # fmt: skip
