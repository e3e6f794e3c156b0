"""Character encoding detection: certain evidence is believed, guesses are measured."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni_lab.media.subtitles.encodings import LANGUAGES, decode_text
from omni_lab.media.subtitles.reader import Cue, Packet, from_packets, read_subtitles
from omni_lab.triplets.record import cue_from

# Film dialogue, written for this test; each line stands by itself
SPOKEN = {
    "ru": """Привет, как ты спала сегодня ночью?
Я не знаю, куда он пошёл после работы.
Закрой дверь, пожалуйста, здесь очень холодно.
Мы ждали тебя целый час на вокзале!
Почему ты никогда не отвечаешь на мои письма?
Это была самая длинная зима в моей жизни.
Дай мне ещё один шанс, и я всё исправлю.
Они уехали за границу и больше не вернулись.
Слышишь? Кто-то идёт по лестнице наверх.
Завтра утром поезд уходит в шесть часов.""",
    "zh": """你昨天晚上睡得好吗？
我不知道他下班以后去了哪里。
请把门关上，这里太冷了。
我们在车站等了你一个小时！
你为什么从来不回我的信？
那是我一生中最长的冬天。
再给我一次机会，我会改正一切。
他们去了国外，再也没有回来。
听见了吗？有人正在上楼。
明天早上六点火车就要开了。""",
    "ja": """昨日の夜はよく眠れましたか。
仕事のあと、彼がどこへ行ったのか知りません。
ドアを閉めてください、ここはとても寒いです。
駅で一時間もあなたを待っていたのよ！
どうして手紙に返事をくれないの？
あれは私の人生で一番長い冬だった。
もう一度だけチャンスをくれ、全部やり直すから。
二人は外国へ行って、もう帰ってこなかった。
聞こえる？誰かが階段を上がってくる。
明日の朝六時に電車が出ます。""",
    "de": """Schläfst du schon, oder hörst du mich noch?
Ich weiß nicht, wohin er später gegangen ist.
Mach die Tür zu, es ist fürchterlich kalt hier.
Wir haben über eine Stunde am Bahnhof gewartet, weißt du?
Warum möchtest du mir nie zurückschreiben?
Das war der längste Winter, an den ich mich erinnern könnte.
Natürlich würde ich dir gern glauben, aber es fällt mir schwer.
Sie zogen ins Ausland und kehrten nie zurück, so heißt es.
Hörst du? Jemand läuft die Treppe herauf.
Morgen früh um fünf fährt der Zug, sei pünktlich.""",
    "fr": """Tu as bien dormi cette nuit, ma chérie ?
Je ne sais pas où il est allé après le travail.
Ferme la fenêtre, s'il te plaît, il fait très froid.
Nous avons passé une heure à t'attendre à la gare, tu as oublié ?
Pourquoi n'as-tu jamais répondu à mes lettres ?
C'était l'hiver le plus long de mon existence, je l'avoue à regret.
Ça suffit, rends-moi la clé et va-t'en, à présent.
Ils sont partis à l'étranger et ne sont jamais rentrés chez eux, hélas.
Tu entends ? Quelqu'un monte l'escalier derrière la porte fermée.
Demain, le train démarre à six heures précises, sois prêt.""",
    "pl": """Cześć, jak ci się spało dziś w nocy?
Nie wiem, dokąd poszedł później po pracy.
Zamknij drzwi, proszę, jest tu bardzo zimno, czuję przeciąg.
Czekaliśmy na ciebie całą godzinę na dworcu!
Dlaczego nigdy nie odpowiadasz na moje listy, książę?
To była najdłuższa zima w moim życiu.
Daj mi jeszcze jedną szansę, a wszystko naprawię, obiecuję.
Wyjechali za granicę i już nie wrócili.
Słyszysz? Ktoś idzie po schodach na górę.
Jutro rano pociąg odjeżdża o szóstej, bądź gotów.""",
    "ko": """어젯밤에 잘 잤어요?
그 사람이 일이 끝난 뒤에 어디로 갔는지 모르겠어.
문 좀 닫아 주세요, 여기는 너무 추워요.
우리는 역에서 한 시간이나 너를 기다렸어!
왜 내 편지에 답장을 안 하는 거야?
그건 내 인생에서 가장 긴 겨울이었다.
한 번만 더 기회를 줘, 내가 다 고칠게.
그들은 외국으로 가서 다시는 돌아오지 않았다.
들려? 누군가 계단을 올라오고 있어.
내일 아침 여섯 시에 기차가 떠납니다.""",
    "tw": """你昨天晚上睡得好嗎？
我不知道他下班以後去了哪裡。
請把門關上，這裡太冷了。
我們在車站等了你一個小時！
你為什麼從來不回我的信？
那是我一生中最長的冬天。
再給我一次機會，我會改正一切。
他們去了國外，再也沒有回來。
聽見了嗎？有人正在上樓。
明天早上六點火車就要開了。""",
}
ENCODED = [
    ("ru", "cp1251"), ("ru", "koi8_r"), ("ru", "cp866"), ("zh", "gb18030"), ("tw", "big5"),
    ("ja", "shift_jis"), ("ja", "euc_jp"), ("ko", "euc_kr"), ("de", "cp1252"), ("fr", "cp1252"),
    ("pl", "cp1250"),
]  # fmt: skip


def lines_of(language: str, encoding: str, size: int, seed: int) -> bytes:
    """Lines in random order, as many whole ones as fit into `size` bytes, at least one."""
    lines = SPOKEN[language].splitlines()
    random.Random(seed).shuffle(lines)
    data = lines[0].encode(encoding)
    for line in lines[1:]:
        if len(data) + 1 + len(line.encode(encoding)) <= size:
            data += b"\n" + line.encode(encoding)
    return data


def as_srt(data: bytes) -> bytes:
    """The same lines as subtitles: most bytes are now numbers and times."""
    lines = data.split(b"\n")
    return b"".join(
        f"{i}\r\n00:00:{i:02d},000 --> 00:00:{i + 1:02d},000\r\n".encode() + line + b"\r\n\r\n"
        for i, line in enumerate(lines, 1)
    )


@pytest.mark.parametrize(
    ("data", "text", "encoding"),
    [
        (b"plain", "plain", "utf-8"),
        ("é".encode(), "é", "utf-8"),
        ("é".encode("utf-8-sig"), "é", "utf-8-sig"),
        ("\ufeffé€".encode("utf-16-le"), "é€", "utf-16"),
        ("\ufeffé€".encode("utf-16-be"), "é€", "utf-16"),
        ("\ufeffé€".encode("utf-32-le"), "é€", "utf-32"),
        ("Hello é€".encode()[:-1], "Hello é", "utf-8"),
    ],
)
def test_what_the_bytes_say_is_sure(data, text, encoding):
    """A mark, valid UTF-8, ASCII, and UTF-8 that was cut off inside its last character."""
    assert decode_text(data) == (text, encoding, 1.0)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("language", SPOKEN)
def test_utf_16_without_a_mark_is_known_by_its_zeros(language, encoding):
    text = as_srt(SPOKEN[language].encode()).decode()
    assert decode_text(text.encode(encoding))[:2] == (text, encoding)


def test_zeros_alone_are_not_utf_16():
    """A file that a broken download padded with zeros is still what it was."""
    text, encoding, _ = decode_text("Très bien".encode() + bytes(4000))
    assert (text.rstrip("\0"), encoding) == ("Très bien", "utf-8")


def test_a_broken_byte_does_not_make_all_of_utf_8_something_else():
    text, encoding, sure = decode_text(SPOKEN["ru"].encode() + b" caf\xe9 " + SPOKEN["zh"].encode())
    assert (text, encoding) == (f"{SPOKEN['ru']} café {SPOKEN['zh']}", "utf-8")
    assert 0.9 < sure < 1


def test_a_mark_is_believed_no_further_than_it_is_true():
    """Before another encoding, or a broken byte, it costs no letter and claims no certainty."""
    text, encoding, sure = decode_text(b"\xef\xbb\xbf" + SPOKEN["de"].encode("cp1252"))
    assert (text, encoding) == (SPOKEN["de"], "cp1252")
    assert sure < 1
    text, encoding, sure = decode_text((SPOKEN["de"] + " ").encode("utf-8-sig") + b"caf\xe9 ")
    assert (text, encoding) == (f"{SPOKEN['de']} café ", "utf-8-sig")
    assert 0.9 < sure < 1


@pytest.mark.parametrize(("language", "encoding"), ENCODED)
def test_every_file_of_ten_cues_is_read(language, encoding):
    """Ten lines tell, though numbers and times are most of the bytes."""
    data = as_srt(SPOKEN[language].encode(encoding))
    text, found, sure = decode_text(data)
    assert (text, found) == (data.decode(encoding), encoding)
    assert sure > 0.9


# Fraction of texts that are read right: of one line, of some 100 bytes, of some 250 bytes
RIGHT = {10: 0.9, 100: 0.97, 250: 1.0}


@pytest.mark.parametrize("size", RIGHT)
def test_the_guess_is_as_good_as_it_is_said_to_be(size):
    trials = [
        (lines_of(language, e, size, seed), e) for language, e in ENCODED for seed in range(5)
    ]
    right = [decode_text(data).text == data.decode(encoding) for data, encoding in trials]
    assert sum(right) / len(right) >= RIGHT[size]


def test_a_word_is_of_one_script():
    """ô and t side by side are one sign of Chinese, and ф beside Latin letters is not Russian."""
    assert decode_text("hôtel".encode("cp1252")).text == "hôtel"


def test_capitals_begin_words():
    """KOI8-R has capitals where cp1251 has small letters: in few letters, case alone decides."""
    assert decode_text("тебя целый".encode("koi8_r")).text == "тебя целый"
    assert decode_text("тебя целый".encode("cp1251")).text == "тебя целый"


def test_a_last_letter_is_no_cut_off_character():
    """Only a file that is UTF-8 elsewhere may end in half a character of it."""
    assert decode_text("café".encode("cp1252")).text == "café"


def test_sureness_is_worth_its_name():
    """Calibration, on the first characters of a line: confident guesses are rarely wrong."""
    trials = [
        (line.encode(encoding)[:size], encoding)
        for language, encoding in ENCODED
        for line in SPOKEN[language].splitlines()
        for size in (4, 8, 12)
    ]
    outcomes = []
    for data, encoding in trials:
        found = decode_text(data)
        if found.sure < 1:
            outcomes.append((found.sure, found.text.startswith(data.decode(encoding, "ignore"))))
    sure = [right for sureness, right in outcomes if sureness >= 0.9]
    unsure = [right for sureness, right in outcomes if sureness < 0.6]
    assert len(sure) > 100
    assert sum(sure) / len(sure) > 0.98
    assert 0.4 < sum(unsure) / len(unsure) < 0.8


def test_a_language_in_the_name_tips_the_scales(tmp_path):
    """The same few bytes are Italian in one file, and Czech in another."""
    data = "1\n00:01 --> 00:02\ncaffè\n".encode("cp1252")
    (tmp_path / "film.ita.srt").write_bytes(data)
    (tmp_path / "film.cs.srt").write_bytes(data)
    assert read_subtitles(tmp_path / "film.ita.srt")[0].text == "caffè"
    assert read_subtitles(tmp_path / "film.cs.srt")[0].text == "caffč"
    assert decode_text(data, "it").sure > decode_text(data).sure


def test_encoding_and_sureness_are_on_every_cue(tmp_path):
    (tmp_path / "a.srt").write_bytes(as_srt(SPOKEN["pl"].encode("cp1250")))
    cues = read_subtitles(tmp_path / "a.srt")
    assert len(cues) == 10
    assert {cue.encoding for cue in cues} == {"cp1250"}
    assert all(0.9 < cue.encoding_sure < 1 for cue in cues)
    (cue,) = from_packets([Packet("Привет, как дела?".encode("cp1251"), "subrip", 0, 1, "rus")])
    assert (cue.text, cue.encoding) == ("Привет, как дела?", "cp1251")


def test_cues_of_old_shards_can_still_be_read():
    cue = cue_from(
        {"start": 0, "end": 1, "text": "x", "role": None, "encoding": "utf-8", "words": []}
    )
    assert cue == Cue(0, 1, "x", encoding="utf-8")


def test_bytes_that_are_no_text_are_read_without_belief():
    noise = random.Random(0).randbytes(3000)
    text, encoding, sure = decode_text(b"\xff" + noise)
    assert (encoding, sure) == ("latin-1", 0.0)
    assert text == "\xff" + noise.decode("latin-1")


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=60), st.sampled_from([None, "ru", "zh", "ja"]))
def test_no_bytes_are_refused_and_no_letter_is_lost(data, language):
    """Any bytes give a text that can be written, with the ASCII words around intact."""
    text, _, sure = decode_text(b"one " + data + b"\ntwo\n", language)
    text.encode()
    assert 0 <= sure <= 1
    if b"\0" not in data:
        assert text.startswith("one ")
        assert text.endswith("two\n")


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([e for spoken in LANGUAGES for e in spoken.encodings]), st.data())
def test_damage_costs_the_damaged_bytes_only(encoding, data):
    """A file with one broken byte in the middle keeps its other lines."""
    language = next(spoken for spoken in LANGUAGES if encoding in spoken.encodings)
    word = "".join(
        data.draw(st.lists(st.sampled_from(language.frequent[:12]), min_size=6, max_size=12))
    )
    line = word.encode(encoding, "ignore")
    broken = b"\n".join([line] * 6 + [b"\xff"] + [line] * 6)
    text = decode_text(broken, language.code).text.splitlines()
    assert len(text) == 13
    assert len(set(text[:6] + text[7:])) == 1
