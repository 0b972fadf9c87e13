"""The errors that clients see, in the form of OpenAI's API."""

from typing import Any


class ApiError(Exception):
    """An answer that is an error: HTTP status, OpenAI's `type` and `code`, the field at fault."""

    def __init__(
        self, status: int, message: str, code: str = "", param: str | None = None, retry_s: int | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param, self.retry_s = status, message, code, param, retry_s

    def body(self) -> dict[str, Any]:
        return error_body(self.status, self.message, self.code or None, self.param)


KINDS = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


def error_body(status: int, message: str, code: str | None, param: str | None = None) -> dict[str, Any]:
    """The object that OpenAI's clients read errors from."""
    kind = KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
