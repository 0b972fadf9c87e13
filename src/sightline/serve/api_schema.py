"""The HTTP schema. Fields of OpenAI's API that would change the answer and are not offered are refused;
others are ignored, as clients send many. The server's own routes and the `sightline` field refuse unknown
keys. Requests whose bounds an operator sets get them from `bounded`.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from sightline.core.params.generation import Decoding
from sightline.search import reranking
from sightline.search.item_index import KINDS
from sightline.serve.deploy.deployment import Limits
from sightline.serve.safety.policy import Decision, Reason

MAX_TEXT = 10_000  # characters; the model reads far fewer
MAX_MESSAGES = 256
MAX_PARTS = 64  # of one message
MAX_LAYERS = 256  # more than any decoder has
K = 10  # results of a search that asks for no number
Words = Annotated[str, Field(max_length=MAX_TEXT)]
Url = Annotated[str, Field(min_length=1, description="A data URL (data:image/png;base64,...), or https://.")]
Kind = Literal["image", "text", "fused"]
Results = Annotated[int, Field(ge=1)]
assert KINDS == ("image", "text", "fused")


class Open(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class Closed(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, fields: Any) -> Any:
        """Refuse unknown fields by what is known; pydantic would repeat what was sent."""
        if isinstance(fields, dict) and not fields.keys() <= cls.model_fields.keys():
            known = ", ".join(cls.model_fields)
            raise PydanticCustomError(
                "unknown_field", "an unknown field; expected only {known}", {"known": known}
            )
        return fields


class Spin(Closed):
    """SPIN's run-time settings; those left out are the bundle's."""

    keep: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    alpha: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    layers: (
        Annotated[list[Annotated[int, Field(ge=0)]], Field(max_length=MAX_LAYERS, fail_fast=True)] | None
    ) = None


class Extension(Closed):
    """The field `sightline` of a request."""

    spin: bool | Spin | None = Field(
        default=None,
        description="null: as the bundle answers; true: its gate; false: none; an object: these settings.",
    )
    explanation: Literal[False, True, "png"] = Field(
        default=False,
        description="A map per word: numbers on the patch grid, or a grey PNG of the picture's shape.",
    )
    retrieval: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="So many pictures of the index, those most like the one asked about and not itself: the "
        "question is read beside their captions, which come with the answer.",
    )


class TextPart(Open):
    type: Literal["text"]
    text: Words


class ImageUrl(Open):
    url: Url


class ImagePart(Open):
    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class Message(Open):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Words | Annotated[list[Part], Field(max_length=MAX_PARTS, fail_fast=True)] | None = None


class StreamOptions(Open):
    include_usage: bool = False


class ChatRequest(Open):
    model: str
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = Field(
        None, description="Above 0: sampling; 0: the likeliest words; left out: as the bundle answers."
    )
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None
    n: Literal[1] | None = None
    stop: None = Field(None, description="Not offered.")
    tools: None = Field(None, description="Not offered.")
    functions: None = Field(None, description="Not offered.")
    logit_bias: None = Field(None, description="Not offered.")
    logprobs: Literal[False] | None = Field(None, description="Not offered.")
    sightline: Extension | None = None


class EmbeddingsRequest(Open):
    model: str
    input: (
        Annotated[str, Field(min_length=1)]
        | Annotated[
            list[Annotated[str, Field(min_length=1)]],
            Field(min_length=1, fail_fast=True),
        ]
    ) = Field(description="Texts, or pictures as data URLs.")
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(None, description="Only the model's own width.")


class SearchRequest(Closed):
    """Exactly one of `text` and `image`."""

    text: Annotated[Words, Field(min_length=1)] | None = None
    image: Url | None = None
    k: Results = K
    kind: Kind = Field("fused", description="Which vectors of the items are searched.")
    rerank: Annotated[int, Field(ge=0, le=reranking.MOST)] = Field(
        0,
        description="Of `text`, with `kind` image: so many of the nearest pictures are put in the order in "
        "which the model would describe them so.",
    )

    @model_validator(mode="after")
    def one(self) -> "SearchRequest":
        if (self.text is None) == (self.image is None):
            raise ValueError("give exactly one of text and image")
        if self.rerank and (self.text is None or self.kind != reranking.KIND):
            raise ValueError("rerank puts pictures in order for words: give text, and kind image")
        return self


ItemId = Annotated[str, Field(min_length=1, max_length=500)]


class SimilarRequest(Closed):
    id: ItemId
    k: Results = K
    kind: Kind = "fused"


class ExplainRequest(Closed):
    image: Url
    question: Words = ""
    spin: bool | Spin | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    maps: Literal["numbers", "png"] = "numbers"


@dataclass(frozen=True)
class Requests:
    """The requests whose size the limits of a server bound."""

    chat: type[ChatRequest]
    embeddings: type[EmbeddingsRequest]
    search: type[SearchRequest]
    similar: type[SimilarRequest]


def bounded(limits: Limits) -> Requests:
    """The requests of a server with these limits. Bounds in the schema end the reading of a long list early,
    and clients see them in /openapi.json."""
    results = (Annotated[int, Field(ge=1, le=limits.results)], min(K, limits.results))
    reranked = Annotated[int, Field(ge=0, le=min(reranking.MOST, limits.results))]
    retrieval = Annotated[int, Field(ge=0, le=limits.captions)]
    extension = _changed(Extension, retrieval=(retrieval, _as(Extension, "retrieval")))
    text = Annotated[str, Field(min_length=1)]
    texts = Annotated[list[text], Field(min_length=1, max_length=limits.inputs, fail_fast=True)]
    return Requests(
        _changed(ChatRequest, sightline=(extension | None, None)),
        _changed(EmbeddingsRequest, input=(text | texts, _as(EmbeddingsRequest, "input"))),
        _changed(SearchRequest, k=results, rerank=(reranked, _as(SearchRequest, "rerank"))),
        _changed(SimilarRequest, k=results),
    )


def _changed(model: type[BaseModel], **fields: Any) -> Any:
    return create_model(model.__name__, __base__=model, __doc__=model.__doc__, **fields)


def _as(model: type[BaseModel], name: str) -> Any:
    """A field with the default and the description of this one."""
    field = model.model_fields[name]
    return Field(field.default, description=field.description)


class ErrorDetail(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class Error(BaseModel):
    """The form of every error."""

    error: ErrorDetail


class Hit(BaseModel):
    id: str
    score: float
    text: str
    source: str = Field(alias="from", description="Where the item's picture came from; empty: unknown.")


class OODVerdict(BaseModel):
    """Null of a converted model, which has no training pictures to compare with."""

    out_of_domain: bool | None
    domain_score: float | None


class Safety(BaseModel):
    """What the policy of the server decided, where it has one."""

    decision: Decision = Field(
        description="refused: no answer or no results; masked: something is hidden; marked: given, with a "
        "reason for doubt."
    )
    reasons: list[Reason]


class SearchResponse(BaseModel):
    results: list[Hit]
    judged: OODVerdict | None = Field(None, description="Of the picture that was searched with.")
    safety: Safety | None = None


class WordMap(BaseModel):
    word: str
    image_share: float = Field(description="Part of all attention that fell on the image.")
    map: list[list[float]] | str = Field(description="Patch grid of numbers in [0, 1], or a PNG data URL.")
    question: list[tuple[str, float]] = Field(description="Question words, with their share of attention.")


class Evidence(OODVerdict):
    """The field `sightline` of an answer."""

    decoding: Decoding = Field(
        description="How the words were chosen. A stream is written word by word: it never chooses among "
        "candidates, whatever the bundle says."
    )
    confidence: float
    sure: bool | None
    question_out_of_domain: bool = Field(
        description="Unlike every training question, by a word or by its form: never sure."
    )
    silenced_heads: float = Field(description="Share of (word piece, head) pairs that SPIN gated.")
    explanation: list[WordMap] | None = None
    retrieved: list[Hit] | None = None


class ExplainResponse(Evidence):
    question: str
    answer: str | None = Field(description="null: refused by the policy.")
    safety: Safety | None = None


class RefusedQuestion(BaseModel):
    """The policy refuses the question; nothing was asked of the model."""

    question: str
    answer: None
    safety: Safety


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int = 0
    total_tokens: int


class ResponseMessage(BaseModel):
    role: Literal["assistant"]
    content: str | None
    refusal: str | None = Field(None, description="Why there is no content, where the policy refuses.")


class Choice(BaseModel):
    index: int
    message: ResponseMessage
    finish_reason: Literal["stop", "length", "content_filter"]
    logprobs: None = None


class ChatResponse(BaseModel):
    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: Usage
    sightline: Evidence | None = Field(None, description="Left out where the question is refused.")
    safety: Safety | None = None


class Embedding(BaseModel):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsResponse(BaseModel):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: Usage


class ModelCard(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[ModelCard]


class State(BaseModel):
    status: str


Body = dict[str, Any]
