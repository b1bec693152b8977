import json
import re

import pytest
from pydantic import Field

from cir.core.errors import UserError
from cir.core.metrics_files import MetricsFile
from cir.core.params import Section, Share


class Part(Section):
    name: str
    recall: Share = Field(alias="recall@1")


class Figures(MetricsFile):
    accuracy: Share
    novel_accuracy: Share | None = None
    parts: list[Part]


def test_a_file_is_read_as_it_was_written(tmp_path):
    figures = Figures(accuracy=0.5, parts=[Part(name="a", recall=0.25)])
    figures.write(tmp_path / "figures.json")
    content = json.loads((tmp_path / "figures.json").read_text())
    assert content == {"accuracy": 0.5, "parts": [{"name": "a", "recall@1": 0.25}]}
    assert Figures.read(tmp_path / "figures.json") == figures


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"parts": []}, "accuracy: field required"),
        ({"accuracy": 0.5, "parts": [{"name": "a"}]}, "parts.0.recall@1: field required"),
        ({"accuracy": 2, "parts": []}, "accuracy: input should be less than or equal to 1"),
        ({"accuracy": 1, "parts": [], "mrr": 1}, "mrr: extra inputs are not permitted"),
        ([], "the whole file: input should be a valid dictionary"),
    ],
)
def test_a_file_of_another_form_is_refused_with_its_key(tmp_path, content, problem):
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(content))
    sentence = f"{path} does not have the form that its stage writes ({problem}"
    with pytest.raises(UserError, match=re.escape(sentence)):
        Figures.read(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"figures\.json does not exist"):
        Figures.read(tmp_path / "figures.json")
