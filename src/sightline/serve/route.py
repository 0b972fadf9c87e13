"""How a route with a JSON body is run: its body is read in one pass, and nothing stands between that and the
endpoint. FastAPI's own way (json, then dependencies, exit stacks and telemetry, none of which are used here)
costs as much CPU as the rest of the server. What the schema says is still FastAPI's, from the signature.
"""

from typing import Any

from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.requests import Request

from sightline.serve.settings import ApiError

LONGEST = 500  # characters of what is told about a body


class Direct(APIRoute):
    """A route whose endpoint is `async (request, asked: Model) -> Response`; one without a body stays
    FastAPI's. Bodies are JSON already (`shield.Shield`)."""

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__(*values, **named)
        if self.body_field is None:
            return
        read, endpoint = self.body_field.field_info.annotation.model_validate_json, self.endpoint

        async def app(scope: dict, receive: Any, send: Any) -> None:
            request = Request(scope, receive)
            try:
                asked = read(await request.body())
            except ValidationError as error:
                raise invalid(error) from None
            response = await endpoint(request, asked)
            await response(scope, receive, send)

        self.app = app


def invalid(error: ValidationError) -> ApiError:
    """The first thing that is wrong with a body, in the form of OpenAI's errors."""
    first = error.errors(include_url=False, include_input=False)[0]
    param = ".".join(str(part) for part in first["loc"])[:200]
    return ApiError(400, f"{param or 'body'}: {first['msg']}"[:LONGEST], first["type"], param)
