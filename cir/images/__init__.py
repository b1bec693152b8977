"""Decode images, and read and write the images and triplets of a split.

Contract: `decoding.decode(bytes or path, name)` returns an RGB image or raises UserError;
`shards.ImageShards(folder)` reads the images that `shards.write` wrote."""
