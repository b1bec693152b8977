"""Decode images, and store images and triplets in shards.

`decoding.decode(bytes, name)` returns an RGB image of any supported file;
`shards.ImageShards(folder)` reads the images and triplets that a stage wrote."""
