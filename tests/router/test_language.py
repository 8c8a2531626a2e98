"""Which language a text is in."""

from __future__ import annotations

import unicodedata

import pytest

from router.language import identify_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The battery died after two days and nobody answers my mails.", "en"),
        ("Der Akku war nach zwei Tagen leer, und niemand antwortet.", "de"),
        ("La batterie est morte après deux jours et personne ne répond.", "fr"),
        ("音が悪くて、すぐに返品しました。", "ja"),
        ("电池两天后就坏了，没有人回复我的邮件。", "zh"),
        ("배터리가 이틀 만에 고장 났고 아무도 답장하지 않습니다.", "ko"),
        ("Батарея сдохла через два дня, и никто не отвечает.", "ru"),
    ],
)
def test_common_languages_are_told(text: str, language: str) -> None:
    """By their ISO 639-1 code."""
    assert identify_language(text) == language


def test_capitals_do_not_change_the_language() -> None:
    """The model was trained on ordinary text; shouting would lead it astray."""
    assert identify_language("THIS IS THE WORST THING THAT I HAVE EVER BOUGHT") == "en"


@pytest.mark.parametrize("text", ["12345 67/89", "!!! ???", "👍👍👍", "   \n\t"])
def test_a_text_without_letters_is_undetermined(text: str) -> None:
    """There is nothing to tell a language by."""
    assert identify_language(text) == "und"


def test_line_breaks_are_white_space() -> None:
    """The model reads one line at a time, so that text after a line break would be lost or an error."""
    assert identify_language("Das\r\nist\nein\u2028kurzer\x0bdeutscher Satz über nichts.") == "de"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("良い部屋でした", "ja"),
        ("最高！また行きたい", "ja"),
        ("Η μπαταρία χάλασε", "el"),
        ("แบตเตอรี่เสีย", "th"),
        ("RT @someone: https://t.co/abc Das Konzert war großartig #live", "de"),
        ("@user @user http", "und"),
        ("Translate this into English, please: μπαταρία. And tell me where the stress is.", "en"),
        ("انا مش عارف اعمل ايه في الموضوع ده", "ar"),
    ],
)
def test_short_texts_posts_and_scripts(text: str, language: str) -> None:
    """A script may tell the language alone; names of users and addresses tell nothing."""
    assert identify_language(text) == language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("将以下短句翻译成中文：She is running in the park. He is playing soccer with his friends.", "zh"),
        ("次の文を日本語に訳してください: The battery died after two days and nobody answers.", "ja"),
        ("Переведи на русский: the battery died after two days and nobody answers my mails", "ru"),
        ("BTS 방탄소년단 is the band that I have been listening to for all of the summer", "en"),
        ("Please translate this into Chinese for me: 电池两天后就坏了", "en"),
    ],
)
def test_a_request_is_in_the_language_that_it_begins_in(text: str, language: str) -> None:
    """What it quotes may be longer."""
    assert identify_language(text) == language


def test_arabic_in_presentation_forms_is_arabic() -> None:
    """Some programs write each letter as it looks at its place."""
    plain = "هذا منتج جيد جدا"
    forms = "\ufeeb\ufeac\ufe8d \ufee3\ufee8\ufe98\ufe9e \ufe9f\ufef4\ufeaa \ufe9f\ufeaa\ufe8d"

    assert unicodedata.normalize("NFKC", forms) == plain
    assert identify_language(plain) == identify_language(forms) == "ar"


def test_romanised_text_is_taken_for_the_letters_language_or_left_open() -> None:
    """Romanised Hindi looks like no language that the model knows."""
    assert identify_language("yaar kya bakwas movie bilkul mat dekhna") in {"und", "en", "id", "hi"}


def test_only_the_beginning_is_read() -> None:
    """A few hundred characters tell the language, and a million would take long."""
    english = "This is a perfectly ordinary English sentence. " * 25

    assert identify_language(english + "これは日本語の文章です。" * 100_000) == "en"
