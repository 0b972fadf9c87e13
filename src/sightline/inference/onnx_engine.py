"""ONNX graphs behind the `Engine` protocol, in ONNX Runtime or OpenVINO: numpy in, numpy out, no torch.

Shapes: L layers, B batch, H heads, T text tokens, P patches, M memory tokens (P, then the question), D width,
E embedding width, V vocabulary, C,Y,X channels and sides.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
import onnxruntime as ort
from pydantic import Field

from sightline.core import typed_json
from sightline.core.artifacts import read_json
from sightline.core.params.checks import Count
from sightline.core.preprocessing import MAX_SIDE
from sightline.inference import execution_provider
from sightline.inference.engine import Memory, Step
from sightline.inference.openvino_graph import OpenVINOGraph

GRAPHS = ("image_encoder", "text_encoder", "fusion", "vision", "memory", "decoder")
SEARCH_SIDE = ("image_encoder", "text_encoder", "fusion")  # the dual encoder's graphs
ANSWERING = ("text_encoder", "vision", "memory", "decoder")  # one text tower reads questions and captions
ANSWERING_ALONE = ("vision", "memory", "decoder")  # of a model that does not search
SEARCH_GRAPHS = ("image_encoder", "text_encoder")  # what embeddings, and so an index, depend on
CONFIG = "engine.json"
CONFIG_KEYS = ("grid", "image_size", "vocab_size")
SEARCH_KEYS = ("embed_dim",)
DECODER_KEYS = ("head_width", "heads", "layers", "max_answer")  # none of them: the model only searches
REBUILD = "rerun the export stage (`dvc repro export`) or restore the files (`sightline doctor --repair`)"
# What the decoder reads and writes of each layer apart, as `<name>.<layer>`: nothing is cut or put together.
CACHE, GROWN, CROSS = ("self_k", "self_v"), ("next_k", "next_v"), ("cross_k", "cross_v")
ATTENTION = ("maps", "gates")
IMAGE_SIDE = ("image_encoder", "vision")
PART_PIXELS = 2**17  # of the pictures a thread reads at a time: two of 224 x 224 fit the cache of a core
SMALL_DECODER = 4_000_000  # bytes; below, waking a second thread costs a step more than it takes off it


class EngineError(ValueError):
    """A folder of graphs that cannot be run."""


Small = Annotated[int, Field(ge=1, le=4096)]


class EngineConfig(typed_json.Described):
    """engine.json: sizes of the model; those of a decoder where it has one. grid: patches down and across.
    searches: whether it has a dual encoder."""

    searches: bool = True
    embed_dim: Small | None = None
    grid: tuple[Small, Small]
    image_size: Annotated[int, Field(ge=1, le=MAX_SIDE)]
    vocab_size: Count
    head_width: Small | None = None
    heads: Small | None = None
    layers: Small | None = None
    max_answer: Small | None = None
    decoder_vocab_size: Count | None = None


@dataclass(frozen=True)
class LayerCache:
    """Keys of every layer so far, then values of every layer, [B, H, T, Dh] float32 each."""

    past: list[np.ndarray]

    def take(self, rows: np.ndarray) -> "LayerCache":
        return LayerCache([part[rows] for part in self.past])


class OnnxEngine:
    """Six graphs and engine.json in a folder, or three of a model that only searches, or only answers;
    implements `inference.engine.Engine`.

    On the processor ONNX Runtime gets a batch of pictures divided among the threads, as threads that share
    every product wait for each other at every node. A single picture, a text and a token are computed by all
    of them together.

    OpenVINO gets the float32 graphs of pictures alone, ONNX Runtime the others: a step of the decoder takes
    OpenVINO longer, and 8-bit numbers it rounds elsewhere, so that the answers would not be those that were
    measured (some of its means and maxima of them are wrong in 2026.4).

    provider: a name of execution_provider.PROVIDERS or OPENVINO; None: `chosen()`.
    """

    def __init__(self, folder: Path, threads: int = 1, provider: str | None = None):
        self.folder = Path(folder)
        path = self.folder / CONFIG
        if not path.is_file():
            raise EngineError(f"{path}: no such file; {REBUILD}")
        document = read_json(path)
        known = document.keys() if isinstance(document, dict) else set()
        answers = any(key in known for key in DECODER_KEYS)
        searches = not isinstance(document, dict) or document.get("searches", True)
        needed = CONFIG_KEYS + (SEARCH_KEYS if searches else ()) + (DECODER_KEYS if answers else ())
        missing = [key for key in needed if key not in known]
        if missing:
            raise EngineError(f"{path}: lacks {', '.join(missing)}; {REBUILD}")
        config = typed_json.check(path, document, EngineConfig, REBUILD)
        self.config: dict[str, Any] = config.model_dump(exclude_defaults=True)
        self._chosen = execution_provider.chosen() if provider is None else provider
        # An accelerator computes a batch at once, and OpenVINO divides it itself.
        self.threads = (
            threads if self._chosen in (execution_provider.CPU, *execution_provider.OPENVINO) else 1
        )
        self._divides = self.threads > 1 and self._chosen == execution_provider.CPU
        self.open(self.open_graph)
        if self._chosen in execution_provider.OPENVINO and self.provider != self._chosen:
            raise EngineError(
                f"{self.folder}: its graphs of pictures are not in float32, and {self._chosen} computes no "
                f"other; unset {execution_provider.VARIABLE}"
            )
        if self._divides:
            self._pool = ThreadPoolExecutor(self.threads)
        if answers:
            self._read_decoder(self.folder / "decoder.onnx")

    def open_graph(self, path: Path, threads: int) -> "Graph":
        """On the provider of this engine, or on ONNX Runtime what it does not give to OpenVINO."""
        if self._chosen in execution_provider.OPENVINO and not (path.stem in IMAGE_SIDE and _is_float(path)):
            return open_graph(path, threads, execution_provider.CPU)
        return open_graph(path, threads, self._chosen)

    def open(self, opener: "Callable[[Path, int], Graph]") -> None:
        """Open every graph by `opener`, which gets its path and the threads it may use (`open_graph`)."""
        paths = {name: self.folder / f"{name}.onnx" for name in graphs(self.config)}
        self._sessions = {
            name: opener(path, _threads(name, path, self.threads)) for name, path in paths.items()
        }
        self._single_threaded = {
            name: opener(paths[name], 1) for name in IMAGE_SIDE if name in paths and self._divides
        }

    def _read_decoder(self, path: Path) -> None:
        layers = self.config["layers"]
        self._reads = of_layers(CACHE + CROSS, layers)
        self._plain = ["logits", *of_layers(GROWN, layers)]
        self._all = self._plain + of_layers(ATTENTION, layers)
        inputs = {node.name: node.shape for node in self._sessions["decoder"].get_inputs()}
        if not inputs.keys() >= set(self._reads):
            raise EngineError(
                f"{path}: takes {', '.join(sorted(inputs))}, expected keys and values layer by "
                f"layer ({self._reads[0]}, ...): another version of the project exported it; {REBUILD}"
            )
        # A language model reads questions by itself, our own decoder through the text tower.
        self._reads_states = "states" in {node.name for node in self._sessions["memory"].get_inputs()}
        # Keys may have fewer heads than queries (grouped-query attention): the graph knows how many.
        self._past_shape = inputs[self._reads[0]]

    @property
    def provider(self) -> str:
        """What its graphs of pictures run on: a name of execution_provider.PROVIDERS or OPENVINO."""
        return execution_provider.of(
            next(self._sessions[name] for name in IMAGE_SIDE if name in self._sessions)
        )

    def search_digest(self) -> str:
        """sha256 of the graphs that make embeddings: what an index must have been built with."""
        digest = hashlib.sha256()
        for name in SEARCH_GRAPHS:
            digest.update(hashlib.sha256((self.folder / f"{name}.onnx").read_bytes()).digest())
        return digest.hexdigest()

    def image_tokens(self, pixels_BCYX: np.ndarray) -> np.ndarray:
        return self._run_images("vision", ["image_tokens"], pixels_BCYX)[0]

    def memory(self, image_tokens_BPD: np.ndarray, ids_BT: np.ndarray, mask_BT: np.ndarray) -> Memory:
        names = ["cross_k", "cross_v", "mask", "image"]
        text = {"ids": ids_BT, "text_mask": mask_BT}
        read = {"image_tokens": image_tokens_BPD, **text}
        if self._reads_states:
            read["states"] = self._run("text_encoder", ["states"], text)[0]
        return Memory(*self._run("memory", names, read))

    def step(
        self, tokens_BT: np.ndarray, cache: LayerCache | None, memory: Memory, k_L: np.ndarray, alpha: float,
        need_maps: bool,
    ) -> Step:  # fmt: skip
        past = self._empty_cache(tokens_BT.shape[0]) if cache is None else cache.past
        feed = dict(zip(self._reads, (*past, *memory.by_layer), strict=True))
        feed["tokens"], feed["mask"], feed["image"] = tokens_BT, memory.mask_BM, memory.image_BM
        feed["heads_kept"], feed["alpha"] = np.asarray(k_L, np.int64), np.asarray(alpha, np.float32)
        logits, *outputs = self._run("decoder", self._all if need_maps else self._plain, feed)
        if not need_maps:
            return Step(logits, LayerCache(outputs), None, None)
        attention, layers = outputs[len(past) :], len(k_L)
        maps, gates = _stacked(attention[:layers]), _stacked(attention[layers:])
        return Step(logits, LayerCache(outputs[: len(past)]), maps, gates)

    def embed_images(self, pixels_BCYX: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tokens, embeds = self._run_images("image_encoder", ["tokens", "embeds"], pixels_BCYX)
        return tokens, embeds

    def embed_texts(self, ids_BT: np.ndarray, mask_BT: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        read = {"ids": ids_BT, "text_mask": mask_BT}
        states, embeds = self._run("text_encoder", ["states", "embeds"], read)
        return states, embeds

    def match(self, tokens_BPD: np.ndarray, states_BTD: np.ndarray, mask_BT: np.ndarray) -> np.ndarray:
        read = {"tokens": tokens_BPD, "states": states_BTD, "text_mask": mask_BT}
        return self._run("fusion", ["match"], read)[0]

    def _empty_cache(self, batch: int) -> list[np.ndarray]:
        _, heads, _, width = self._past_shape
        return [np.zeros((batch, heads, 0, width), dtype=np.float32)] * len(CACHE) * self.config["layers"]

    def _run_images(self, graph: str, outputs: list[str], pixels_BCYX: np.ndarray) -> list[np.ndarray]:
        batch, _, *sides = pixels_BCYX.shape
        if not self._divides or batch == 1:
            return self._run(graph, outputs, {"pixels": pixels_BCYX})
        rows = max(1, min(math.ceil(batch / self.threads), PART_PIXELS // math.prod(sides)))
        parts = (pixels_BCYX[start : start + rows] for start in range(0, batch, rows))
        results = self._pool.map(
            lambda part: self._computed(self._single_threaded, graph, outputs, {"pixels": part}), parts
        )
        return [np.concatenate(column) for column in zip(*results, strict=True)]

    def _run(self, graph: str, outputs: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        return self._computed(self._sessions, graph, outputs, feed)

    def _computed(
        self, sessions: "Mapping[str, Graph]", graph: str, outputs: list[str],
        feed: dict[str, np.ndarray],
    ) -> list[np.ndarray]:  # fmt: skip
        """Raises EngineError where the graph does not take or give what the engine does."""
        try:
            return sessions[graph].run(outputs, feed)
        except Exception as error:  # as in `open_session`
            first = str(error).strip().splitlines()[0][:200]
            raise EngineError(
                f"{self.folder / graph}.onnx: does not fit {CONFIG} and the other graphs ({first}); {REBUILD}"
            ) from error


def graphs(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The graphs of a model with this engine.json."""
    if not config.get("searches", True):
        return ANSWERING_ALONE
    return GRAPHS if "layers" in config else SEARCH_SIDE


def of_layers(names: Sequence[str], layers: int) -> list[str]:
    """What the decoder calls these inputs or outputs: of all layers the first, then of all the next."""
    return [f"{name}.{layer}" for name in names for layer in range(layers)]


def _stacked(parts: list[np.ndarray]) -> np.ndarray:
    """np.stack in a third of its time, which is as long as the copying itself."""
    return np.concatenate(parts).reshape(len(parts), *parts[0].shape)


def _is_float(path: Path) -> bool:
    model = path.read_bytes() if path.is_file() else b""
    return not any(operator in model for operator in (b"QuantizeLinear", b"MatMulNBits"))


def _threads(name: str, path: Path, threads: int) -> int:
    small = name == "decoder" and path.is_file() and path.stat().st_size < SMALL_DECODER
    return 1 if small else threads


class Graph(Protocol):
    """A graph that runs: what an engine needs of an `ort.InferenceSession` or an `OpenVINOGraph`."""

    def run(self, outputs: list[str], feed: dict[str, np.ndarray]) -> list[np.ndarray]: ...

    def get_inputs(self) -> Sequence[Any]: ...

    def get_providers(self) -> list[str]: ...


def open_graph(path: Path, threads: int, provider: str) -> Graph:
    """A graph on a provider of execution_provider.PROVIDERS or OPENVINO, which computes the same bits every
    time. Raises EngineError for a file that is no whole graph."""
    if provider not in execution_provider.OPENVINO:
        return open_session(path, threads, provider)
    model = _read(path)
    try:
        return OpenVINOGraph(model, threads, provider, execution_provider.OPENVINO[provider])
    except RuntimeError as error:
        raise _unreadable(path, "OpenVINO", error) from error


def open_session(
    path: Path, threads: int, provider: str, profile: Path | None = None
) -> ort.InferenceSession:
    """The same of ONNX Runtime. profile: how the name of the file begins that its profiler writes; None: none
    is written."""
    model = _read(path)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    # Errors alone: it would warn of every attention map, for whose length ONNX infers 0.
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    try:
        return ort.InferenceSession(model, options, providers=execution_provider.arguments(provider))
    except Exception as error:  # ONNX Runtime's own exception types share no public base class
        raise _unreadable(path, "ONNX Runtime", error) from error


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise EngineError(f"{path}: no such file; {REBUILD}")
    model = path.read_bytes()
    # The key under which ONNX names a file outside the model. Ours hold their weights themselves, so a graph
    # with this key was not written here and may ask for any file of the machine.
    if b"location" in model:
        raise EngineError(
            f"{path}: the graph refers to a file outside itself, expected a single file; {REBUILD}"
        )
    return model


def _unreadable(path: Path, runtime: str, error: Exception) -> EngineError:
    first = str(error).strip().splitlines()[0][:200]
    return EngineError(f"{path}: no graph that {runtime} can run ({first}); {REBUILD}")
