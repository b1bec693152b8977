"""Where images and triplets come from, and the shards in which they travel.

`contest`, `coco` and `drawn` are alternatives: each makes train, val and test splits of the same
form. `images` decodes, `split` divides, `shards` writes and reads what all of them come to.
"""
