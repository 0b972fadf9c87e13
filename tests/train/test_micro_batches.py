"""A batch in parts has the gradients of the whole: of every task, in one process and in two, with dropout."""

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from sightline.core import registry
from sightline.core.runtime import Runtime
from sightline.train import distributed, micro_batches
from sightline.train.image_loader import ImageLoader
from sightline.train.step_profiler import Unprofiled
from sightline.train.task import ComparingTask, Task, on_device, rows_of, slices
from tests.train.test_tasks import ALONE, TRAIN, Scenes, fit

PLAIN = torch.amp.GradScaler(enabled=False)
PROFILER = Unprofiled()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return Scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def doubled(value):
    if isinstance(value, torch.Tensor):
        return value.double() if value.is_floating_point() else value
    return {key: doubled(part) for key, part in value.items()} if isinstance(value, dict) else value


class DoublePictures(ImageLoader):
    def __call__(self, *arguments):
        return super().__call__(*arguments).double()


def ready(task: Task, double: bool) -> Task:
    """Training in all parts, with the statistics of the batch norms as they are: a part has its own."""
    task.enter(1)
    task.train()
    for module in task.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.eval()
    if double:
        place = task.place
        task.double().place = lambda loaded: doubled(place(loaded))
        if getattr(task, "features", None) is not None:
            task.features.pictures = DoublePictures(task.items, task.model.vision)
    return task


def gradients(task: Task, rows: int) -> tuple[float, dict[str, float], dict[str, torch.Tensor]]:
    """Loss, report and gradients; rows: of a part, 0 for the whole batch by one call of `forward`."""
    torch.manual_seed(7)
    if rows:
        loss, report = micro_batches.backward(task, task.load(0), rows, PLAIN, nullcontext, PROFILER)
    else:
        loss, report = task(task.batch(0))
        loss.backward()
    found = {name: p.grad.clone() for name, p in task.named_parameters() if p.grad is not None}
    task.zero_grad()
    return loss.item(), {name: float(value) for name, value in report.items()}, found


TASKS = {
    "mlm": lambda data: data.mlm(),
    "alignment": lambda data: data.contrastive(captions_per_image=2),
    "heads alone": lambda data: data.contrastive(tuning="frozen"),
    "answering": lambda data: data.answering(captions_per_image=2),
    "kept features": lambda data: data.answering(freeze_vision=True),
    "blind": lambda data: data.answering(blind=True),
}


@pytest.mark.parametrize("rows", [5, 1])
@pytest.mark.parametrize("name", TASKS)
def test_parts_have_the_gradients_of_the_whole_batch_in_float64(data, name, rows):
    """12 rows: parts of 5, 5 and 2, or of 1. Losses are computed in float32 of what float64 gives, so their
    gradients there are the same bits, and the rest is float64's rounding."""
    task = ready(TASKS[name](data), double=True)
    loss, report, whole = gradients(task, 0)
    in_parts, report_of_parts, parts = gradients(task, rows)
    assert in_parts == pytest.approx(loss, rel=1e-6) and parts.keys() == whole.keys() and len(whole) > 5
    assert report_of_parts == pytest.approx(report, rel=1e-5)
    for key, gradient in whole.items():
        torch.testing.assert_close(parts[key], gradient, atol=1e-10, rtol=1e-10, msg=key)


def test_parts_have_the_gradients_of_the_whole_batch_in_float32(data):
    """Sums of 12 rows in another order: of gradients up to 1 in size float32 keeps 6e-8 at each of some
    hundred additions, 1e-5 at most; a part that is lost or counts twice shows at order 0.1."""
    task = ready(data.contrastive(), double=False)
    _, _, whole = gradients(task, 0)
    _, _, parts = gradients(task, 4)
    largest = max(float(gradient.abs().max()) for gradient in whole.values())
    assert set(parts) == set(whole)
    for key, gradient in whole.items():
        torch.testing.assert_close(parts[key], gradient, atol=1e-5 * largest, rtol=1e-4, msg=key)


class Towers(ComparingTask):
    """Two towers with dropout; eight pairs, of which a process has its share."""

    per_step = 8

    def __init__(self, run: Runtime, loss: str, dropout: float = 0.0, local: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rank = run.rank if local else None
        self.run, self.loss = run, registry.load("train/losses", loss).loss
        self.model = torch.nn.ModuleDict(
            {name: torch.nn.Sequential(torch.nn.Dropout(dropout), torch.nn.Linear(5, 6)) for name in "ab"}
        )
        self.scale = torch.nn.Parameter(torch.tensor(5.0))
        self.pairs = torch.randn(2, 8, 5, dtype=torch.float64)
        self.double()

    def load(self, step):
        share = 8 // self.run.world
        mine = slice(self.run.rank * share, (self.run.rank + 1) * share)
        return {"items": list(range(8))[mine], "a": self.pairs[0, mine], "b": self.pairs[1, mine]}

    def parts(self, loaded, rows):
        return [
            {name: rows_of(value, part) for name, value in loaded.items()}
            for part in slices(8 // self.run.world, rows)
        ]

    def represent(self, batch):
        return {name: normalize(self.model[name](batch[name])) for name in "ab"}

    def compare(self, rows):
        loss = self.loss(rows["a"], rows["b"], self.scale, distributed.gather, rank=self.rank)
        return loss, {}

    def evaluate(self):
        return 0.0, {}


class InOneGraph(Towers):
    """The same parts in the same order with the same random numbers, and one graph for all."""

    def forward(self, batch):
        rows = [self.represent(part) for part in self.parts(batch, 3)]
        return self.compare({name: torch.cat([each[name] for each in rows]) for name in "ab"})


def test_dropout_is_replayed():
    _, _, expected = gradients(InOneGraph(ALONE, "info_nce", 0.5).train(), 0)
    _, _, found = gradients(Towers(ALONE, "info_nce", 0.5).train(), 3)
    _, _, other = gradients(Towers(ALONE, "info_nce", 0.0).train(), 3)
    assert set(found) == set(other) == set(expected)
    for key, gradient in expected.items():
        torch.testing.assert_close(found[key], gradient, atol=1e-12, rtol=1e-12)
        assert not torch.allclose(other[key], gradient, atol=1e-3)


def of_two_processes(rank: int, store: str, results) -> None:
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    for loss in ("info_nce", "siglip"):
        for rows, local in ((1, False), (3, False), (3, True), (4, True)):
            found = gradients(Towers(Runtime("cpu", rank, 2, 1), loss, local=local), rows)[2]
            results.put((loss, {key: gradient.tolist() for key, gradient in found.items()}))
    dist.barrier()
    dist.destroy_process_group()


def test_two_processes_have_the_gradient_of_one_batch(tmp_path: Path):
    """In parts of 1, of 3 and 1, and of all 4 rows; also where each compares its own rows alone."""
    context = torch.multiprocessing.get_context("spawn")
    results = context.Queue()
    arguments = [(rank, str(tmp_path / "store"), results) for rank in range(2)]
    processes = [context.Process(target=of_two_processes, args=each, daemon=True) for each in arguments]
    for process in processes:
        process.start()
    for _ in range(16):
        loss, found = results.get(timeout=120)
        _, _, expected = gradients(Towers(ALONE, loss), 0)
        assert found.keys() == expected.keys()
        for key, gradient in expected.items():
            torch.testing.assert_close(
                torch.tensor(found[key], dtype=torch.float64), gradient, atol=1e-10, rtol=1e-10
            )
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]


def test_a_training_in_parts_takes_the_same_steps(data, tmp_path, monkeypatch):
    """Six steps of Adam, which enlarges rounding: 1e-4 of rates of 1e-3; without one part they differ by
    more than 1e-3."""
    weights = []
    for rows in (0, 5):
        task = data.mlm()
        task.steps = 6
        (tmp_path / str(rows)).mkdir()
        fit(task, tmp_path / str(rows), monkeypatch, 1e-3, micro_batch=rows)
        weights.append(task.model.state_dict())
    assert set(weights[0]) == set(weights[1])
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, atol=1e-4, rtol=1e-3, msg=name)


def test_parts_are_needed_where_a_process_has_more_rows(data):
    task = data.mlm()
    needed = {rows: micro_batches.are_needed(task, rows, ALONE) for rows in (0, 5, TRAIN - 1, TRAIN, 99)}
    assert needed == {0: False, 5: True, TRAIN - 1: True, TRAIN: False, 99: False}
    assert not micro_batches.are_needed(task, TRAIN // 2, Runtime("cpu", 0, 2, 1))


def test_a_loss_that_does_not_come_apart_is_computed_whole(data):
    class Whole(Task):
        per_step, run = 3, ALONE

        def __init__(self):
            super().__init__()
            self.model = torch.nn.Linear(2, 1)

        def load(self, step):
            return {"items": [0, 1, 2], "rows": torch.ones(3, 2)}

        def forward(self, batch):
            return self.model(on_device(batch, "cpu")["rows"]).square().mean(), {}

        def evaluate(self):
            return 0.0, {}

    task = Whole()
    whole, parts = gradients(task, 0)[2], gradients(task, 1)[2]
    assert all(torch.equal(parts[key], gradient) for key, gradient in whole.items()) and whole
