"""From a trained model to another: fine-tuning, probes on embeddings, distillation."""
