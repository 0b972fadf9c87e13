"""Which of the processes on several machines write files: one for each disk that holds a checkout."""

import secrets
from pathlib import Path


def first_on_disk(folder: Path, rank: int, local_rank: int, device: str) -> tuple[int, bool]:
    """Of how many disks `folder` is one, over all machines, and whether this process is the first of its
    disk: process 0 is, and of the first processes of the other machines those that do not see its files.

    Every process calls this at the same time, within a process group. Raises OSError where nothing can be
    written.
    """
    import torch
    from torch import distributed

    token = torch.frombuffer(bytearray(secrets.token_bytes(8)), dtype=torch.uint8).to(device)
    distributed.broadcast(token, 0)
    mark = folder / f"disk-{bytes(token.tolist()).hex()}"
    first = rank == 0 and _made(mark)
    distributed.barrier()
    if rank and local_rank == 0:
        first = _made(mark)
    disks = torch.tensor([int(first)], device=device)
    distributed.all_reduce(disks)  # and a barrier: all have looked
    if first:
        mark.unlink()
    return int(disks.item()), first


def _made(path: Path) -> bool:
    """Whether this process is the one that makes the file. Creation is exclusive also over NFS, where a look
    for a file may be answered from a cache."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
