"""Build and train the tagger, which reads a sentence that asks for an edit.

`expansion` fills the templates with object names, `augmentation` varies the sentences, `training`
fine-tunes the tagger. Packages that only read sentences need `cir.edits.reading` alone."""
