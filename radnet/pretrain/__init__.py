"""Floor 6: methods of self-supervised pretraining and the loop that runs them."""
