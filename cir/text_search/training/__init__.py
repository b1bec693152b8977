"""Train a captioner, caption images, and fine-tune the encoder on captions.

Captioner: captions(pixels [B, 3, H, W]) -> a list of captions for each image, save, load.
`finetuning` has the objective, the batches and the validation of the encoder.
"""
