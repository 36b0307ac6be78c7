"""What a training step's time goes to, on a CPU: the network, and everything beside it.

    python benchmarks/step_profile.py [--model resnet50] [--steps 6]

One training in this process, one thread, windows and augmentation as by default, under cProfile;
printed is each part's share of the time of the steps; that of `forward` also has the validation's.
Batches are made by another thread meanwhile; of them the loop's waits count.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats

import torch
from train import clips, clips_for, tagger  # of this folder

from pipeline.training.config import TrainConfig
from pipeline.training.loop import Hooks, train

PARTS = {
    "forward": ("_call_impl", "module.py"),
    "backward": ("backward", "_tensor.py"),
    "optimiser": ("step", "adam.py"),
    "running mean": ("follow", "averaging.py"),
    "augmentation": ("augmented", "loop.py"),
    "learning rate": ("set_learning_rate", "schedule.py"),
    "loss": ("window_losses", "losses.py"),
    "waits for batches": ("__next__", "loader.py"),
}


def main() -> None:
    """Train for some steps and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="resnet50", help="a network of log-mels")
    parser.add_argument("--batch-size", type=int, default=16, help="windows a step")
    parser.add_argument("--steps", type=int, default=6, help="steps of the run")
    flags = parser.parse_args()
    torch.set_num_threads(1)
    config = TrainConfig(model=flags.model, epochs=1, batch_size=flags.batch_size, precision="f32")
    profile = cProfile.Profile()
    hooks = Hooks(
        lambda step: None,
        lambda metrics, state: None,
        on_waits=lambda waited_s, steps_s: seconds.append(steps_s),
    )
    seconds: list[float] = []
    train_set, val_set, model = clips_for(flags, 1), clips(1), tagger(flags)
    profile.enable()
    train(
        config, model, train_set, val_set,
        device=torch.device("cpu"), checkpoint=None, hooks=hooks,
    )  # fmt: skip
    profile.disable()
    found = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for name, (function, file) in PARTS.items():
        own = [
            value[3]
            for key, value in found.items()
            if key[2] == function and key[0].endswith(f"/{file}")
        ]
        print(f"{name:<20}{sum(own) / seconds[0]:8.2%}")
    print(f"{flags.model}, batches of {flags.batch_size}, {seconds[0] / flags.steps:.2f} s a step")


if __name__ == "__main__":
    main()
