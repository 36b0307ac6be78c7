"""A model: its folder and card, networks, pretrained families, the engines that run it."""
