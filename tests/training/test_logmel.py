"""The log-mel in torch is the log-mel."""

import numpy as np
import pytest
import torch

from pipeline.audio.spectra.logmel import LogMelSpec, log_mel
from pipeline.training.spectra.logmel import LogMel

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")),
]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "spec",
    [
        LogMelSpec(),
        LogMelSpec(sample_rate_hz=16_000, n_fft=400, hop=160, n_mels=64, htk=True),
        LogMelSpec(padding="reflect"),
    ],
    ids=str,
)
def test_torch_equals_numpy(spec, device, rng):
    samples = (rng.standard_normal((2, 3, 20_000)) * 0.1).astype(np.float32)
    ours = LogMel(spec).to(device)(torch.from_numpy(samples).to(device)).cpu().numpy()
    theirs = log_mel(samples, spec)
    floor = theirs.max() - 80
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(
        np.maximum(ours, floor), np.maximum(theirs, floor), rtol=0, atol=2e-3
    )
