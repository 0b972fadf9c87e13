"""The schema of deploy/*.yaml. A field is a setting: `limits.queue` in a file,
`SIGHTLINE_SERVE__LIMITS__QUEUE` in the environment. None has a default here: deploy/base.yaml gives every
value.

A new section is a class of its own and one field of `Deployment`.
"""

import ipaddress
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr

from sightline.core.params.checks import Count, Matches, NotNegative, Positive, Settings, require

Host = Annotated[
    str, AfterValidator(Matches(r"[^\s\[\]/]+", "a name or an address, of IPv6 without brackets"))
]
Known = Annotated[
    str,
    AfterValidator(Matches(r"\[[0-9a-f:.]+\]|[^\s:/@\[\]A-Z]+", "a host's name in small letters, no port")),
]
Origin = Annotated[
    str, AfterValidator(Matches(r"https?://[^\s/A-Z]+", "https://name or https://name:port in small letters"))
]
Prefix = Annotated[
    str,
    AfterValidator(Matches(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", "/name or /name/name, no / at the end")),
]


class Network:
    """An address, or a network of them."""

    WORDS = "an address or a network such as 10.0.0.0/8"

    def __call__(self, text: str) -> str:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            require(False, "", text, self.WORDS)
        return text

    def __str__(self) -> str:
        return self.WORDS


Proxy = Annotated[str, AfterValidator(Network())]
Place = Annotated[str, AfterValidator(Matches(r".+", "a path"))]


class LogSettings(Settings):
    """What the server writes to stderr."""

    format: Literal["text", "json"] = Field(description="json: each line is an object, for programs")
    level: Literal["info", "warning", "error"] = Field(
        description="the least that is written; info: a line for every request"
    )
    held_bytes: Count = Field(
        description="characters that wait for a reader of the log; lines beyond them are dropped and counted"
    )


class WorkerSettings(Settings):
    """Threads and processes. One thread more runs the model, and one the event loop."""

    model_threads: Count = Field(
        description="threads that a model call is divided among; other numbers may give other last bits"
    )
    decoders: Count = Field(
        description="processes that decode pictures, each with a thread that waits for it"
    )
    helpers: Count = Field(description="threads that search the index, draw maps and count tokens")
    fetchers: Count = Field(description="threads that wait for pictures from other machines")


class Limits(Settings):
    """What one server takes. A request beyond a limit is refused before it costs anything."""

    batch: Count = Field(
        description="rows of every model call; the shape never changes, so no answer feels its neighbours"
    )
    fill_s: NotNegative = Field(
        description="seconds for which a batch waits for rows on their way: it costs the same, full or not"
    )
    queue: Count = Field(description="requests inside at once; beyond it 429")
    timeout_s: Positive = Field(
        description="seconds from the first byte of a request to its answer, else 504"
    )
    body_bytes: Count = Field(description="of a request's body; beyond it 413")
    inside_bytes: Count = Field(description="of the bodies of all requests inside together; beyond it 429")
    picture_bytes: Count = Field(description="of an encoded picture; beyond it 413")
    pixels: Count = Field(
        description="of a picture, told by its header; beyond it 413. Decoding takes about 8 bytes for each"
    )
    aspect: Count = Field(description="times that a picture may be longer than wide; scaled it would grow")
    fetch_s: Positive = Field(description="seconds for a picture from another machine, redirects included")
    inputs: Count = Field(description="texts and pictures of one embeddings request; beyond it 400")
    results: Count = Field(description="of one search; beyond it 400")
    captions: int = Field(ge=0, description="beside which a question is read; each costs another reading")
    drain_s: NotNegative = Field(description="seconds for requests inside when the server is told to stop")
    backlog: Count = Field(description="connections that the system holds until they are taken")
    connections: Count = Field(description="at once; each is a file that the process has open")
    peer_connections: Count = Field(description="of one address, or one IPv6 network of 64 bits")
    header_bytes: Count = Field(
        description="of a request's headers, and of all else that is no body; else 431"
    )
    header_s: Positive = Field(description="seconds until the headers are whole, else 408")
    idle_s: Count = Field(description="seconds between two requests of a connection, else it ends")
    write_s: Positive = Field(description="seconds for a client to read its answer, else the connection ends")
    sessions: Count = Field(description="of the page; the one unused for longest is forgotten")
    session_bytes: Count = Field(
        description="of the pictures chosen on the page, all sessions together; the one unused longest goes"
    )


class LoginSettings(Settings):
    """How people get to the page of a server with keys."""

    session_s: Count = Field(description="seconds from a login to the next")
    tries: Count = Field(description="wrong keys of one address, or one IPv6 network of 64 bits; then 429")
    tries_s: Count = Field(description="seconds after the first of them until they are forgotten")


class Deployment(Settings):
    """A server's settings, in the order of deploy/base.yaml."""

    host: Host = Field(description="address to listen on; other than loopback needs keys")
    port: int = Field(ge=1, le=65535, description="to listen on")
    hosts: tuple[Known, ...] = Field(
        strict=False,
        description="names that clients call the server by (the header Host), beside host and localhost; "
        "with keys and an empty list any name is answered",
    )
    origins: tuple[Origin, ...] = Field(
        strict=False, description="websites whose pages may use the API through a browser (CORS); needs keys"
    )
    root_path: Prefix | None = Field(
        description="what stands before every path where a proxy shows the server: /vision for "
        "https://host/vision/; the proxy may take it off or leave it"
    )
    proxies: tuple[Proxy, ...] = Field(
        strict=False,
        description="whose X-Forwarded-For and X-Forwarded-Proto are believed; they have no limit of "
        "connections of their own",
    )
    keys: Place | None = Field(
        description="an environment file with API keys, one a line; never a key itself"
    )
    needs_keys: bool = Field(description="refuse to start without keys, on loopback too")
    model: Place | None = Field(
        description="a bundle's folder, or models:/NAME@ALIAS of the MLflow server; empty: models/bundle"
    )
    index: Place | None = Field(description="folder of an index of `sightline index`; empty: the model's own")
    safety: Place | None = Field(
        description="a policy that questions, answers and captions are held to, such as safety/default.yaml; "
        "empty: none. A path, as seen from the file that names it, elsewhere from the current folder"
    )
    fetch: bool = Field(description="take pictures as https addresses, too")
    page: bool = Field(description="the web page; with keys behind a login")
    metrics: bool = Field(description="answer /metrics")
    log: LogSettings
    login: LoginSettings
    workers: WorkerSettings
    limits: Limits
    _origin: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def origin(self) -> dict[str, str]:
        """Return where each setting's value came from, by its dotted key."""
        return self._origin

    def limited(self, **limits: Any) -> Self:
        """A copy with some limits changed. Raises ValueError for a value out of range."""
        return self.replaced(limits=self.limits.replaced(**limits))
