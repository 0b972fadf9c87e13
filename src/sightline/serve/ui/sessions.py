"""What the page keeps between two events of a browser: bounded in number and in bytes, the oldest goes first.

Gradio keeps a session for each name that it is told, and what it answers until somebody collects that.
"""

import secrets
from collections import OrderedDict
from typing import TYPE_CHECKING

from sightline.serve.deploy.deployment import Limits
from sightline.serve.ui.ui_images import DisplayedImage

if TYPE_CHECKING:  # takes seconds to import
    from gradio import Blocks


class Sessions:
    """The sessions of a page. One beyond `limits.sessions` costs the oldest its state, and answers to more
    events than `limits.queue` that nobody collects cost the session with most of them its own."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._uncollected: OrderedDict[str, int] = OrderedDict()  # events by session, the oldest first
        self._page: Blocks | None = None

    def watch(self, page: "Blocks") -> None:
        """Keep the sessions of this page, before anybody uses it."""
        page.state_session_capacity = self._limits.sessions
        self._page = page

    def event(self, session: str) -> None:
        """A session asks for something."""
        counts = self._uncollected
        while sum(counts.values()) >= self._limits.queue:
            self._forget(max(counts, key=lambda name: counts[name]))
        while session not in counts and len(counts) >= self._limits.sessions:
            self._forget(next(iter(counts)))
        counts[session] = counts.get(session, 0) + 1
        counts.move_to_end(session)

    def collected(self, session: str) -> None:
        """A session reads its answers."""
        if session in self._uncollected:
            self._uncollected[session] = 0

    def _forget(self, session: str) -> None:
        del self._uncollected[session]
        if self._page is not None:
            queue, states = self._page._queue, self._page.state_holder
            queue.pending_messages_per_session.pop(session, None)
            queue.pending_event_ids_session.pop(session, None)
            states.session_data.pop(session, None)
            states.time_last_used.pop(session, None)


class KeptPictures:
    """Pictures that were chosen on the page, each by a name that cannot be guessed: Gradio's sessions hold
    the names. Beyond `limit` bytes the one unused for longest is forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit, self._bytes = limit, 0
        self._pictures: OrderedDict[str, DisplayedImage] = OrderedDict()

    def put(self, picture: DisplayedImage) -> str:
        """The picture's name."""
        name = secrets.token_urlsafe()
        self._pictures[name] = picture
        self._bytes += _size(picture)
        while self._bytes > self._limit:
            self.forget(next(iter(self._pictures)))
        return name

    def get(self, name: str | None) -> DisplayedImage | None:
        """The picture of a name; None where there is none any more."""
        if name is None or name not in self._pictures:
            return None
        self._pictures.move_to_end(name)
        return self._pictures[name]

    def forget(self, name: str | None) -> None:
        if name is not None and name in self._pictures:
            self._bytes -= _size(self._pictures.pop(name))


def _size(picture: DisplayedImage) -> int:
    return picture.picture.pixels_CYX.nbytes + len(picture.view)
