"""Prepare images with captions and graded text queries."""
