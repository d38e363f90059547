"""What chat apps write in a person's place: notices of media, deletions, calls, locations, by shape and by language.

    notice("<Medien ausgeschlossen>") == "media notices"
    notice("Cette heure me va") == ""

The languages are those that WhatsApp's exports are known in; shapes (angle brackets, a file's name, a mark at the
beginning) hold in the others too.
"""

from __future__ import annotations

import re

MARK = "\u200e"  # what WhatsApp for iPhone puts before its own words

# The last word of "image omitted" and its like.
_OMITTED = (
    r"omitted|weggelassen|ausgeschlossen|omitid[oa]s?|absente?s?|omis(?:e|es)?|omess[oaie]|ocultad[oa]s?"
    r"|ocult[oa]s?|oculto"
    r"|não revelad[oa]|weggelaten|pominięt\w+|опущен\w*|пропущен\w*|без медиафайлов|dahil edilmedi|diabaikan"
    r"|tidak disertakan|dikecualikan|省略|省略されました|を省略しました|已省略|略過|被省略|忽略|생략됨|생략된"
    r"|제외됨|생략|تم استبعاد\w*|محذوفة"
    r"|utelämna\w*|utelat\w*|udelad\w*|vynechán\w*|vynechan\w*|kihagyva|omisă|παραλείφθηκε|הושמט\w*|छोड़ा गया"
    r"|jätetty pois|ohitettu|izostavljen\w*|изключен\w*|пропуснат\w*|заборонен\w*|упущен\w*|bị bỏ qua|ถูกละไว้"
    r"|olib tashlangan"
)
_DELETED = (
    r"this message was deleted|you deleted this message|message deleted|this message was deleted by admin.*|"
    r"(?:diese|du hast diese) nachricht (?:wurde )?(?:vom admin \S+ )?gelöscht|du hast diese nachricht gelöscht|"
    r"(?:se )?eliminó este mensaje|se eliminó este mensaje|eliminaste este mensaje|este mensaje fue eliminado|"
    r"(?:has eliminado|borraste) este mensaje|ce message a été supprimé|vous avez supprimé ce message|"
    r"(?:questo messaggio è stato eliminato|hai eliminato questo messaggio)|"
    r"(?:esta mensagem foi (?:apagada|eliminada)|mensagem apagada|você apagou esta mensagem|eliminaste esta mensagem)|"
    r"(?:dit bericht (?:is|werd) verwijderd|(?:je|u) hebt dit bericht verwijderd|je hebt dit bericht verwijderd)|"
    r"(?:ta wiadomość została usunięta|usunięto tę wiadomość|usun(?:ąłeś|ęłaś) tę wiadomość"
    r"|wiadomość została usunięta)|"
    r"(?:данное сообщение удалено|это сообщение удалено|вы удалили (?:данное|это) сообщение|сообщение удалено)|"
    r"(?:це повідомлення видалено|ви видалили це повідомлення)|"
    r"(?:bu mesaj silindi|bu mesajı sildiniz|mesajı sildiniz)|(?:pesan ini (?:telah )?dihapus"
    r"|anda (?:telah )?menghapus pesan ini)|"
    r"(?:mesej ini telah dipadam|anda telah memadam mesej ini)|"
    r"(?:تم حذف هذه الرسالة|لقد حذفت هذه الرسالة|حذفت هذه الرسالة|تم حذف الرسالة)|"
    r"(?:此消息已(?:被)?删除|你已删除此消息|您删除了此消息|你删除了这条消息|该消息已被删除|這則訊息已刪除"
    r"|此訊息已刪除|你已刪除這則訊息|您已刪除此訊息)|"
    r"(?:このメッセージは削除されました|メッセージを削除しました|このメッセージを削除しました)|"
    r"(?:삭제된 메시지입니다|메시지를 삭제했습니다|이 메시지는 삭제되었습니다|이 메시지를 삭제했습니다)|"
    r"(?:यह (?:संदेश|मैसेज) (?:मिटाया|हटा दिया|डिलीट किया) (?:गया था|गया)|आपने (?:यह|इस) (?:संदेश"
    r"|मैसेज) (?:को )?(?:मिटाया|हटा दिया|डिलीट किया))|"
    r"(?:detta meddelande (?:har tagits bort|togs bort|raderades)|du (?:tog bort|raderade) (?:detta"
    r"|det här) meddelande\w*|det här meddelandet (?:togs bort|raderades))|"
    r"(?:denne meldingen ble slettet|du slettet denne meldingen|denne besked blev slettet|du slettede denne besked)|"
    r"(?:tämä viesti poistettiin|poistit tämän viestin)|(?:tato zpráva byla (?:smazána|odstraněna)"
    r"|tuto zprávu jste (?:smazali|odstranili)|smazali jste tuto zprávu)|"
    r"(?:ez az üzenet törölve (?:lett|volt)|törölte ezt az üzenetet|ezt az üzenetet törölték|törölted ezt az üzenetet)|"
    r"(?:acest mesaj a fost șters|ai șters acest mesaj)|(?:αυτό το μήνυμα διαγράφηκε|διαγράψατε αυτό το μήνυμα)|"
    r"(?:הודעה זו נמחקה|מחקת הודעה זו|ההודעה נמחקה|מחקת את ההודעה הזו)|(?:tin nhắn này đã bị xóa"
    r"|bạn đã xóa tin nhắn này)|"
    r"(?:ข้อความนี้ถูกลบแล้ว|คุณลบข้อความนี้แล้ว)|(?:این پیام حذف شد\w*|شما این پیام را حذف کردید)|"
    r"(?:ova poruka je (?:izbrisana|obrisana)|izbrisali ste ovu poruku)|(?:това съобщение (?:е|беше) изтрито"
    r"|изтрихте това съобщение)"
)
_CALL = (
    r"(?:missed|no answer|declined|cancelled|canceled) .{0,20}call.{0,20}|(?:group )?(?:voice"
    r"|video) call(?:, .{1,40}| ended.*| started.*)?|call ended.*|started a (?:video |voice )?call|"
    r"(?:verpasster|keine antwort) .{0,12}anruf.{0,20}|verpasster (?:sprach|video|gruppen)\w*.{0,20}|(?:sprach"
    r"|video)anruf(?:, .{1,40})?|"
    r"(?:video)?llamada.{0,18} perdida.{0,12}|(?:video)?llamada de voz(?:, .{1,40})?|appel (?:vocal|vidéo"
    r"|audio)?.{0,12}manqué.{0,12}|appel (?:vocal|vidéo)(?:, .{1,40})?|"
    r"(?:video)?chiamata.{0,18} persa.{0,12}|(?:chamada|ligação|videochamada).{0,20} perdida.{0,12}|"
    r"gemiste? .{0,12}oproep.{0,12}|nieodebran\w+ .{0,12}połączeni\w+.{0,12}|пропущенный .{0,16}(?:звонок"
    r"|вызов).{0,12}|"
    r"cevapsız .{0,12}arama.{0,12}|panggilan .{0,12}(?:tak|tidak) terjawab.{0,12}|(?:不在着信.*)|(?:音声"
    r"|ビデオ)通話.{0,10}不在着信|"
    r"未接.{0,6}(?:通话|通話|来电|來電).{0,12}|(?:语音|视频|語音|視訊)通[话話]|부재중 .{0,8}(?:통화|전화).{0,12}"
    r"|(?:음성|영상)통화.{0,12}|"
    r"مكالمة .{0,12}(?:فائتة|لم يرد عليها|لم يتم الرد عليها)|मिस्ड .{0,12}कॉल.{0,8}|missat .{0,14}samtal"
    r"|ubesvart .{0,14}(?:anrop|samtale)|ubesvaret .{0,14}opkald|"
    r"vastaamaton .{0,14}puhelu|zmeškaný .{0,14}hovor|nem fogadott .{0,14}hívás|apel .{0,12}pierdut"
    r"|αναπάντητη .{0,14}κλήση|שיחת? .{0,10}שלא נענתה|cuộc gọi .{0,8}nhỡ|пропущений .{0,14}дзвінок"
)
_ENCRYPTED = re.compile(
    r"end-to-end[ -]?(?:encrypt|versleut|krypt|szyfr|şifre|salat)|encrypted|ende-zu-ende|de extremo a extremo"
    r"|bout en bout"
    r"|crittograf\w+ end-to-end|ponta a ponta|met end-to-end|end-to-end|сквозн\w+ шифр|наскрізн|uçtan uca|مشفرة"
    r"|تشفير|端到端|端對端"
    r"|エンドツーエンド|종단간|secara end-to-end|एंड-टू-एंड|מקצה לקצה|päästä päähän|ende-til-ende|végpontok"
    r"|criptate integral"
    r"|đầu cuối"
    r"|ต้นทางถึงปลายทาง|od końca do końca|koncov\w+ šifrov|ολοκλήρου|سرتاسر",
    re.IGNORECASE,
)
_ABOUT_MESSAGES = re.compile(
    r"messages|nachrichten|mensajes|les messages|messaggi|mensagens|berichten|wiadomości|сообщени|повідомл"
    r"|mesajlar|الرسائل|消息|訊息"
    r"|メッセージ|메시지|pesan|mesej|मैसेज|संदेश|הודעות|viestit|meddeland|melding|beskede|zprávy|üzenet|mesajele"
    r"|tin nhắn"
    r"|ข้อความ|μηνύματα|پیام",
    re.IGNORECASE,
)
_OTHER = (
    r"(?:live location shared|waiting for this message.*|view once (?:message|photo|video|voice message).*"
    r"|you received a view once .*|"
    r"live-standort wird geteilt|warten auf diese nachricht.*|ubicación en tiempo real compartida"
    r"|esperando (?:este )?mensaje.*|"
    r"position en direct partagée|en attente de ce message.*|posizione attuale condivisa|in attesa del messaggio.*|"
    r"localização (?:atual|em tempo real) compartilhada|aguardando mensagem.*|live locatie gedeeld"
    r"|wachten op dit bericht.*|"
    r"canlı konum paylaşıldı|bu mesaj bekleniyor.*|ожидание (?:данного )?сообщения.*|lokasi terkini dibagikan"
    r"|menunggu pesan ini.*|"
    r"ライブ位置情報.*|正在等待此消息.*|等待此訊息.*|실시간 위치.*|oczekiwanie na tę wiadomość.*|"
    r"message unavailable|unsupported message.*"
    r"|this message can't be displayed.*)"
)
_FILE = re.compile(
    r"\S.{0,150}\.(?:jpe?g|png|gif|webp|heic|bmp|mp4|mov|3gp|avi|mkv|webm|opus|ogg|mp3|m4a|aac|amr|wav|vcf|pdf"
    r"|docx?|xlsx?|pptx?|txt"
    r"|zip|rar|apk|csv|html?|ics|was|bin|epub|odt|rtf|psd|svg|json|xml)\s*\([^()]{3,40}\)[.]?",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"[^\W\d_][\w ’'-]{0,30}: ?https?://(?:maps\.google\.\w+|maps\.app\.goo\.gl|maps\.apple\.com|foursquare\.com)/\S*"
)
_OPTION = re.compile(r"[^\W\d_a-zß-ÿ]{2,14}: .*\(\d+ [^()]{1,20}\)")
_POLL = re.compile(
    r"(?:POLL|UMFRAGE|ENCUESTA|SONDAGE|SONDAGGIO|ENQUETE|PEILING|ANKET|ОПРОС|ANKIETA|POLLING|投票|投票活动"
    r"|アンケート|투표):"
)
_BRACKETS = re.compile(r"<[^<>\n]{3,60}>")
_EDITED = re.compile(
    rf"\s*{MARK}?<[^<>\n]{{0,50}}(?:edit|bearbeit|modif|edyt|editad|bewerkt|redig|изменен|відред|ред\w*к|düzenl"
    rf"|sunting|diubah|تعديل|编辑|編輯|編集"
    r"|편집|수정|संपादित|एडिट|ערכ|נערכ|muoka|upraven|szerkeszt|επεξεργ|chỉnh sửa|แก้ไข|ویرایش|uređen)[^<>\n]{0,40}>$",
    re.IGNORECASE,
)
_TABLE = (
    ("deleted messages", re.compile(f"(?:{_DELETED})[.。]?", re.IGNORECASE)),
    ("call notices", re.compile(f"(?:{_CALL})[.。]?", re.IGNORECASE)),
    ("other notices", re.compile(f"(?:{_OTHER})[.。]?", re.IGNORECASE)),
)
_MISSING = re.compile(rf"(?:\S+ ?){{0,3}}(?:{_OMITTED})[.。]?", re.IGNORECASE)
_SMALL = re.compile(r"null|sticker|gif|photo|video|voice message", re.IGNORECASE)
LONGEST = 120  # characters of a notice of the table
_LINK = re.compile(r"(?:\s*<?https?://\S+>?\s*)+")
_DELETED_WORDS = ("[deleted]", "[removed]", "[deleted by user]", "[ removed by reddit ]", "[removed by moderator]")


def notice(line: str) -> str:
    """Why a whole line is not what a person wrote; "" if it may be."""
    if line.startswith(MARK):
        return "media notices" if len(line) < LONGEST else "other notices"
    line = line.strip()
    if not line or len(line) > 400:
        return ""
    if (line[0] == "<" and _BRACKETS.fullmatch(line)) or ("(" in line and _FILE.fullmatch(line)):
        return "media notices"
    if "://" in line and _PLACE.fullmatch(line):
        return "location notices"
    if line[-1] in ":)" and (_POLL.fullmatch(line) or _OPTION.fullmatch(line)):
        return "poll options"
    if len(line) > LONGEST:
        return "other notices" if _ENCRYPTED.search(line) and _ABOUT_MESSAGES.search(line) else ""
    if line.count(" ") < 5 and (_SMALL.fullmatch(line) or _MISSING.fullmatch(line)):
        return "media notices"
    if "a" <= line[0] <= "z":  # the apps begin with a capital letter, where there are any
        return ""
    if len(line) > 24 and _ENCRYPTED.search(line) and _ABOUT_MESSAGES.search(line):
        return "other notices"
    return next((reason for reason, pattern in _TABLE if pattern.fullmatch(line)), "")


def without_edited(line: str) -> str:
    """A line without the words that say that its message was edited."""
    return _EDITED.sub("", line) if line.rstrip().endswith(">") else line


def only_links(text: str) -> bool:
    """Whether a text is nothing but links."""
    return "://" in text and len(text) < 5000 and _LINK.fullmatch(text) is not None


def taken_away(text: str) -> bool:
    """Whether a text only says that there was one."""
    return text.strip().lower() in _DELETED_WORDS
