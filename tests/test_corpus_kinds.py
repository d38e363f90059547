# ruff: noqa: E501  (inputs stand as they are)
"""Inputs as people have them, of kinds, places and variants beside those of the other tests: text in, pairs out.

Names and words are invented, the forms are those of the apps and tools. A case is (name, file's name, author, content,
pairs); a refusal states what its one line must name.
"""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest

from xpert_cli.corpus import read
from xpert_cli.errors import BadInput, XpertError

Pairs = list[tuple[str, str]]


def pairs_of(folder: Path, name: str, content: bytes | dict[str, Any] | list[Any] | str, author: Any = None) -> Pairs:
    """The (prompt, response) pairs of one file."""
    data = content if isinstance(content, bytes | str) else json.dumps(content)
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return [(one.prompt, one.response) for one in read([str(path)], author=author).messages]


# WhatsApp: (place, the other's stamp and name, an app's own lines, mine)

WHATSAPP = {
    "it, Android": (
        "12/10/23, 18:05 - ",
        "<Media omessi>",
        "Hai eliminato questo messaggio",
        "<Questo messaggio è stato modificato>",
    ),
    "pt-BR, Android": ("12/10/2023 18:05 - ", "<Mídia oculta>", "Você apagou esta mensagem", "<Mensagem editada>"),
    "nl, Android": (
        "12-10-2023 18:05 - ",
        "<Media weggelaten>",
        "Je hebt dit bericht verwijderd",
        "<Dit bericht is bewerkt>",
    ),
    "pl, Android": ("12.10.2023, 18:05 - ", "<pominięto multimedia>", "Usunięto tę wiadomość", "<Wiadomość edytowana>"),
    "ru, Android": ("12.10.2023, 18:05 - ", "<Без медиафайлов>", "Вы удалили данное сообщение", "<Сообщение изменено>"),
    "tr, Android": ("12.10.2023 18:05 - ", "<Medya dahil edilmedi>", "Bu mesajı sildiniz", "<Bu mesaj düzenlendi>"),
    "id, Android": (
        "12/10/23 18.05 - ",
        "<Media tidak disertakan>",
        "Anda telah menghapus pesan ini",
        "<Pesan ini diedit>",
    ),
    "sv, iPhone": ("[2023-10-12 18:05:01] ", "\u200ebild utelämnad", "\u200eDu raderade det här meddelandet.", ""),
    "fi, iPhone": ("[12.10.2023 klo 18.05.01] ", "\u200ekuva jätetty pois", "\u200eTämä viesti poistettiin.", ""),
    "ko, Android": ("2023년 10월 12일 오후 6:05, ", None, None, ""),
    "ko, iPhone": ("[2023. 10. 12. 오후 6:05:01] ", "\u200e사진 생략됨", "\u200e메시지를 삭제했습니다.", ""),
    "ja, Android": (
        "2023/10/12 18:05 - ",
        "<メディアは含まれていません>",
        "メッセージを削除しました",
        "<このメッセージは編集されました>",
    ),
    "zh-TW, Android": ("2023/10/12 下午6:05 - ", "<省略多媒體檔案>", "你已刪除這則訊息", "<此訊息已編輯>"),
    "hi, Android": ("12/10/23, 6:05 pm - ", "<मीडिया के बिना>", "आपने यह मैसेज मिटाया", ""),
    "he, iPhone": ("[12.10.2023, 18:05:01] ", "\u200eהתמונה הושמטה", "\u200eמחקת הודעה זו.", ""),
    "fa, Android": ("\u200f۱۲/۱۰/۲۰۲۳،\u200f ۱۸:۰۵ - ", "<پیوست نشده است>", None, ""),
    "hu, Android": ("2023. 10. 12. 18:05 - ", "<Média kihagyva>", "Törölte ezt az üzenetet", ""),
    "cs, Android": ("12.10.23 18:05 - ", "<Média vynechána>", "Smazali jste tuto zprávu", ""),
    "ro, Android": ("12.10.2023, 18:05 - ", "<Media omisă>", "Ai șters acest mesaj", ""),
    "el, Android": ("12/10/23, 6:05 μ.μ. - ", "<Παραλείφθηκε πολυμέσο>", "Διαγράψατε αυτό το μήνυμα", ""),
    "vi, Android": ("12/10/23 18:05 - ", "<Đã bỏ qua file phương tiện>", "Bạn đã xóa tin nhắn này", ""),
    "th, Android": ("12/10/2566 18:05 - ", "<ไฟล์สื่อถูกละไว้>", "คุณลบข้อความนี้แล้ว", ""),
    "da, iPhone": ("[12.10.2023 18.05.01] ", "\u200ebillede udeladt", "\u200eDu slettede denne besked.", ""),
    "de-AT with 'um'": ("12.10.23 um 18:05 - ", "<Medien ausgeschlossen>", "Diese Nachricht wurde gelöscht.", ""),
    "en-ZA": ("2023/10/12, 18:05 - ", "<Media omitted>", "You deleted this message", " <This message was edited>"),
    "en-IN": ("12/10/23, 6:05\u202fpm - ", "<Media omitted>", "This message was deleted", ""),
    "en-AU, iPhone": ("[12/10/2023, 6:05:01\u202fpm] ", "\u200evideo omitted", "\u200eYou deleted this message.", ""),
    "ms": ("12/10/2023, 6:05 PTG - ", "<Media tidak disertakan>", "Anda telah memadam mesej ini", ""),
    "month in words": ("12 Oct 2023, 18:05 - ", "<Media omitted>", None, ""),
    "fr-CA": ("2023-10-12 18 h 05 - ", "<Médias omis>", "Vous avez supprimé ce message", ""),
}


@pytest.mark.parametrize("place", WHATSAPP)
def test_whatsapp_of_many_places(tmp_path: Path, place: str) -> None:
    stamp, media, deleted, edited = WHATSAPP[place]
    lines = [f"{stamp}Tove Lind: is it dry yet?"]
    lines += [f"{stamp}Ilse: {notice}" for notice in (media, deleted) if notice]
    lines += [f"{stamp}Ilse: nearly, give it a day {edited}".rstrip(), f"{stamp}Tove Lind: good", "thanks: a lot"]
    lines += [f"{stamp}Ilse: two days then"]
    assert pairs_of(tmp_path, "chat.txt", "\n".join(lines), "Ilse") == [
        ("is it dry yet?", "nearly, give it a day"),
        ("good\nthanks: a lot", "two days then"),
    ]


ANDROID = "12/10/23, 18:05 - "


def whatsapp(tmp_path: Path, *lines: str) -> Pairs:
    return pairs_of(
        tmp_path,
        "chat.txt",
        "\n".join(ANDROID + line if ":" in line or "!" in line else line for line in lines),
        "Ilse",
    )


def test_whatsapp_names_with_colons(tmp_path: Path) -> None:
    chat = [f"{ANDROID}Tove: weaver: line {n}" for n in range(3)] + [f"{ANDROID}Ilse: all three"]
    assert pairs_of(tmp_path, "chat.txt", "\n".join(chat), "Ilse") == [("line 0\nline 1\nline 2", "all three")]


def test_whatsapp_a_pasted_chat_is_not_mine(tmp_path: Path) -> None:
    chat = (
        f"{ANDROID}Ilse: look what he wrote\n[10:15, 5/6/2023] Olaf: I never said that\n[10:16, 5/6/2023] Olaf: ever\n"
        f"{ANDROID}Tove: oh no"
    )
    assert pairs_of(tmp_path, "chat.txt", chat, "Ilse") == [("", "look what he wrote")]


def test_whatsapp_captions_stay_and_file_names_go(tmp_path: Path) -> None:
    chat = f"{ANDROID}Tove: show me\n{ANDROID}Ilse: IMG-20231012-WA0001.jpg (file attached)\nthe new loom\n"
    assert pairs_of(tmp_path, "chat.txt", chat, "Ilse") == [("show me", "the new loom")]


def test_whatsapp_links_alone_are_left_out(tmp_path: Path) -> None:
    chat = (
        f"{ANDROID}Tove: where?\n{ANDROID}Ilse: https://example.org/x\n{ANDROID}Ilse: see https://example.org/x there"
    )
    assert pairs_of(tmp_path, "chat.txt", chat, "Ilse") == [("where?", "see https://example.org/x there")]


# Telegram


def telegram(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    told = [{"id": n, "type": "message", "date": f"2024-05-01T10:{n:02}:00", **one} for n, one in enumerate(messages)]
    return {"name": "x", "type": "private_group", "id": 1, "messages": told, **more}


def test_telegram_forwards_bots_services_and_media(tmp_path: Path) -> None:
    chat = telegram(
        {"from": "Tove", "from_id": "user1", "text": "any news?"},
        {"from": "Ilse", "from_id": "user2", "text": "a chain letter", "forwarded_from": "Olaf"},
        {"from": "Ilse", "from_id": "user2", "text": "a gif", "via_bot": "@gif"},
        {"from": "Ilse", "from_id": "user2", "text": "", "photo": "p.jpg"},
        {"from": "Ilse", "from_id": "user2", "text": "/start@bot"},
        {"type": "service", "actor": "Tove", "action": "phone_call", "text": ""},
        {
            "from": "Ilse",
            "from_id": "user2",
            "text": ["none, see ", {"type": "text_link", "text": "the map", "href": "x"}],
        },
    )
    assert pairs_of(tmp_path, "result.json", chat, "user2") == [("any news?", "none, see the map")]


def test_telegram_copied_from_the_window(tmp_path: Path) -> None:
    chat = "Tove, [06.05.2024 10:01]\nis the loom free?\n\nIlse, [06.05.2024 10:02]\nafter seven\nor eight\n"
    assert pairs_of(tmp_path, "copied.txt", chat, "Ilse") == [("is the loom free?", "after seven\nor eight")]


def test_telegram_html_joined_messages_and_forwards(tmp_path: Path) -> None:
    def one(body: str, kind: str = "default clearfix") -> str:
        return f'<div class="message {kind}"><div class="body">{body}</div></div>'

    def said(name: str, text: str) -> str:
        return f'<div class="from_name">{name}</div><div class="text">{text}</div>'

    page = (
        one(said("Tove", "any news?"))
        + one(said("Ilse", "none"))
        + one('<div class="text">at all</div>', "default clearfix joined")
    )
    page += one(
        '<div class="from_name">Ilse</div><div class="forwarded body"><div class="from_name">Olaf</div><div class="text">not hers</div></div>'
    )
    assert pairs_of(tmp_path, "messages.html", f"<!DOCTYPE html><html><body>{page}</body></html>", "Ilse") == [
        ("any news?", "none\nat all")
    ]


# Discord, Slack, Google Chat, Messenger


def test_discord_text_of_the_exporter_with_forwards_and_embeds(tmp_path: Path) -> None:
    rule = "=" * 62
    chat = (
        f"{rule}\nGuild: Pond\nChannel: general\n{rule}\n\n[20-May-24 04:09 PM] tove#1234\nseen the heron?\n\n"
        "[20-May-24 04:10 PM] ilse (pinned)\ntwice, by the dam\n\n{Embed}\nhttps://example.org\nA page about herons\n\n"
        f"{rule}\nExported 2 message(s)\n{rule}\n"
    )
    assert pairs_of(tmp_path, "chat.txt", chat, "ilse") == [("seen the heron?", "twice, by the dam")]


def test_discord_package_as_csv(tmp_path: Path) -> None:
    table = 'ID,Timestamp,Contents,Attachments\n1,2024-05-20 16:10:44.1+00:00,"twice, by the dam",\n2,2024-05-21 16:10:44+00:00,,https://x/y.png\n'
    assert pairs_of(tmp_path, "messages.csv", table) == [("", "twice, by the dam")]


def test_slack_zip_with_bots_threads_and_links(tmp_path: Path) -> None:
    users = [
        {"id": "U1", "name": "tove", "profile": {"real_name": "Tove Lind"}},
        {"id": "U2", "name": "ilse", "profile": {"display_name": "Ilse B"}},
    ]
    day = [
        {"type": "message", "user": "U1", "text": "see <https://example.org|this page> <!here>", "ts": "1715000001.1"},
        {"type": "message", "subtype": "bot_message", "bot_id": "B1", "text": "build failed", "ts": "1715000002.1"},
        {"type": "message", "user": "U2", "text": "on it &lt;3", "ts": "1715000003.1", "thread_ts": "1715000001.1"},
    ]
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in (
            ("users.json", users),
            ("channels.json", [{"id": "C1", "name": "general"}]),
            ("general/2024-05-06.json", day),
        ):
            archive.writestr(name, json.dumps(content))
    assert pairs_of(tmp_path, "export.zip", data.getvalue(), "Ilse B") == [("see this page @here", "on it <3")]


def test_google_chat_of_takeout_knows_its_owner(tmp_path: Path) -> None:
    def said(name: str, text: str, minute: int) -> dict[str, Any]:
        creator = {"name": name, "email": f"{name.lower()}@example.org", "user_type": "Human"}
        return {
            "creator": creator,
            "created_date": f"Monday, May 6, 2024 at 10:{minute:02}:00\u202fAM UTC",
            "text": text,
            "topic_id": "t",
        }

    root = tmp_path / "Takeout" / "Google Chat"
    chat = {"messages": [said("Tove", "warm?", 1), said("Ilse", "warm enough", 2)]}
    user = {"user": {"name": "Ilse", "email": "ilse@example.org", "user_type": "Human"}}
    for name, content in (
        ("Groups/DM 1/messages.json", chat),
        ("Users/User 1/user_info.json", user),
        ("Groups/DM 1/group_info.json", {"members": []}),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(json.dumps(content))
    assert [(one.prompt, one.response) for one in read([str(tmp_path / "Takeout")]).messages] == [
        ("warm?", "warm enough")
    ]


def test_instagram_reactions_shares_and_unsent(tmp_path: Path) -> None:
    def said(who: str, text: str, at: int, **more: Any) -> dict[str, Any]:
        return {"sender_name": who, "timestamp_ms": 1715000000000 + at, "content": text, **more}

    chat = {
        "participants": [{"name": "Tove"}, {"name": "Ilse"}],
        "messages": [
            said("Ilse", "Liked a message", 5),
            said("Ilse", "gone already", 4, is_unsent=True),
            said("Ilse", "Ilse sent an attachment.", 3, share={"link": "x"}),
            said("Ilse", "I liked your photo of the kiln a lot", 2),
            said("Tove", "did you see it?", 1),
        ],
        "title": "Tove",
    }
    assert pairs_of(tmp_path, "message_1.json", chat, "Ilse") == [
        ("did you see it?", "I liked your photo of the kiln a lot")
    ]


# LINE, KakaoTalk, iMessage, SMS, IRC, meetings


def test_line_in_japanese_with_several_lines(tmp_path: Path) -> None:
    chat = '[LINE] 澪とのトーク履歴\n保存日時：2024/05/06 11:00\n\n2024/05/06(月)\n09:01\t澪\tねぎ抜いた？\n09:02\t蓮\t[スタンプ]\n09:03\t蓮\t"半分だけ。\n残りは正月に"\n09:04\t澪がメッセージの送信を取り消しました\n'
    assert pairs_of(tmp_path, "talk.txt", chat, "蓮") == [("ねぎ抜いた？", "半分だけ。\n残りは正月に")]


KAKAO = {
    "PC": "Tove 님과 카카오톡 대화\n저장한 날짜 : 2024-05-06 11:00:00\n\n--------------- 2024년 5월 6일 월요일 ---------------\n[Tove] [오전 10:01] 밥 먹었어?\n[Ilse] [오전 10:02] 사진\n[Ilse] [오전 10:03] 아니 아직\n이따 먹을래\n",
    "Android": "Tove 님과 카카오톡 대화\n저장한 날짜 : 2024년 5월 6일 오전 11:00\n\n2024년 5월 6일 오전 10:00\n2024년 5월 6일 오전 10:01, Tove : 밥 먹었어?\n2024년 5월 6일 오전 10:02, Ilse : 이모티콘\n2024년 5월 6일 오전 10:03, Ilse : 아니 아직\n이따 먹을래\n",
    "iPhone": "Tove 님과 카카오톡 대화\n저장한 날짜 : 2024. 5. 6. 오전 11:00\n\n2024년 5월 6일 월요일\n2024. 5. 6. 오전 10:01, Tove : 밥 먹었어?\n2024. 5. 6. 오전 10:03, Ilse : 아니 아직\n이따 먹을래\n",
}


@pytest.mark.parametrize("kind", KAKAO)
def test_kakaotalk(tmp_path: Path, kind: str) -> None:
    assert pairs_of(tmp_path, "talk.txt", KAKAO[kind], "Ilse") == [("밥 먹었어?", "아니 아직\n이따 먹을래")]


def test_imessage_exporters_text(tmp_path: Path) -> None:
    chat = "May 17, 2022  5:29:42 PM (Read by you after 5 seconds)\nTove\nfree tonight?\n\nMay 17, 2022  5:30:10 PM\nMe\nafter seven\nTapbacks:\n    Loved by Tove\n\nMay 17, 2022  5:31:10 PM\nMe\n/Users/ilse/Library/Messages/Attachments/a/b/IMG_1.HEIC\n\n"
    assert pairs_of(tmp_path, "Tove.txt", chat) == [("free tonight?", "after seven")]


def test_sms_backups_know_what_was_sent(tmp_path: Path) -> None:
    backup = """<?xml version='1.0' encoding='UTF-8' standalone='yes' ?>
<smses count="3"><sms protocol="0" address="+4900" date="1715000001000" type="1" body="free &amp; warm?" contact_name="Tove" />
<sms protocol="0" address="+4900" date="1715000002000" type="2" body="after seven&#10;or eight" contact_name="Tove" />
<mms address="+4900" date="1715000003000" msg_box="2" contact_name="Tove"><parts><part ct="application/smil" text="x"/><part ct="text/plain" text="with wool"/></parts></mms></smses>"""
    assert pairs_of(tmp_path, "sms.xml", backup) == [("free & warm?", "after seven\nor eight\nwith wool")]


LOGS = {
    "weechat": "2024-05-06 10:00:00\t-->\tilse (i@host) has joined #pond\n2024-05-06 10:01:00\t@tove\twhich valve sticks?\n2024-05-06 10:02:00\tilse\tthe lower one\n2024-05-06 10:02:30\t *\tilse kicks it\n",
    "znc": "[10:00:00] *** Joins: ilse (i@host)\n[10:01:00] <tove> which valve sticks?\n[10:02:00] <ilse> the lower one\n",
    "zoom": "10:01:00\t From  tove  to  Everyone : which valve sticks?\n10:02:00\t From  ilse  to  Everyone : the lower one\n",
    "names": "tove: which valve sticks?\nilse: the lower one\ntove: ah\nilse: the lower one\n",
    "bold names": "**tove:** which valve sticks?\n\n**ilse:** the lower one\n\n**tove:** ah\n\n**ilse:** the lower one\n",
    "times and names": "[10:01] tove: which valve sticks?\n[10:02] ilse: the lower one\n",
}


@pytest.mark.parametrize("kind", LOGS)
def test_logs_and_transcripts(tmp_path: Path, kind: str) -> None:
    assert pairs_of(tmp_path, "log.txt", LOGS[kind], "ilse")[0] == ("which valve sticks?", "the lower one")


# Mail

MAIL = "From: {who}\nTo: x@example.org\nSubject: {subject}\nDate: Mon, 6 May 2024 10:0{at}:00 +0000\nMIME-Version: 1.0\nContent-Type: {kind}; charset=utf-8\n{more}\n{body}\n"
ILSE = "Ilse Brandt <ilse@example.org>"


def mail(
    body: str, kind: str = "text/plain", more: str = "", who: str = ILSE, subject: str = "organ", at: int = 1
) -> str:
    return MAIL.format(body=body, kind=kind, more=more, who=who, subject=subject, at=at)


BODIES = {
    "German intro": "Am 06.05.24 um 09:00 schrieb Tove Lind <tove@example.org>:\n> Kommst du?\n",
    "French intro": "Le lun. 6 mai 2024 à 09:00, Tove Lind <tove@example.org> a écrit :\n> Tu viens ?\n",
    "Spanish intro over two lines": "El lun, 6 may 2024 a las 9:00, Tove Lind (<tove@example.org>)\nescribió:\n> ¿Vienes?\n",
    "Japanese intro": "2024年5月6日(月) 9:00 Tove Lind <tove@example.org>:\n> 来る？\n",
    "Outlook header": "________________________________\nVon: Tove Lind <tove@example.org>\nGesendet: Montag, 6. Mai 2024 09:00\nAn: Ilse\nBetreff: organ\n\nKommst du?\n",
    "signature": "-- \nIlse Brandt\nQuay 4\n",
    "phone's signature": "Sent from my iPhone\n",
    "forward": "---------- Forwarded message ---------\nFrom: Tove <tove@example.org>\nDate: Mon, 6 May 2024\nSubject: x\n\nKommst du?\n",
}


@pytest.mark.parametrize("kind", BODIES)
def test_mail_keeps_only_what_its_author_wrote(tmp_path: Path, kind: str) -> None:
    text = mail(f"I come on Wednesday with glue.\n\n{BODIES[kind]}")
    assert pairs_of(tmp_path, "a.eml", text, "ilse@example.org") == [("", "I come on Wednesday with glue.")]


def test_mail_of_html_alone_in_latin_1(tmp_path: Path) -> None:
    page = (
        '<div>Die Möwe lachte.<br>Laut.</div><blockquote>Kommst du?</blockquote><div class="gmail_signature">Ilse</div>'
    )
    data = (
        mail("@@", "text/html", "Content-Transfer-Encoding: 8bit\n")
        .replace("utf-8", "iso-8859-1")
        .encode()
        .replace(b"@@", page.encode("latin-1"))
    )
    assert pairs_of(tmp_path, "a.eml", data, "Ilse Brandt") == [("", "Die Möwe lachte.\nLaut.")]


def test_mbox_threads_and_newsletters(tmp_path: Path) -> None:
    box = "".join(
        f"From x@x Mon May  6 10:0{n}:00 2024\n{one}\n"
        for n, one in enumerate(
            (
                mail("Buy now!", who="Shop <news@example.org>", more="List-Unsubscribe: <x>\n"),
                mail("Is it mended?", who="Tove <tove@example.org>", at=2),
                mail("It is.\n>From the start", subject="Re: organ", at=3),
            )
        )
    )
    assert pairs_of(tmp_path, "box.mbox", box, "Ilse Brandt") == [("Is it mended?", "It is.\nFrom the start")]


def test_a_maildir_is_a_folder_of_mails(tmp_path: Path) -> None:
    for place, text in (
        ("cur/1:2,S", mail("Is it mended?", who="Tove <t@example.org>")),
        ("cur/2:2,S", mail(base64.b64encode(b"It is.").decode(), more="Content-Transfer-Encoding: base64\n")),
    ):
        (tmp_path / "box" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "box" / place).write_text(text)
    assert [one.response for one in read([str(tmp_path / "box")], author="ilse@example.org").messages] == ["It is."]


# What people posted, and what they said to assistants


def test_claudes_export_and_mastodons(tmp_path: Path) -> None:
    claude = [
        {
            "uuid": "1",
            "name": "x",
            "chat_messages": [
                {"sender": "human", "text": "my loom hums"},
                {"sender": "assistant", "text": "Oil it."},
                {"sender": "human", "text": "it hums louder"},
            ],
        }
    ]
    assert pairs_of(tmp_path, "conversations.json", claude) == [("", "my loom hums"), ("Oil it.", "it hums louder")]
    toots = {
        "@context": "x",
        "orderedItems": [
            {
                "type": "Create",
                "object": {"content": "<p>The kiln &amp; I agree.</p>", "published": "2024-05-06T10:00:00Z"},
            },
            {"type": "Announce", "object": "https://x"},
        ],
    }
    assert pairs_of(tmp_path, "outbox.json", toots) == [("", "The kiln & I agree.")]


def test_tweets_with_a_semicolon_and_media(tmp_path: Path) -> None:
    tweets = [
        {"tweet": {"full_text": "look at it &gt; that https://t.co/abc", "entities": {"media": [{}]}}},
        {"tweet": {"full_text": "RT @x: no"}},
    ]
    assert pairs_of(tmp_path, "tweets.js", f"window.YTD.tweets.part0 = {json.dumps(tweets)};") == [
        ("", "look at it > that")
    ]


# The training world

RECORDS = {
    "gemini": (
        {
            "contents": [
                {"role": "user", "parts": [{"text": "Tea?"}]},
                {"role": "model", "parts": [{"text": "Always."}]},
            ]
        },
        [("Tea?", "Always.")],
    ),
    "kto": (
        [
            {"prompt": "Tea?", "completion": "Always.", "label": True},
            {"prompt": "Tea?", "completion": "No.", "label": False},
        ],
        [("Tea?", "Always.")],
    ),
    "dpo of messages": (
        {
            "chosen": [{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": "Always."}],
            "rejected": [{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": "No."}],
        },
        [("Tea?", "Always.")],
    ),
    "dpo with the prompt in chosen": (
        {
            "prompt": [{"role": "user", "content": "Tea?"}],
            "chosen": [{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": "Always."}],
            "rejected": [],
        },
        [("Tea?", "Always.")],
    ),
    "hh": (
        {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Tea?\n\nAssistant: Always.", "rejected": "x"},
        [("Tea?", "Always.")],
    ),
    "llama 3": (
        {
            "text": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nTea?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nAlways.<|eot_id|>"
        },
        [("Tea?", "Always.")],
    ),
    "gemma": (
        {"text": "<bos><start_of_turn>user\nTea?<end_of_turn>\n<start_of_turn>model\nAlways.<end_of_turn>\n"},
        [("Tea?", "Always.")],
    ),
    "vicuna": ({"text": "USER: Tea?\nASSISTANT: Always.</s>"}, [("Tea?", "Always.")]),
    "end of text left over": ({"prompt": "Tea?", "response": "Always.<|im_end|>"}, [("Tea?", "Always.")]),
    "reasoning": (
        {
            "messages": [
                {"role": "user", "content": "Tea?"},
                {"role": "assistant", "content": "<think>hm</think>Always."},
            ]
        },
        [("Tea?", "Always.")],
    ),
    "senders": ([{"sender": "Tove", "text": "Tea?"}, {"sender": "Ilse", "text": "Always."}], [("Tea?", "Always.")]),
    "rows of the viewer": (
        {"rows": [{"row_idx": 0, "row": {"instruction": "Tea?", "output": "Always."}}]},
        [("Tea?", "Always.")],
    ),
    "bare lists": (
        [[{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": "Always."}]],
        [("Tea?", "Always.")],
    ),
    "flat roles": (
        [{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": "Always."}],
        [("Tea?", "Always.")],
    ),
}


@pytest.mark.parametrize("kind", RECORDS)
def test_records(tmp_path: Path, kind: str) -> None:
    content, pairs = RECORDS[kind]
    assert pairs_of(tmp_path, "data.json", content, "Ilse" if kind == "senders" else None) == pairs


TABLES = {
    "semicolons": ("prompt;response\nTea?;Always, yes.\n", None, [("Tea?", "Always, yes.")]),
    "tabs": ("instruction\toutput\nTea?\tAlways.\n", None, [("Tea?", "Always.")]),
    "weclone": (
        "id,MsgSvrID,type_name,is_sender,talker,room_name,msg,src,CreateTime\n1,1,文本,0,tove,x,Tea?,,2024-05-06 10:01:00\n2,2,文本,1,ilse,x,Always.,,2024-05-06 10:02:00\n3,3,图片,1,ilse,x,p.jpg,,2024-05-06 10:03:00\n",
        None,
        [("Tea?", "Always.")],
    ),
    "kakaotalk": (
        'Date,User,Message\n2024-05-06 10:01:00,"Tove","Tea?"\n2024-05-06 10:02:00,"Ilse","Always."\n',
        "Ilse",
        [("Tea?", "Always.")],
    ),
    "linkedin": (
        "CONVERSATION ID,CONVERSATION TITLE,FROM,SENDER PROFILE URL,TO,DATE,SUBJECT,CONTENT\na,,Ilse,u,Tove,2024-05-06 10:02:00 UTC,,Always.\na,,Tove,u,Ilse,2024-05-06 10:01:00 UTC,,Tea?\n",
        "Ilse",
        [("Tea?", "Always.")],
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables(tmp_path: Path, kind: str) -> None:
    content, author, pairs = TABLES[kind]
    assert pairs_of(tmp_path, "data.csv", content, author) == pairs


@pytest.mark.parametrize(
    "column", ["name", "Name", "author", "sender", "from", "user", "username", "user name", "speaker", "participant"]
)
@pytest.mark.parametrize(("ending", "mark"), [("csv", ","), ("tsv", "\t")])
def test_a_table_with_a_column_of_senders_is_a_conversation(
    tmp_path: Path, column: str, ending: str, mark: str
) -> None:
    rows = ((column, "text"), ("Tove", "Shall we have tea?"), ("Ilse", "Always."), ("Tove", "Then come."))
    content = "".join(mark.join(row) + "\n" for row in rows)
    with pytest.raises(BadInput, match=r"Found: Tove \(2\), Ilse \(1\)"):
        pairs_of(tmp_path, f"chat.{ending}", content)
    assert pairs_of(tmp_path, f"chat.{ending}", content, "Ilse") == [("Shall we have tea?", "Always.")]


def test_records_with_a_name_and_a_text_are_a_conversation(tmp_path: Path) -> None:
    content = [{"name": "Tove", "text": "Shall we have tea?"}, {"name": "Ilse", "text": "Always."}]
    assert pairs_of(tmp_path, "chat.json", content, "Ilse") == [("Shall we have tea?", "Always.")]
    answered = [{"name": "one", "text": "x", "prompt": "Tea?", "response": "Always."}]
    assert pairs_of(tmp_path, "data.json", answered) == [("Tea?", "Always.")]


# Documents, notes, encodings


def test_open_document_text(tmp_path: Path) -> None:
    head = 'xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0" xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"'
    body = "<text:h>A title of words</text:h><text:p>The bellows<text:s text:c='1'/>are <text:span>mended</text:span>.<office:annotation><text:p>a comment of hers</text:p></office:annotation></text:p>"
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr(
            "content.xml",
            f"<office:document-content {head}><office:body><office:text>{body}</office:text></office:body></office:document-content>",
        )
    assert pairs_of(tmp_path, "a.odt", data.getvalue()) == [("", "The bellows are mended.")]


def test_rich_text(tmp_path: Path) -> None:
    pytest.importorskip("striprtf")
    text = r"{\rtf1\ansi{\fonttbl\f0\fswiss Helvetica;}\f0\pard The bellows are {\b mended}.\par Und die M\'f6we lachte.\par}"
    assert pairs_of(tmp_path, "a.rtf", text) == [("", "The bellows are mended."), ("", "Und die Möwe lachte.")]


def test_markdown_notes_of_a_vault(tmp_path: Path) -> None:
    note = "+++\ntitle = 'x'\n+++\n- [ ] buy more beans\n\nSee [the map](https://example.org) and [[Tove]].\n\n| a | b |\n|---|---|\n| c | d e f |\n\n> [!note] Not mine\n> at all\n\n#garden #beans\n\nAll words of mine.\n"
    assert pairs_of(tmp_path, "note.md", note) == [("", "See the map and Tove."), ("", "All words of mine.")]


def test_wrapped_paragraphs_stay_one(tmp_path: Path) -> None:
    text = "The gull laughed three times and nobody\nknew why it did, least of all the keeper\nwho slept through all of it, as always,\nand dreamt of a boat with a hole in it.\n"
    assert pairs_of(tmp_path, "a.txt", text) == [("", text.strip())]


ENCODED = {
    "cp1251": "Сторож не мёрз, потому что носил три пальто.\n\nЧайка смеялась, и никто не знал почему.",
    "koi8-r": "Сторож не мёрз, потому что носил три пальто.\n\nЧайка смеялась, и никто не знал почему.",
    "gb18030": "灯塔看守人不冷，因为他穿了三件外套。\n\n海鸥笑了，没人知道为什么。",
    "big5": "燈塔看守人不冷，因為他穿了三件外套。\n\n海鷗笑了，沒人知道為什麼。",
    "euc-kr": "등대지기는 춥지 않았다. 외투를 세 벌이나 입고 있었으니까.\n\n갈매기가 웃었지만 아무도 몰랐다.",
    "euc-jp": "灯台守は寒くなかった、外套を三枚着ていたから。\n\nかもめが笑ったが、理由は誰も知らなかった。",
    "cp1250": "Strażnik nie marzł, bo miał na sobie trzy płaszcze.\n\nMewa się śmiała, a nikt nie wiedział dlaczego.",
    "cp1253": "Ο φύλακας δεν κρύωνε γιατί φορούσε τρία παλτά.\n\nΟ γλάρος γέλασε και κανείς δεν ήξερε γιατί.",
    "latin-1": "Le café était fermé à Noël, où êtes-vous allés ?\n\nLa mouette a ri trois fois, très fort.",
    "utf-16-le": "Der Wärter fror nicht, denn er trug drei Mäntel.\n\nDie Möwe lachte, und niemand wusste worüber.",
    "utf-32": "Der Wärter fror nicht, denn er trug drei Mäntel.\n\nDie Möwe lachte, und niemand wusste worüber.",
}


@pytest.mark.parametrize("encoding", ENCODED)
def test_encodings_are_guessed_right_and_said(tmp_path: Path, encoding: str) -> None:
    text = ENCODED[encoding]
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(encoding))
    found = read([str(path)])
    assert list(found.texts) == text.split("\n\n")
    assert bool(found.reading.notes) is (encoding != "utf-32")  # it has a byte order mark


# Refused, with what was seen


@pytest.mark.parametrize(
    ("name", "content", "seen"),
    [
        ("log.txt", "\n".join(f"2024-05-06 10:0{n}:00 INFO started the engine" for n in range(6)), "begin with a time"),
        ("a.py", "import os\n\ndef f():\n    return os\n\nclass A:\n    pass\n", "program"),
        ("a.vcf", "BEGIN:VCARD\nFN:Tove\nEND:VCARD\n", "contacts"),
        ("a.xml", "<?xml version='1.0'?>\n<a><b>words of nobody here</b></a>\n", "XML"),
        ("a.csv", "a,b\n1,2\n", "no known columns. Seen: a, b"),
        ("a.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 64, "old Word"),
        ("a.json", '{"name": "blog", "version": "1.0.0"}', "no known fields. Seen: name, version"),
        ("chat.db", b"SQLite format 3\0" + b"\0" * 64, "a database"),
        ("a.txt", "three words here\n\nand four words here", "is no conversation"),
        (
            "chat.json",
            json.dumps([{"sender": "Tove", "text": "Tea?"}, {"sender": "Olaf", "text": "No."}]),
            "Found: Olaf (1), Tove (1)",
        ),
        (
            "two.json",
            json.dumps([{"sender": "Ilse A", "text": "Tea?"}, {"sender": "Ilse B", "text": "No."}]),
            "may be any of Ilse A, Ilse B",
        ),
    ],
)
def test_refusals_name_what_was_seen(tmp_path: Path, name: str, content: Any, seen: str) -> None:
    with pytest.raises(XpertError, match=re.escape(seen)) as error:
        pairs_of(tmp_path, name, content, None if name not in ("a.txt", "chat.json", "two.json") else "Ilse")
    assert "\n" not in str(error.value)


def test_a_folder_has_a_verdict_a_file_and_one_summary(tmp_path: Path) -> None:
    for name, text in {
        "a.md": "Three words here.",
        "b.csv": "x,y\n1,2\n",
        "chat.txt": f"{ANDROID}Tove: tea?\n{ANDROID}Ilse: always\n",
        "silent.txt": f"{ANDROID}Tove: hello?\n{ANDROID}Olaf: hm\n",
        "photo.jpg": "x",
        ".hidden.md": "Not at all read.",
        "LICENSE": "Permission is hereby granted.",
    }.items():
        (tmp_path / name).write_text(text)
    found = read([str(tmp_path)], author=["Ilse", "ilse_old"])
    assert sorted(found.texts) == ["Three words here.", "always"]
    assert found.reading.files == {"text": 1, "WhatsApp chat": 2}
    assert found.reading.authors == ("Ilse",)
    assert found.reading.left_out == {
        "conversations in which you say nothing": 1,
        "files of other kinds": 1,
        "hidden files": 1,
        "licence files": 1,
        "media files": 1,
    }


def test_broken_archives_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="damaged zip"):
        pairs_of(tmp_path, "a.zip", b"PK\x03\x04" + b"x" * 50)
