"""Groups of chunks, and tokenizers that others made."""

import json
from itertools import pairwise

import pytest
from tokenizers import Tokenizer

from bayes_infolaw.harness.corpus.settings import CorpusSettings
from bayes_infolaw.harness.corpus.tokens import END_OF_TEXT, group_chunks, make_tokenizer
from bayes_infolaw.harness.corpus.work import Chunk, Work
from bayes_infolaw.harness.shards import TokenWriter

from ..generated import train_tokenizer

pytestmark = pytest.mark.train


@pytest.mark.parametrize(
    ("n_chunks", "groups", "largest"),
    [
        *((1, 1, 1), (16, 1, 16), (17, 2, 16), (20, 2, 16)),  # as the first ladder's was
        *((2048, 128, 16), (2049, 121, 17), (16_384, 128, 128), (62_500, 489, 128)),
    ],
)
def test_groups_grow_before_they_become_many(n_chunks: int, groups: int, largest: int) -> None:
    chunks = [Chunk(str(i), i, 1, 1, 0, "heldout") for i in range(n_chunks)]
    found = group_chunks(chunks, {"end_of_text": 0, "vocab_size": 300})
    assert [chunk for group in found for chunk in group.chunks] == chunks
    assert (len(found), max(len(group.chunks) for group in found)) == (groups, largest)
    assert all(b.number - a.number == 1 for a, b in pairwise(found))


def test_a_vocabulary_with_gaps_has_room_for_its_largest_id(tmp_path) -> None:
    path = tmp_path / "given.json"
    content = json.loads(train_tokenizer(["the quick brown fox"], 270).to_str())
    content["model"]["vocab"][END_OF_TEXT] = content["added_tokens"][0]["id"] = 299
    path.write_text(json.dumps(content))
    assert Tokenizer.from_file(str(path)).get_vocab_size() < 299
    facts = make_tokenizer(Work(tmp_path / "work", CorpusSettings()), (1, str(path)))
    assert (facts["end_of_text"], facts["vocab_size"]) == (299, 300)
    with TokenWriter(tmp_path, "buckets/0", facts["vocab_size"]) as writer:
        writer.add([facts["end_of_text"]])
    assert writer.entries[0]["tokens"] == 1
