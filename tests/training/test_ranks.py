"""Several ranks learn what one rank learns of the same batches."""

import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from pipeline.models.model import Architecture, Tagger
from pipeline.training.config import TrainConfig
from pipeline.training.loop import Hooks, train
from tests.training.test_epochs import window_set

pytestmark = pytest.mark.slow

CONFIG = TrainConfig(
    model="resnet10t", input_size=(16, 16), epochs=2, lr=1e-3, augment=(), dropout=0.0
)


class Dense(nn.Sequential):
    """Without batch norm, so that gradients do not depend on who has which rows."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(256, 8), nn.Tanh(), nn.Linear(8, 2))

    def get_classifier(self) -> nn.Module:
        return self[-1]


def learned(
    batch_size: int, accumulate: int, *, some_unknown: bool
) -> tuple[list[float], torch.Tensor]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tagger = Tagger(Architecture("resnet10t", 2, (16, 16), dropout=0.0))
    tagger.backbone = Dense()
    config = TrainConfig(
        **{**vars(CONFIG), "batch_size": batch_size, "accumulate": accumulate, "precision": "f32"}
    )
    data = window_set([862, 400, 300, 862])  # 29 windows: the last step is a short one
    if some_unknown:
        data.targets[0, 1] = data.targets[2] = float("nan")
    progress = train(
        config, tagger, data, data, device=torch.device("cpu"), checkpoint=None,
        hooks=Hooks(lambda step: None, lambda metrics, state: None),
    )  # fmt: skip
    weights = torch.cat([w.flatten() for w in progress.best_weights.values()])
    return [row["train_loss"] for row in progress.history], weights


def rank_of_two(
    rank: int, port: int, folder: Path, batch_size: int, accumulate: int, some_unknown: bool
) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    found = learned(batch_size, accumulate, some_unknown=some_unknown)
    torch.save(found, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.parametrize(("accumulate", "some_unknown"), [(1, False), (3, False), (1, True)])
def test_two_ranks_learn_what_one_learns(tmp_path: Path, accumulate: int, some_unknown: bool):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    mp.spawn(rank_of_two, (port, tmp_path, 4, accumulate, some_unknown), nprocs=2)
    (losses, weights), (others, other_weights) = (
        torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)
    )
    alone, expected = learned(8, accumulate, some_unknown=some_unknown)
    assert torch.equal(weights, other_weights) and losses == others
    assert losses == pytest.approx(alone, rel=1e-5)
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-6)
