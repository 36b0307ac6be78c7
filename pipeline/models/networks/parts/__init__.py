"""What several networks are built of: layers, pools, weights of others, trees as tensors."""
