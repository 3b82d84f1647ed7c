"""Chunks of text -> numbers that say how they are written, not what they are about."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

__all__ = ["STATISTICS", "text_statistics"]

STATISTICS = (
    "letters",  # share of the characters that are no white space
    "digits",
    "symbols",  # neither letters, digits nor the punctuation of prose
    "capitals",  # share of the letters
    "foreign",  # letters of other scripts than the Latin
    "function_words",  # share of the words
    "plain_words",  # lower-case or capitalised, with no digit, _ or inner capital
    "names",  # capitalised words, share of the plain ones
    "word_length",  # letters
    "long_words",  # over 12 letters
    "distinct_words",  # per window of 100 words
    "sentence_length",  # log of words per end of a sentence
    "commas",  # per word
    "ended_text",  # share of the text in paragraphs that end as sentences do
    "short_lines",  # share of the text in lines under 40 characters, once unwrapped
    "repeated_lines",  # share of the lines
    "indented_lines",
)

_FUNCTION_WORDS = frozenset(
    word
    for line in (
        "a about after all also an and any are as at be been before being both but by can",
        "could did do does each even few for from had has have he her him his how i if in",
        "into is it its just may me might more most much must my no nor not now of on once",
        "one only or other our out over own same shall she should since so some still such",
        "than that the their them then there these they this those though through thus to too",
        "under until up upon very was we were what when where whether which while who whom",
        "whose why will with within without would yet you your",
    )
    for word in line.split()
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_PLAIN = re.compile(r"(?<![^\s(\[\"'“‘*])[^\W\d_][a-z'’]*(?![\w@/\\=<>|])")
_NAME = re.compile(r"(?<=[a-z,;] )[A-Z][a-z]+")
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]*(?=\s|$)")
_ENDED = re.compile(r"[.!?:;][\"'”’)\]]*$")
_WRAP = re.compile(r"(?<=[^\n]{45})\n(?=[^\W\d_]|[\"“'‘(])")
_NOT_PROSE = re.compile(r"[^\w\s.,;:!?'\"()’‘“”—–-]|_")
_LATIN = re.compile(r"[\x00-\u024f]+")
_WINDOW = 100


def text_statistics(chunks: Sequence[str]) -> np.ndarray:
    """`STATISTICS` of each chunk, shape (chunks, statistics); finite for any text."""
    return np.array([_statistics(chunk) for chunk in chunks]).reshape(-1, len(STATISTICS))


def _statistics(text: str) -> list[float]:
    lines = [line for line in _WRAP.sub(" ", text).split("\n") if line.strip()]
    words = _WORD.findall(text)
    return [*_characters(text), *_words(text, words), *_sentences(text, len(words)), *_lines(lines)]


def _characters(text: str) -> list[float]:
    solid = "".join(text.split())
    letters = sum(map(str.isalpha, solid))
    counts = (letters, sum(map(str.isdigit, solid)), len(_NOT_PROSE.findall(solid)))
    foreign = sum(map(str.isalpha, _LATIN.sub("", solid)))
    capitals = sum(map(str.isupper, solid))
    shares = [_share(count, len(solid)) for count in counts]
    return [*shares, _share(capitals, letters), _share(foreign, letters)]


def _words(text: str, words: list[str]) -> list[float]:
    lower = list(map(str.lower, words))
    plain = len(_PLAIN.findall(text))
    lengths = list(map(len, words))
    return [
        _share(sum(map(_FUNCTION_WORDS.__contains__, lower)), len(words)),
        min(1.0, _share(plain, len(text.split()))),
        min(1.0, _share(len(_NAME.findall(text)), plain)),
        _share(sum(lengths), len(words)),
        _share(sum(length > 12 for length in lengths), len(words)),
        _distinct(lower),
    ]


def _distinct(words: list[str]) -> float:
    """Mean share of distinct words per window: it doesn't fall with the text's length."""
    starts = range(0, max(1, len(words) - _WINDOW + 1), _WINDOW)
    windows = [words[start : start + _WINDOW] for start in starts]
    return sum(_share(len(set(window)), len(window)) for window in windows) / len(windows)


def _sentences(text: str, n_words: int) -> list[float]:
    ends = len(_SENTENCE_END.findall(text))
    return [float(np.log1p(n_words / (ends + 1))), _share(text.count(","), n_words)]


def _lines(lines: list[str]) -> list[float]:
    characters = sum(map(len, lines))
    ended = sum(len(line) for line in lines if _ENDED.search(line.rstrip()))
    short = sum(len(line) for line in lines if len(line) < 40)
    repeats = sum(count - 1 for count in Counter(map(str.strip, lines)).values())
    indented = sum(line[0].isspace() for line in lines)
    return [
        _share(ended, characters),
        _share(short, characters),
        _share(repeats, len(lines)),
        _share(indented, len(lines)),
    ]


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
