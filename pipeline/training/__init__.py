"""Datasets in, model folders out: the loop, its schedule, its data, transfer. torch, no Ray."""
