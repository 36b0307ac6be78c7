"""A model in int8, made with clips of a dataset, and what int8 costs.

    model.json  model.safetensors  model.int8.xml  model.int8.bin  quantize.json

It is calibrated with windows of the training split and scored on another, both by the path of
tagging: decode, windows, engine. It is the same tagger with another id; its weights lie beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from time import process_time
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.arrays import Float32
from pipeline.configs.quantize import QuantizeConfig as QuantizeConfig
from pipeline.errors import UsageError
from pipeline.evaluation.labels.aggregate import aggregate
from pipeline.evaluation.labels.targets import target_matrix
from pipeline.evaluation.statistics.metrics import multilabel_metrics
from pipeline.flows.evaluation.clip_scorer import clip_scorer
from pipeline.flows.evaluation.clips import check_split, clip_shards, count_clips, read_clips
from pipeline.inference.described import describe, windows_of
from pipeline.inference.inference_config import InferenceConfig, inference_config
from pipeline.models.card import model_there
from pipeline.models.engines.engines import make_engine
from pipeline.models.engines.graphs import INT8_FILES, best_precision
from pipeline.models.engines.quantize import quantized_graph, save_quantized
from pipeline.models.model import ModelCard, load_model
from pipeline.models.networks.classical import CLASSICAL
from pipeline.models.starter import model_folders, model_uri
from pipeline.runs.provenance import provenance
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.store.out import MODEL, check_out
from pipeline.tagging.truth import split_truth
from schemas.evaluation import QuantizationRecord

_N_TIMED, _N_TIMINGS = 16, 3

Figures = dict[str, float | None]


def quantize(config: QuantizeConfig) -> QuantizationRecord:
    """Write the int8 model, score it beside the others; return what quantize.json holds."""
    inputs = {"--model": model_folders(config.model), "--dataset": config.dataset}
    check_out(config.out, MODEL, inputs)
    inference = replace(inference_config(config.model, None, None, gpu=False), engine="openvino")
    if inference.model_card.architecture.name in CLASSICAL:
        raise UsageError(
            f"{config.model}: {inference.card.model_id} is computed in float64, as scikit-learn "
            "does; int8 is for networks"
        )
    dataset, out = Dataset.open(config.dataset), Folder(config.out)
    _check(dataset, config, inference)
    model_id = inference.card.model_id
    model_there(out, lambda card: (card.quantized or {}).get("model_id") == model_id)
    with out.claimed():
        windows, n_clips = calibration_windows(
            dataset, inference, n_windows=config.n_windows, seed=config.seed
        )
        tagger, card = load_model(config.model)
        files = quantized_graph(tagger, windows)
        calibration = {
            "dataset": dataset.folder.uri,
            "dataset_fingerprint": dataset.record().fingerprint,
            "n_windows": len(windows),
            "n_clips": n_clips,
            "seed": config.seed,
        }
        new = save_quantized(Folder(model_uri(config.model)), card, files, out, calibration)
        figures = _figures(dataset, config, _ways(inference, config, new), windows[:_N_TIMED])
        record = QuantizationRecord(
            model_id=new.model_id,
            quantized=new.quantized or {},
            split=config.split,
            aggregation=inference.aggregation,
            precisions=figures,
            drop=_macro_f1(figures["f32"]) - _macro_f1(figures["int8"]),
            max_drop=config.max_drop,
            graph_bytes=sum(len(files[name]) for name in INT8_FILES),
            provenance=provenance(),
        )
        out.write_json("quantize.json", record.to_dict())
    return record


def _ways(
    inference: InferenceConfig, config: QuantizeConfig, card: ModelCard
) -> dict[str, InferenceConfig]:
    """Return how the model is run by precision: f32, bf16 where this CPU has it, and int8."""
    ways = {p: replace(inference, precision=p) for p in dict.fromkeys(("f32", best_precision()))}
    ways["int8"] = replace(inference, model=config.out, card=card, precision="int8")
    return ways


def calibration_windows(
    dataset: Dataset, inference: InferenceConfig, *, n_windows: int, seed: int
) -> tuple[npt.NDArray[Any], int]:
    """Return windows of the training split as serving has them, and of how many clips they are.

    As few as can be are of the same clip. Shards are read in a random order until there are enough.
    """
    rng = np.random.default_rng(seed)
    shards = clip_shards(dataset, "train")
    n_clips = count_clips(dataset, shards)
    a_clip = -(-n_windows // n_clips)
    parts: list[npt.NDArray[Any]] = []
    for k in rng.permutation(len(shards)):
        for clip in read_clips(pa.table({"shard": [shards[k]]}), dataset=dataset):
            (described,) = describe(clip, inference)
            (windows,) = windows_of(described, inference)
            windows = windows[:][np.array(described["active"][0].as_py(), bool)]
            chosen = rng.choice(len(windows), min(a_clip, len(windows)), replace=False)
            parts.append(windows[np.sort(chosen)])
            if sum(map(len, parts)) >= n_windows:
                return np.concatenate(parts)[:n_windows], len(parts)
    return np.concatenate(parts), len(parts)


def _figures(
    dataset: Dataset,
    config: QuantizeConfig,
    ways: dict[str, InferenceConfig],
    timed: npt.NDArray[Any],
) -> dict[str, Figures]:
    """Return how f32, bf16 where this CPU has it, and int8 do on a split."""
    shards, max_wait_s = clip_shards(dataset, config.split), config.max_wait_s
    with clip_scorer(dataset, [config.split], ways["f32"], max_wait_s=max_wait_s) as scorer:
        found = {name: scorer.window_scores(shards, one) for name, one in ways.items()}
    truth, unknown = split_truth(dataset, config.split), dataset.unknown(config.split)
    targets = target_matrix(truth.values(), map(unknown.get, truth), ways["f32"].codes)
    return {
        name: {
            **_quality([windows.get(uri) for uri in truth], targets, ways[name]),
            "largest_difference": _largest_difference(windows, found["f32"]),
            "windows_per_cpu_s": _speed(ways[name], timed),
        }
        for name, windows in found.items()
    }


def _quality(
    windows: Sequence[Float32 | None], targets: Float32, inference: InferenceConfig
) -> Figures:
    """Return the metrics of clips from the scores of their windows; a broken clip has none."""
    none = np.zeros((0, len(inference.codes)), np.float32)
    hop_s = inference.windows.hop_s
    scores = [
        aggregate(none if of is None else of, inference.aggregation, hop_s=hop_s) for of in windows
    ]
    metrics = multilabel_metrics(
        targets, np.stack(scores), thresholds=inference.thresholds, class_codes=inference.codes
    )
    return {
        "macro_f1_present": metrics.macro_f1_present,
        "macro_f1": metrics.macro_f1,
        "micro_f1": metrics.micro_f1,
        "mean_average_precision": metrics.mean_average_precision,
    }


def _macro_f1(figures: Figures) -> float:
    """Return the macro F1 of the classes that the split has."""
    return figures["macro_f1_present"] or 0.0


def _largest_difference(windows: dict[str, Float32], reference: dict[str, Float32]) -> float:
    apart = [float(np.abs(windows[uri] - scores).max()) for uri, scores in reference.items()]
    return max(apart, default=0.0)


def _speed(inference: InferenceConfig, windows: npt.NDArray[Any]) -> float:
    """Return windows a second of one core's time, the median of some runs."""
    engine = make_engine(inference.model, engine=inference.engine, precision=inference.precision)
    seconds = []
    for _ in range(_N_TIMINGS + 1):
        began = process_time()
        engine.scores(windows)
        seconds.append(process_time() - began)
    return len(windows) / float(np.median(seconds[1:]))  # the first one is slower


def _check(dataset: Dataset, config: QuantizeConfig, inference: InferenceConfig) -> None:
    if inference.model_card.quantized is not None:
        raise UsageError(f"{config.model}: {inference.card.model_id} is int8 already")
    for split in ("train", config.split):
        check_split(dataset, split, inference)
