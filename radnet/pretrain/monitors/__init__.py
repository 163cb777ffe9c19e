"""What makes a run visible: speed, features, diagnosis in words, an online kNN, TensorBoard and W&B, the curves."""
