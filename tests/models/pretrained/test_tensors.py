"""A file's tensors are a network's, or it is said which one is not."""

import pytest
import torch
from torch import nn

from pipeline.errors import UsageError
from pipeline.models.pretrained.tensors import exact_tensors

NETWORK = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def given(**changed) -> dict[str, torch.Tensor]:
    return exact_tensors(
        {**NETWORK.state_dict(), **changed}, NETWORK, source="a.pt", expected="mn of them"
    )


def test_the_network_s_own_are_taken_in_its_order():
    state = NETWORK.state_dict()
    backwards = dict(reversed(state.items()))
    found = exact_tensors(backwards, NETWORK, source="a.pt", expected="mn")
    assert list(found) == list(state)
    assert found["0.weight"] is state["0.weight"]


def test_old_files_have_no_counters():
    state = NETWORK.state_dict()
    del state["1.num_batches_tracked"]
    found = exact_tensors(state, NETWORK, source="a.pt", expected="mn")
    NETWORK.load_state_dict(found)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"0.bias": torch.zeros(3)}, "0.bias is 3 and should be 2"),
        ({"1.num_batches_tracked": torch.zeros(1)}, "is 1 and should be one number"),
        ({"2.weight": torch.zeros(3)}, "2.weight has no place in it"),
    ],
)
def test_what_does_not_fit_is_named(changed, said):
    with pytest.raises(UsageError) as told:
        given(**changed)
    assert str(told.value).startswith("weights 'a.pt': expected mn of them; ")
    assert str(told.value).endswith(said)


def test_what_is_missing_is_named():
    state = NETWORK.state_dict()
    del state["1.running_var"]
    with pytest.raises(UsageError, match=r"1\.running_var is not there$"):
        exact_tensors(state, NETWORK, source="a.pt", expected="mn")
