"""`corpus thin` as a user runs it."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bayes_infolaw.cli.app import app
from bayes_infolaw.harness.store import Corpus
from tests.harness.generated import generate_corpus

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate_corpus(tmp_path_factory.mktemp("thin") / "corpus", n_documents=400)


def run(*arguments):
    return CliRunner().invoke(app, ["corpus", "thin", *map(str, arguments)])


def test_the_answer_is_what_was_written(corpus, tmp_path):
    found = run(corpus, "--tokens", "2e4", "--out", tmp_path / "small", "--json")
    assert found.exit_code == 0, found.output
    answer = json.loads(found.stdout)
    small = Corpus.open(tmp_path / "small")
    assert answer["hash"] == small.hash
    assert answer["from"] == Corpus.open(corpus).hash
    assert answer["tokens"] == {name: small.bucket(name).tokens for name in small.buckets}
    assert 2e4 <= sum(answer["tokens"].values()) < 2.2e4


def test_text_names_the_total(corpus, tmp_path):
    found = run(corpus, "--tokens", "2e4", "--out", tmp_path / "small")
    total = sum(Corpus.open(tmp_path / "small").bucket(str(d)).tokens for d in range(3))
    assert f"{total} training tokens in small" in found.stdout


def test_bytes_a_token_are_those_of_the_sample(corpus, tmp_path):
    def rate(folder):
        found = CliRunner().invoke(app, ["corpus", "describe", str(folder), "--json"])
        return json.loads(found.stdout)["tokenizer"]["bytes_per_token"]

    shown = run(corpus, "--tokens", "2e4", "--out", tmp_path / "small").stdout
    assert rate(tmp_path / "small") == pytest.approx(rate(corpus), rel=0.1)
    assert f"({rate(tmp_path / 'small'):.2f} bytes a token)" in " ".join(shown.split())


def test_a_sample_is_described_as_one(corpus, tmp_path):
    """Licences are known by name, not by number; indices of an early corpus have no hash."""
    manifest = json.loads((corpus / "corpus.json").read_text())
    early = Path(shutil.copytree(corpus, tmp_path / "early"))
    for shard in manifest["evaluation"][0]["shards"]:
        del shard["index_sha256"], shard["bytes_sha256"]
    (early / "corpus.json").write_text(json.dumps(manifest))
    run(early, "--tokens", "2e4", "--out", tmp_path / "small")
    found = CliRunner().invoke(app, ["corpus", "describe", str(tmp_path / "small"), "--verify"])
    assert found.exit_code == 0, found.output
    said = " ".join(found.stdout.split())
    for part in (
        f"A sample of the corpus {manifest['hash']}",
        "CC-BY-4.0",
        "Every file is what the manifest says.",
        "no hash of 2 index files",
    ):
        assert part in said
    assert "None" not in said


def test_a_number_that_is_none_is_named(corpus, tmp_path):
    found = run(corpus, "--tokens", "many", "--out", tmp_path / "small")
    assert found.exit_code == 2
    assert "--tokens: must be a number, got 'many'" in found.stderr
    assert not list(tmp_path.iterdir())
