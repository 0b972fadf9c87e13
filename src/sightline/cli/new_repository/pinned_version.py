"""Which Sightline this is, as a line of requirements.txt: a commit of its repository or a wheel file.

`sightline` on the package index is another project, so a bare name would install that.
"""

import importlib.metadata
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from sightline.core import packaged_project

DISTRIBUTION = "sightline-vlm"
NAME = f"{DISTRIBUTION}[serve,train]"  # the extras bring PyTorch, DVC and what else a build needs


@dataclass(frozen=True)
class Pin:
    """The line, empty where nothing tells where the package is from; `warning` says what the line does not
    hold."""

    line: str
    warning: str = ""


def find() -> Pin:
    """The pin of the package that runs: of its checkout, or of what pip recorded on installing (PEP 610)."""
    if packaged_project.is_checkout():
        return of_checkout(packaged_project.folder())
    try:
        record = importlib.metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        record = None
    return of_record(json.loads(record or "{}"))


def version() -> str:
    """The version of the distribution, where it is installed."""
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "that is not installed"


def of_checkout(root: Path) -> Pin:
    """The commit of a checkout, at its remote or, where it has none, in its folder."""
    commit = _git(root, "rev-parse", "HEAD")
    if not commit or Path(_git(root, "rev-parse", "--show-toplevel")) != root.resolve():
        return Pin("", f"{root} is no git checkout, so no commit can be named")
    remote = _git(root, "remote", "get-url", "origin")
    line = f"{NAME} @ git+{_address(remote) if remote else root.as_uri()}@{commit}"
    if _git(root, "status", "--porcelain", "--untracked-files=no"):
        return Pin(line, f"{root} has changes that are in no commit: the line names the commit below them")
    if remote and not _git(root, "branch", "--remotes", "--contains", commit):
        return Pin(line, f"commit {commit[:12]} is not on {_address(remote)} yet: push it")
    return Pin(line)


def of_record(record: dict[str, Any]) -> Pin:
    """The commit or the archive of a PEP 610 record; a folder that was installed from counts as checkout."""
    url = record.get("url", "")
    if "vcs_info" in record:
        info = record["vcs_info"]
        return Pin(f"{NAME} @ {info['vcs']}+{_address(url)}@{info['commit_id']}")
    if "archive_info" in record:
        digest = record["archive_info"].get("hashes", {}).get("sha256", "")
        return Pin(f"{NAME} @ {_address(url)}" + (f"#sha256={digest}" if digest else ""))
    if url.startswith("file://"):
        return of_checkout(Path(unquote(urlsplit(url).path)))
    return Pin("", "pip did not record where this package is from")


def _address(url: str) -> str:
    """The address without a name and a password; `git@host:path` as an ssh address."""
    scp = re.fullmatch(r"(?:(\w+)@)?([\w.-]+):(?!//)(.+)", url)
    if scp:
        return f"ssh://{scp[1] or 'git'}@{scp[2]}/{scp[3]}"
    if "://" not in url:
        return Path(url).resolve().as_uri()
    parts = urlsplit(url)
    user = f"{parts.username}@" if parts.scheme == "ssh" and parts.username else ""
    return urlunsplit(parts._replace(netloc=user + parts.netloc.rpartition("@")[2]))


def _git(root: Path, *words: str) -> str:
    """What git prints; empty where it fails or is missing."""
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
