"""What makes a semi-supervised method: teacher, target, threshold and loss terms."""
