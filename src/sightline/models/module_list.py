"""torch's ModuleList with the type of its modules, for the type checker: at run time it is torch's own, so
weights, graphs and what is printed of a model are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Generic, TypeVar

    ModuleT = TypeVar("ModuleT", bound=nn.Module)

    class ModuleList(nn.ModuleList, Generic[ModuleT]):
        def __init__(self, modules: Iterable[ModuleT]) -> None: ...

        def __iter__(self) -> Iterator[ModuleT]: ...

else:
    ModuleList = nn.ModuleList
