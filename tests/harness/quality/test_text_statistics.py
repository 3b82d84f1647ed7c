"""Statistics of texts, against counts made by hand."""

import numpy as np
import pytest

from bayes_infolaw.harness.quality.text_statistics import STATISTICS, text_statistics


def of(text: str) -> dict[str, float]:
    return dict(zip(STATISTICS, text_statistics([text])[0].tolist(), strict=True))


def test_a_sentence_by_hand():
    text = "The old ferry crossed the river slowly, and nobody on Harbour Street noticed it."
    found = of(text)
    letters = sum(map(str.isalpha, text))
    words = 14
    assert found["letters"] == pytest.approx(letters / (letters + 2))
    assert found["capitals"] == pytest.approx(3 / letters)
    assert found["word_length"] == pytest.approx(letters / words)
    assert found["function_words"] == pytest.approx(5 / words)  # the, the, and, on, it
    assert found["names"] == pytest.approx(2 / words)
    assert found["commas"] == pytest.approx(1 / words)
    assert found["sentence_length"] == pytest.approx(np.log1p(words / 2))
    assert found["distinct_words"] == pytest.approx(13 / words)
    assert found["plain_words"] == found["ended_text"] == 1
    assert found["digits"] == found["symbols"] == found["foreign"] == found["repeated_lines"] == 0


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("digits", "ab 12 3x", 3 / 6),
        ("symbols", "a = {b};", 3 / 6),
        ("foreign", "ab вг", 2 / 4),
        ("foreign", "café naïve", 0.0),
        ("plain_words", "some_name camelCase x86 /usr/bin word", 1 / 5),
        ("plain_words", "A well-known *word* (quoted)", 1.0),
        ("long_words", "internationalisation of it", 1 / 3),
        ("short_lines", "x" * 60 + "\n\n" + "y" * 30, 30 / 90),
        ("repeated_lines", "one\ntwo\none\none", 2 / 4),
        ("indented_lines", "one\n  two\n\tthree\n\nfour", 2 / 4),
        ("distinct_words", "a b a b", 2 / 4),
    ],
)
def test_what_each_statistic_counts(name, text, value):
    assert of(text)[name] == pytest.approx(value)


def test_hard_wrapped_prose_reads_as_prose():
    sentence = "The old ferry crossed the river slowly, and nobody on the street noticed it at all."
    flowing = " ".join([sentence] * 12)
    words, lines = flowing.split(), [""]
    for word in words:
        if len(lines[-1]) + len(word) > 70:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    wrapped = "\n".join(lines)
    assert wrapped.count("\n") > 10
    assert of(wrapped) == pytest.approx(of(flowing), rel=0.02)


@pytest.mark.parametrize(
    "text", ["", "\n \t\n", "|-+", "\ud800", "\x00\x01", "日本語です。", "1.5e9"]
)
def test_any_text_has_finite_statistics(text):
    values = text_statistics([text])
    assert np.isfinite(values).all()
    shares = [i for i, n in enumerate(STATISTICS) if n not in ("word_length", "sentence_length")]
    assert (values[0, shares] >= 0).all()
    assert (values[0, shares] <= 1).all()


def test_no_chunk_gives_no_row():
    assert text_statistics([]).shape == (0, len(STATISTICS))
