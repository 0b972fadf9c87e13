"""How a route with a JSON body is run: the shield hands it the body, which is read in one pass, and nothing
stands between that and the endpoint. FastAPI's own way (seven layers of middleware and routing, json, then
dependencies, exit stacks and telemetry, none of which are used here) costs as much CPU as the rest of the
server. What the schema says is still FastAPI's, from the signature.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from sightline.serve.limits import ApiError

LONGEST = 500  # characters of what is told about a body


class Direct(APIRoute):
    """A route whose endpoint is `async (request, asked: Model) -> Response`; one without a body stays
    FastAPI's. `direct` is what the shield calls with the scope and the body, JSON by its type."""

    direct: Callable[[dict, bytes], Awaitable[Response]] | None = None

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        if self.body_field is None:
            return
        read, endpoint = self.body_field.field_info.annotation.model_validate_json, self.endpoint

        async def direct(scope: dict, body: bytes) -> Response:
            try:
                asked = read(body)
            except ValidationError as error:
                raise invalid(error) from None
            return await endpoint(Request(scope), asked)

        self.direct = direct


def invalid(error: ValidationError) -> ApiError:
    """The first thing that is wrong with a body, in the form of OpenAI's errors."""
    first = error.errors(include_url=False, include_input=False)[0]
    param = ".".join(str(part) for part in first["loc"])[:200]
    return ApiError(400, f"{param or 'body'}: {first['msg']}"[:LONGEST], first["type"], param)
