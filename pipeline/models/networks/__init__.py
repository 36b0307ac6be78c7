"""Networks: windows of features in, a logit per class out. `registry.build_network` makes them."""
