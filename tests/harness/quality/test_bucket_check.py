"""The byte n-gram model, against a slow one written from the formula."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from bayes_infolaw.errors import InputError
from bayes_infolaw.harness.quality import bucket_perplexities

from .generated_text import listing, prose


def witten_bell_bits(train: str, text: str, order: int) -> float:
    """Bits per byte by recursion: P = (c(hb) + T(h) P') / (c(h) + T(h)), down to 1/256."""
    data = b"\n" * 7 + train.encode()
    follow: dict[bytes, Counter[int]] = defaultdict(Counter)
    for i in range(7, len(data)):
        for n in range(order + 1):
            follow[data[i - n : i]][data[i]] += 1

    def probability(context: bytes, byte: int, n: int) -> float:
        lower = probability(context, byte, n - 1) if n > 0 else 1 / 256
        seen = follow.get(context[len(context) - n :])
        if not seen:
            return lower
        return (seen[byte] + len(seen) * lower) / (seen.total() + len(seen))

    held = b"\n" * 7 + text.encode()
    bits = [-np.log2(probability(held[i - 7 : i], held[i], order)) for i in range(7, len(held))]
    return float(np.mean(bits))


@pytest.mark.parametrize("order", [1, 3, 7])
def test_bits_per_byte_are_those_of_the_formula(order):
    rng = np.random.default_rng(1)
    train, text = prose(rng, 20), prose(rng, 2) + " Zoë's 3½ übungen"
    found = bucket_perplexities({"0": [train]}, {"held": [text]}, order=order)
    expected = witten_bell_bits(train, text, order)
    assert found["0"]["held"]["bits_per_byte"] == pytest.approx(expected, rel=1e-10)


def test_documents_are_no_context_of_each_other():
    train = {"0": ["abcabcabc" * 9]}
    one = bucket_perplexities(train, {"held": ["abcab"]})["0"]["held"]
    two = bucket_perplexities(train, {"held": ["abcab", "abcab"]})["0"]["held"]
    assert two["bits_per_byte"] == pytest.approx(one["bits_per_byte"], rel=1e-12)
    assert two["se"] == pytest.approx(0, abs=1e-12)


def test_worse_text_teaches_less_of_clean_text():
    rng = np.random.default_rng(2)
    mixed = [prose(rng, 3) + listing(rng, 20) for _ in range(200)]
    texts = {"0": [prose(rng, 20) for _ in range(100)], "1": mixed, "2": [listing(rng, 2000)]}
    held = {"a": [prose(rng, 5) for _ in range(20)], "b": [prose(rng, 9) for _ in range(20)]}
    found = bucket_perplexities(texts, held, train_bytes=20_000)
    for name in held:
        bits = [found[bucket][name]["bits_per_byte"] for bucket in "012"]
        se = found["0"][name]["se"]
        assert 0 < se < 0.1
        assert bits[0] + 3 * se < bits[1] < bits[2]


def test_every_bucket_trains_on_the_same_amount():
    texts = {"0": ["ab" * 500] * 9, "1": iter(["cd" * 3000])}
    found = bucket_perplexities(texts, {"held": ["ab"]}, train_bytes=2000)
    kept = [found[bucket]["held"]["train_bytes"] for bucket in "01"]
    assert kept == [2000, 2000]


@pytest.mark.parametrize(
    ("texts", "held", "order", "message"),
    [
        ({"0": []}, {"held": ["a"]}, 5, "0: must have some text"),
        ({"0": ["a"]}, {"held": [""]}, 5, "held: must have some text"),
        ({"0": ["a"]}, {"held": ["a"]}, 8, "order: must be in 1..7, got 8"),
    ],
)
def test_bad_input_is_named(texts, held, order, message):
    with pytest.raises(InputError, match=message):
        bucket_perplexities(texts, held, order=order)
