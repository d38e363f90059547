"""Function words of languages other than English: which one a text is in, what is counted, and who stays silent."""

from __future__ import annotations

import math

import numpy as np
import pytest

from xpert_cli.cache.build import build_space
from xpert_cli.cache.catalogue import open_cache
from xpert_cli.corpus import Corpus, Message
from xpert_cli.hub.sources import open_source
from xpert_cli.selection.select import select
from xpert_cli.style.languages import FAMILIES, LANGUAGES, NAMES, language
from xpert_cli.style.measured import MEASURED, measure
from xpert_cli.style.sentences import Sample
from xpert_cli.style.space import Axis, Readings

# Two sentences a language: as prose and as a chat.
TEXTS = {
    "de": ("Ich weiß nicht, ob das heute noch geht.", "kommst du heute abend noch vorbei oder nicht"),
    "fr": ("Je ne sais pas si je pourrai venir demain.", "mdr j'sais pas trop mais on verra bien demain"),
    "es": ("No sé si puedo ir mañana, pero te aviso.", "no se si voy pero tu qué dices"),
    "pt": ("Não sei se vou conseguir ir amanhã com você.", "acho q não vou, mas e você?"),
    "it": ("Non so se riesco a venire domani, tu che fai?", "boh non lo so, cosa dici tu?"),
    "nl": ("Ik weet het niet zeker, maar ik kom wel.", "ja maar waarom heb je dat niet gezegd"),
    "pl": ("Nie wiem, czy dam radę jutro, a ty?", "no ale ja tego nie mam"),
    "ru": ("Не знаю, смогу ли я прийти завтра.", "ну а ты что думаешь"),
    "tr": ("Yarın gelebilir miyim bilmiyorum ama sen çok istersen gelirim.", "ben de çok isterim ama yok"),
    "id": ("Saya tidak tahu apakah bisa datang besok.", "aku juga mau tapi gak bisa"),
    "ar": ("لا أعرف إذا كنت أستطيع أن آتي غدا", "يعني انت مش عايز كده"),
    "hi": ("मुझे नहीं पता कि मैं कल आ सकता हूँ या नहीं", "तुम क्या कर रहे हो"),
    "ja": ("明日行けるかどうか分かりません。", "まあなんかめっちゃいいね"),
    "zh": ("我不知道明天能不能去，你呢？", "其實我也覺得還好"),
    "ko": ("내일 갈 수 있을지 잘 모르겠어요.", "나는 진짜 안 가고 싶어"),
}
OTHERS = [
    "Jag vet inte om jag kan komma imorgon, men det är bra.",
    "Jeg ved ikke om jeg kan komme i morgen, men det er fint.",
    "No ho sé si puc venir demà, i tu què dius?",
    "Nu știu dacă pot să vin mâine, dar este bine.",
    "Nevím, jestli můžu zítra přijít, ale uvidíme.",
    "Nem tudom, hogy el tudok-e jönni holnap.",
    "En tiedä voinko tulla huomenna, mutta se on hyvä.",
    "Не знам дали мога да дойда утре, а ти?",
    "Не знаю, чи зможу прийти завтра, а ти як?",
    "نمی‌دانم آیا فردا می‌توانم بیایم یا نه",
    "मला माहीत नाही की मी उद्या येऊ शकेन",
    "ok",
    "haha 😂 12:30",
    "",
]
AXES = [axis.name for axis in MEASURED]


def readings(text: str) -> dict[str, float]:
    return {name: value for name, value in zip(AXES, measure(text), strict=True) if name.endswith("other languages")}


@pytest.mark.parametrize("code", TEXTS)
def test_a_language_is_known_by_its_function_words(code: str) -> None:
    assert [language(Sample(text)) for text in TEXTS[code]] == [code, code]


def test_every_language_has_texts_here_and_nearly_all_families() -> None:
    assert TEXTS.keys() == NAMES.keys()
    silent = {
        code: [name for name, value in readings(texts[0]).items() if math.isnan(value)] for code, texts in TEXTS.items()
    }
    lacking = ["articles, other languages"]
    assert silent == {
        code: lacking if code in ("pl", "ru", "tr", "id", "ar", "hi", "ja", "zh", "ko") else [] for code in TEXTS
    }


@pytest.mark.parametrize("text", OTHERS)
def test_neighbours_and_what_cannot_be_told_are_silent(text: str) -> None:
    assert language(Sample(text)) == ""
    assert all(map(math.isnan, readings(text).values()))


def test_english_is_left_to_the_axes_for_english() -> None:
    text = "I think that we should go there, because it is not far."
    assert language(Sample(text)) == "en"
    assert len(readings(text)) == len(LANGUAGES) == len(FAMILIES)
    assert all(map(math.isnan, readings(text).values()))


@pytest.mark.parametrize(
    ("text", "family", "count"),
    [
        ("Ich weiß nicht, ob ich das meinem Bruder heute noch sage.", "first person", 3),  # ich, ich, meinem
        ("Qu'il vienne, c'est bien, mais je n'ai pas le temps.", "negations", 2),  # n', pas
        ("Tú qué dices, yo no sé si puedo ir.", "question words", 1),
        ("Я не знаю, что ты думаешь, а мы не спим.", "negations", 2),
        ("私はそれを知らないけど、私はいいです。", "first person", 2),
        ("我不知道你在哪，我不去了。", "negations", 2),
        ("나는 학교에서 너를 기다렸어요.", "prepositions", 3),  # 는, 에서, 를
        ("Danke, das ist sehr nett von dir, danke dir!", "thanks", 2),
    ],
)
def test_a_family_is_a_rate_of_its_words(text: str, family: str, count: int) -> None:
    words = len(Sample(text).tokens)
    assert readings(text)[f"{family}, other languages"] == pytest.approx(math.sqrt(100 * count / max(words, 20)))


def test_where_the_base_answers_in_another_language_people_are_compared_with_each_other() -> None:
    axes = [Axis("first person, other languages", "measured", "fewer", "more")]
    base = Readings(np.full((3, 1), np.nan))
    people = [Readings(np.array([[1.0], [2.0], [3.0]])), Readings(np.array([[3.0], [4.0], [5.0]]))]
    claims = [one.mean for one in people]
    space, _ = build_space(
        axes, np.empty((0, 0), np.float32), [base, base, base], claims, [one.scatter for one in people]
    )
    assert space.reference == pytest.approx([3.0])
    assert space.gap == pytest.approx([0.0])
    assert [float(space.shift(mean, writing=True)[0]) for mean in claims] == pytest.approx([-1.0, 1.0])


def notes_of(*counts: tuple[str, int]) -> tuple[str, ...]:
    """What select notes about languages of so many texts in each."""
    lines = [f"{TEXTS.get(code, ENGLISH)[0]} {number}" for code, count in counts for number in range(count)]
    corpus = Corpus(tuple(Message("", line, f"f:{number}") for number, line in enumerate(lines)))
    return tuple(note for note in select(corpus, open_cache(open_source("embedded")), None).notes if " in " in note)


ENGLISH = ["I am here and that is what it is."]
SILENT = "axes that need English words say nothing of these; 19 axes count words of German in their stead"


def test_how_many_texts_are_in_which_language_is_said() -> None:
    strange = "no adapter here has learnt from texts in German: what is alike there is marks, spelling and form"
    assert notes_of(("en", 12)) == ()
    assert notes_of(("de", 3), ("en", 17)) == ()  # fewer than a fifth
    assert notes_of(("de", 8), ("en", 12)) == (f"8 of your 20 texts are in German: {SILENT}", strange)
    assert notes_of(("de", 10), ("en", 10))[0] == f"10 of your 20 texts are in German: {SILENT}"
    assert notes_of(("de", 11), ("en", 9))[0] == f"most of your texts are in German (11 of 20): {SILENT}"
    assert notes_of(("de", 12))[0].startswith("your texts are in German: ")
    assert notes_of(("de", 1), ("en", 2))[0] == f"1 of your 3 texts is in German: {SILENT}"


def test_several_languages_are_told_with_their_numbers() -> None:
    first, second = notes_of(("de", 8), ("es", 6))
    assert first.startswith("most of your texts are in German (8 of 14), 6 in Spanish: ")
    assert first.endswith(
        " axes that need English words are left out; 19 axes count words of German and Spanish in their stead"
    )
    assert second == (
        "no adapter here has learnt from texts in German or Spanish: what is alike there is marks, spelling and form"
    )
