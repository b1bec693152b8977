"""Export the trained models → export/submission, a folder that runs by itself."""

from pathlib import Path

from cir.core import files
from cir.retrieval.params import ExportSubmission
from cir.retrieval.submission.export import export
from stages.params import StageParams, load
from stages.run import run

ENCODER = Path("models/encoder")
TAGGER = Path("models/tagger")
SUBMISSION = Path("export/submission")


class Params(StageParams):
    export_submission: ExportSubmission


def main() -> None:
    params = load(Params).export_submission
    with files.exclusive(SUBMISSION):
        size = export(ENCODER, TAGGER, SUBMISSION, params.batch_size)
    print(f"{SUBMISSION}: {size / 1e6:,.1f} MB, tried in a process of its own")


if __name__ == "__main__":
    run(main)
