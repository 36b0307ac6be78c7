"""Training of values in place of classes: what goes with it, its targets, loss and figures."""
