"""Made-up prose, the same for the same seed."""

import random

_ONSETS = (
    "b bl br c ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr qu r s sc sh sl st t th tr v w"
)
_NUCLEI = "a e i o u ai ea ee ie oa oo ou"
_CODAS = "n r s t l m nd nt rd ss ck ng th st"


class Prose:
    """A vocabulary and a stock of sentences, from which pages are put together quickly."""

    def __init__(self, seed: int, words: int = 1_200, sentences: int = 3_000) -> None:
        chance = random.Random(f"prose {seed}")
        self.words = sorted({_word(chance) for _ in range(words)})
        self._sentences = [_sentence(chance, self.words) for _ in range(sentences)]

    def sentences(self, chance: random.Random, count: int) -> str:
        return " ".join(chance.choices(self._sentences, k=count))

    def title(self, chance: random.Random, count: int = 5) -> str:
        return " ".join(chance.choices(self.words, k=count)).capitalize()


def _word(chance: random.Random) -> str:
    syllables = chance.choice((1, 2, 2, 3))
    onsets, nuclei, codas = _ONSETS.split(), _NUCLEI.split(), _CODAS.split()
    body = "".join(chance.choice(onsets) + chance.choice(nuclei) for _ in range(syllables))
    return body + chance.choice(codas)


def _sentence(chance: random.Random, words: list[str]) -> str:
    text = " ".join(chance.choices(words, k=chance.randint(7, 19)))
    if chance.random() < 0.15:
        text = text.replace(" ", ", ", 1)
    return text.capitalize() + "."
