"""The running mean of the weights follows a model, its batch norm's buffers included."""

import copy

import pytest
import torch
from torch import nn

from pipeline.training.step.averaging import Averaging
from pipeline.training.step.ranks import sends_bf16


def test_the_average_follows_weights_and_buffers_and_takes_counts():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = copy.deepcopy(model)
    averaging, expected = Averaging(average, model), copy.deepcopy(average.state_dict())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    for step in range(4):
        model(torch.randn(8, 3)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        averaging.follow(0.5 + step / 10)
        for name, new in model.state_dict().items():
            if new.is_floating_point():
                expected[name].lerp_(new, 1 - (0.5 + step / 10))
            else:
                expected[name].copy_(new)
    for name, found in average.state_dict().items():
        assert torch.equal(found, expected[name])
    assert average[1].num_batches_tracked == 4


def test_it_follows_what_a_checkpoint_brought():
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    average = copy.deepcopy(model)
    averaging = Averaging(average, model)
    model.load_state_dict(other.state_dict())
    averaging.follow(0.0)
    assert torch.equal(average.weight, other.weight)


@pytest.mark.parametrize(
    ("n_here", "device", "precision", "expected"),
    [
        (2, "cuda", "bf16", True),
        (4, "cuda", "bf16", False),  # all on one node
        (2, "cuda", "f32", False),
        (2, "cpu", "bf16", False),
    ],
)
def test_gradients_are_halved_between_nodes_of_gpus_only(n_here, device, precision, expected):
    assert sends_bf16(n_here, 4, torch.device(device), precision) == expected
