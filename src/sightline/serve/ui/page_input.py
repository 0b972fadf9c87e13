"""What the page's scripts may send to Gradio: texts, numbers and flags.

Gradio takes any object with `path`, `url` or `meta` for a file and fetches it, wherever it stands in a body.
No part of this page sends one, so such a body is refused before Gradio reads it, and what Gradio reads is
what was checked.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sightline.serve.api_error import ApiError

FILE_KEYS = frozenset(("path", "url", "meta"))
Name = Annotated[str, Field(max_length=64)]  # of a session, of an event; Gradio's have at most 32
Scalar = str | int | float | bool | None


class PageInput(BaseModel):
    """The body of Gradio's routes queue/join, cancel and reset, as the page's script sends it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    data: list[Scalar] = []
    event_data: Scalar | dict[str, Scalar] = None
    fn_index: int | None = None
    trigger_id: int | None = None
    session_hash: Name | None = None
    event_id: Name | None = None

    @field_validator("event_data")
    @classmethod
    def _no_file(cls, value: Scalar | dict[str, Scalar]) -> Scalar | dict[str, Scalar]:
        if isinstance(value, dict) and FILE_KEYS & value.keys():
            raise ValueError("names a file")
        return value


def checked(body: bytes) -> PageInput:
    """The input as Gradio may read it. Raises ApiError for anything that the page does not send."""
    try:
        return PageInput.model_validate_json(body)
    except ValidationError:
        raise ApiError(400, "the page takes texts, numbers and flags only", "page_input") from None
