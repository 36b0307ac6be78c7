"""What one step of a training is made of: losses, gradients, running means, other ranks."""
