"""Build and train the tagger, which reads a sentence that asks for an edit.

`expansion` fills the templates with object names, `augmentation` varies the sentences, `models`
creates the tagger and `training` trains it. The package knows nothing of images. Packages that
only read sentences need `cir.edits.reading` alone."""
