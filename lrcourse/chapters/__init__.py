"""What one chapter of the book needs and no other: a module for each chapter."""
