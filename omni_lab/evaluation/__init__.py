"""What a trained model knows: answers, retrieval, and which sense its answers follow."""
