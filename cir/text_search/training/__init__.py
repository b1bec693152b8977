"""Train a captioner, caption images, and fine-tune the encoder on captions."""
