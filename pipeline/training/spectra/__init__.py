"""Front ends in torch, for batches on the device where the network is."""
