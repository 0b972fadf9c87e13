"""Row 22: addresses that lead into the network behind this machine, in every spelling, at every entrance."""

from __future__ import annotations

import ipaddress
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sightline_lab.faults.battery import Broken, Case, Missing, Promise
from sightline_lab.faults.canary_network import PRIVATE, PUBLIC

TARGETS = (*PRIVATE, "127.0.0.1", "0.0.0.0", "::1", "::")
SCHEMES = ("http", "http", "http", "https", "https", "HTTP", "ftp", "gopher", "file", "data", "dict")
WAYS = ("direct", "direct", "user", "fragment", "backslash", "redirect", "name", "rebinding", "both")


def prepare(scratch: Path) -> subprocess.Popen:
    """The process in its own network; it ends when its input does."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        raise Missing("it needs the programs unshare and ip")
    for options in (["-n"], ["-rn"]):
        if subprocess.run(["unshare", *options, "true"], capture_output=True).returncode == 0:
            break
    else:
        raise Missing("this machine allows no network namespace (unshare -rn)")
    command = ["unshare", *options, sys.executable, "-m", "sightline_lab.faults.canary_network"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=scratch
    )
    assert process.stdout and process.stderr
    line = process.stdout.readline()
    if not line:
        raise Missing(f"the network could not be made: {process.stderr.read()[-300:]}")
    if silent := json.loads(line)["silent"]:
        raise Missing(f"the listeners do not hear {', '.join(silent)}")
    return process


def case(case: Case) -> int:
    """One form of an address at every entrance."""
    request = _form(case.rng)
    process: subprocess.Popen[str] = case.prepared
    assert process.stdin and process.stdout
    process.stdin.write(json.dumps(request) + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise Broken(f"{request}: the process ended with {process.wait()}")
    if found := json.loads(line):
        raise Broken(f"{request}: {'; '.join(found)}")
    return 1


def _form(rng: np.random.Generator) -> dict[str, Any]:
    """A URL that leads to a private address, and what names and redirects it needs."""
    target, scheme, way = (str(rng.choice(choices)) for choices in (TARGETS, SCHEMES, WAYS))
    host = _spelled(target, rng)
    port = str(rng.choice(["", "", ":80", ":443", ":8080"]))
    direct = f"{scheme}://{host}{port}/picture.png"
    names: dict[str, list[list[str]]] = {}
    url, location = direct, ""
    plain = "fe80::1%lo" if target.startswith("fe80") else target
    if way == "user":
        url = f"{scheme}://{PUBLIC}{port}@{host}/picture.png"
    elif way == "fragment":
        url = f"{scheme}://{host}{port}#@{PUBLIC}/"
    elif way == "backslash":
        url = f"{scheme}://{PUBLIC}\\@{host}{port}/"
    elif way == "redirect":
        url, location = f"http://{PUBLIC}/picture.png", direct
    elif way != "direct":
        url = f"{scheme}://pictures.example{port}/picture.png"
        looked_up = {"name": [[plain]], "rebinding": [[PUBLIC], [plain]], "both": [[PUBLIC, plain]]}
        names = {"pictures.example": looked_up[way]}
        location = url  # by then the name may stand for another address
    return {"url": url, "names": names, "location": location}


def _spelled(target: str, rng: np.random.Generator) -> str:
    """An address as a host of a URL, in a spelling that some program takes for it."""
    address = ipaddress.ip_address(target)
    if address.version == 6:
        forms = [
            f"[{address}]",
            f"[{address.exploded}]",
            f"[{target.upper()}]",
            f"[{address}%25lo]",
            f"[{address}%lo]",
        ]
    else:
        number, parts = int(address), target.split(".")
        forms = [
            target, str(number), hex(number), f"0{number:o}", f"0X{number:08X}", target + ".",
            ".".join(hex(int(part)) for part in parts), ".".join(f"0{int(part):o}" for part in parts),
            ".".join(part.zfill(4) for part in parts), f"{parts[0]}.{number & 0xFFFFFF}",
            f"{parts[0]}.{parts[1]}.{number & 0xFFFF}", f"{hex(int(parts[0]))}.{number & 0xFFFFFF}",
            f"[::ffff:{target}]", f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]", f"[::{target}]",
            f"[64:ff9b::{target}]", f"[2002:{number >> 16:x}:{number & 0xFFFF:x}::1]",
            "".join(chr(ord(sign) + 0xFEE0) if sign.isdigit() else sign for sign in target),
            target.replace(".", "\u3002"), "".join(f"%{ord(sign):02x}" for sign in target),
            f"{target}.nip.example", f" {target}", f"{target}%00.example.org", f"{number + 2**32}",
        ]  # fmt: skip
    return forms[int(rng.integers(len(forms)))]


PROMISE = Promise(
    22, "Addresses", "Whatever spelling, redirect or name leads to a private, local or special address: at "
    "no entrance that fetches does a connection arrive there, counted where it would.", "forms", 250, 4000,
    case, prepare,
)  # fmt: skip
