"""A local server that speaks as much of the Hugging Face Hub's API as creating a repository, committing to it
and fetching from it take, and refuses on order."""

import base64
import hashlib
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

from sightline_lab.faults.local_server import serving

TOKEN = "hf_" + "t" * 34


class HubServer:
    """One repository. `files`: path -> bytes of its last commit; `commits`: what each of them did; `stored`:
    bytes of large files by sha256. `refuse`: part of a path -> status that requests for it get; `lfs`: which
    files are large."""

    def __init__(self):
        self.files, self.stored, self.commits, self.refuse = None, {}, [], {}
        self.private, self.requests, self.validated = False, [], []
        self.lfs = lambda path: path.endswith((".onnx", ".faiss"))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def head(self):
        return f"{len(self.commits):040x}"

    def environment(self, **more):
        """Of a process that takes this server for the Hub."""
        return {
            "HF_ENDPOINT": self.url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        } | more  # fmt: skip


@contextmanager
def hub_server():
    server = HubServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.answer(_post)

        def do_PUT(self):
            self.answer(_put)

        def do_GET(self):
            self.answer(_get)

        do_HEAD = do_GET

        def answer(self, route):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            server.requests.append((self.command, path, dict(self.headers)))
            status = next((status for part, status in server.refuse.items() if part in path), None)
            if (
                status is None
                and not path.startswith("/store/")
                and self.headers["Authorization"] != f"Bearer {TOKEN}"
            ):
                status = 401
            if status is None:
                status, data, headers = route(server, path, body)
            else:
                data, headers = {"error": f"refused with {status}"}, {}
            data = data if isinstance(data, bytes) else json.dumps(data).encode()
            self.send_response(status)
            for name, value in ({"Content-Type": "application/json"} | headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def log_message(self, *args):
            pass

    with serving(Handler) as server.port:
        yield server


def _post(server, path, body):
    if path == "/api/repos/create":
        asked = json.loads(body)
        server.name = f"{asked['organization']}/{asked['name']}"
        url = f"{server.url}/{server.name}"
        if server.files is not None:
            return 409, {"error": "You already created this model repo", "url": url}, {}
        server.files = {".gitattributes": b"*.onnx filter=lfs\n"}
        server.private = asked.get("visibility") == "private"
        return 200, {"url": url}, {}
    if path == "/api/validate-yaml":
        server.validated.append(json.loads(body)["content"])
        return 200, {"errors": [], "warnings": []}, {}
    if path == f"/api/models/{server.name}/preupload/main":
        names = [file["path"] for file in json.loads(body)["files"]]
        mode = {True: "lfs", False: "regular"}
        files = [
            {"path": name, "uploadMode": mode[server.lfs(name)], "shouldIgnore": False} for name in names
        ]
        return 200, {"files": files}, {}
    if path == f"/{server.name}.git/info/lfs/objects/batch":
        wanted = json.loads(body)["objects"]
        return 200, {"transfer": "basic", "objects": [_instruction(server, each) for each in wanted]}, {}
    if path == f"/api/models/{server.name}/commit/main":
        return _commit(server, [json.loads(line) for line in body.splitlines()])
    return 404, {"error": f"POST {path}"}, {}


def _instruction(server, wanted):
    """Where the bytes of a large file go; nowhere if they are there."""
    if wanted["oid"] in server.stored:
        return wanted
    return wanted | {"actions": {"upload": {"href": f"{server.url}/store/{wanted['oid']}", "header": {}}}}


def _commit(server, rows):
    files, head = dict(server.files), rows[0]["value"]
    if head.get("parentCommit", server.head) != server.head:
        return 412, {"error": "A commit has happened since. Please refresh and try again."}, {}
    for row in rows[1:]:
        value = row["value"]
        if row["key"] == "deletedFile":
            del files[value["path"]]
        else:
            large = row["key"] == "lfsFile"
            files[value["path"]] = (
                server.stored[value["oid"]] if large else base64.b64decode(value["content"])
            )
    server.files = files
    server.commits.append(rows)
    return (
        200,
        {"commitUrl": f"{server.url}/{server.name}/commit/{server.head}", "commitOid": server.head},
        {},
    )


def _put(server, path, body):
    oid = path.removeprefix("/store/")
    if hashlib.sha256(body).hexdigest() != oid:
        return 400, {"error": "another content"}, {}
    server.stored[oid] = body
    return 200, {}, {}


def _get(server, path, body):
    if server.files is None:
        return 404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
    if path.startswith(f"/api/models/{server.name}/tree/"):
        tree = [
            {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for name, data in sorted(server.files.items())
        ]
        return 200, tree, {}
    if path.startswith(f"/api/models/{server.name}"):
        names = [{"rfilename": name} for name in sorted(server.files)]
        about = {"id": server.name, "sha": server.head, "private": server.private, "siblings": names}
        return 200, about | {"tags": [], "downloads": 0, "likes": 0}, {}
    if path.startswith(f"/{server.name}/resolve/"):
        data = server.files[path.split("/", 5)[5]]
        return 200, data, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": server.head}
    return 404, {"error": f"GET {path}"}, {}
