"""A hundred private things as people send them, all made up: keys drawn from a seed, wallets with right check digits.

    for kind, text in planted(): ...

Keys are put together here, so that no scanner of code takes them for real ones.
"""

from __future__ import annotations

import hashlib
import random
import string

_B58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ALNUM, _HEX = string.ascii_letters + string.digits, "0123456789abcdef"


def base58check(data: bytes) -> str:
    """Bytes as wallets write them."""
    data += hashlib.sha256(hashlib.sha256(data).digest()).digest()[:4]
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        text = _B58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def planted(seed: int = 1) -> list[tuple[str, str]]:
    """(what it is, a message with it)."""
    numbers = random.Random(seed)

    def some(letters: str, count: int) -> str:
        return "".join(numbers.choice(letters) for _ in range(count - 3)) + numbers.choice("abc") + "7" + "d"

    def raw(count: int) -> bytes:
        return bytes(numbers.randrange(256) for _ in range(count))

    passports = [
        "my passport number is C01X00T47, valid until 2031",
        "Passport No: 533380006",
        "Reisepass-Nr.: CFGHJ1234",
        "mon passeport: 12AB34567",
        "el pasaporte es AAA123456",
        "il mio passaporto YA1234567 è scaduto",
        "паспорт 45 08 123456",
        "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10",
        "driver's license # D1234567, state of nowhere",
        "Personalausweis L01X00T471",
    ]
    wallets = [
        f"send it to {base58check(bytes([0]) + raw(20))} please",
        f"btc: {base58check(bytes([5]) + raw(20))}",
        f"LTC {base58check(bytes([48]) + raw(20))}",
        f"much doge {base58check(bytes([30]) + raw(20))}",
        f"TRX goes to {base58check(bytes([65]) + raw(20))}",
        f"the key of the wallet is {base58check(bytes([128]) + raw(32))}",
        f"eth 0x{some(_HEX, 40)}",
        "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq is mine",
        "seed phrase: " + "apple river stone cloud tiger maple ocean candle bridge violet lemon harbor",
        f"my solana wallet: 7{some(_B58, 43)}",
    ]
    addresses = [
        "we moved to 742 Evergreen Terrace last week",
        "PO Box 4417 is fine for letters",
        "Apt 4B, 1600 Amphitheatre Parkway",
        "ship to Springfield, IL 62704",
        "mi casa: Calle Mayor 5, 2º izquierda",
        "Avenida de la Constitución 21",
        "abito in Via Garibaldi 12, terzo piano",
        "Piazza del Duomo 3",
        "ul. Długa 7, wejście od podwórza",
        "Rua Augusta, 150",
        "Unter den Linden 77, Hinterhaus",
        "Am Markt 3, zweiter Stock",
        "Lindenweg 4, 50667 Köln",
        "Storgatan 12, vån 3",
        "Prinsengracht 263, achterhuis",
        "SW1A 2AA is the postcode",
        "K1A 0B1, second floor",
        "〒100-0001 東京都千代田区千代田1-1",
        "Atatürk Cad. No: 15, kat 2",
        "8 rue de Rivoli, code 42B",
    ]
    begin, end = "-----BEGIN ", "-----"
    blocks = [
        f"{begin}ENCRYPTED PRIVATE KEY{end}\nMIIFHDBOBgkq",
        f"{begin}OPENSSH PRIVATE KEY{end}",
        f"{begin}PGP PRIVATE KEY BLOCK{end}",
        f"{begin}EC PRIVATE KEY{end}",
        "PuTTY-User-Key-File-3: ssh-ed25519",
        "---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----",
        "AGE-SECRET-KEY-1" + some(string.ascii_uppercase.replace("O", "") + "234567", 55).upper() + "QPZ9",
        "untrusted comment: minisign encrypted secret key",
        f"PrivateKey = {some(_ALNUM, 43)}=",
        '{"kty": "OKP", "crv": "Ed25519", "d": "' + some(_ALNUM, 43) + '"}',
    ]
    links = [
        f"https://app.example.com/login?token={some(_ALNUM, 24)}",
        f"https://files.example.com/a.pdf?sig={some(_ALNUM, 30)}&x=1",
        f"https://b.s3.amazonaws.com/k?X-Amz-Signature={some(_HEX, 64)}",
        f"https://chat.whatsapp.com/{some(_ALNUM, 22)}",
        f"https://discord.gg/{some(_ALNUM, 9)}",
        f"join here: https://us02web.zoom.us/j/8123456789?pwd={some(_ALNUM, 20)}",
        f"https://docs.google.com/document/d/{some(_ALNUM, 44)}/edit",
        f"https://shop.example/reset-password/{some(_ALNUM, 28)}",
        f"https://www.dropbox.com/scl/fi/{some(_ALNUM, 20)}/me.jpg?rlkey={some(_ALNUM, 20)}",
        f"https://hooks.slack.com/services/T{some(_ALNUM, 9)}/B{some(_ALNUM, 9)}/{some(_ALNUM, 22)}",
    ]
    keys = [
        "sk-" + "proj-" + some(_ALNUM, 48),
        "sk-" + "ant-api03-" + some(_ALNUM, 60),
        "hf" + "_" + some(_ALNUM, 34),
        "AI" + "za" + some(_ALNUM, 35),
        "gl" + "pat-" + some(_ALNUM, 20),
        "xo" + "xb-" + "123456789012-" + some(_ALNUM, 24),
        "github" + "_pat_" + some(_ALNUM, 40),
        "do" + "p_v1_" + some(_HEX, 64),
        "SG" + "." + some(_ALNUM, 22) + "." + some(_ALNUM, 43),
        "np" + "m_" + some(_ALNUM, 36),
        "py" + "pi-" + some(_ALNUM, 60),
        "shp" + "at_" + some(_HEX, 32),
        "sq0" + "csp-" + some(_ALNUM, 43),
        "AS" + "IA" + some(string.ascii_uppercase, 16).upper(),
        "rk" + "_live_" + some(_ALNUM, 24),
        "gs" + "k_" + some(_ALNUM, 52),
        "dckr" + "_pat_" + some(_ALNUM, 27),
        "tskey" + "-auth-" + some(_ALNUM, 20),
        "12345678" + "90:AA" + some(_ALNUM, 33),
        "AccountKey=" + some(_ALNUM, 86) + "==",
    ]
    card, token = "4111 1111 1111 1111", "gh" + "p_" + some(_ALNUM, 36)
    hidden = [
        "card 4111 1111\n1111 1111 until May",
        "".join(f"{c}\u200b" for c in card),
        "".join(chr(ord(c) + 0xFEE0) if c != " " else c for c in card),
        "DE89 3704 0044\n0532 0130 00",
        "DE89\u00a03704\u00a00044\u00a00532\u00a00130\u00a000",
        "anna.m@\nposteo.de",
        "anna\u200b.m@poste\u200do.de",
        "\uff41\uff4e\uff4e\uff41\uff20\uff50\uff4f\uff53\uff54\uff45\uff4f\uff0e\uff44\uff45",
        f"{token[:20]}\n{token[20:]}",
        f"{token[:12]}\u00ad{token[12:]}",
        "+49 171\n2345678",
        "\u202a+49 171 2345678\u202c",
        "the SSN is 536\u201190\u20114399",
        "call ٠١٧١٢٣٤٥٦٧٨ now".translate({ord(c): str(i) for i, c in enumerate("٠١٢٣٤٥٦٧٨٩")}),
        "password:" + " " * 40 + "hunter2024",
    ]
    others = [
        "mail me: jo.smith+x@mail.example.org",
        "IBAN FR14 2004 1010 0505 0001 3M02 606",
        "amex 3782 822463 10005",
        "ring 020 7946 0958 after six",
        "the wifi password is k4tze-im-sack",
    ]
    groups = {
        **{"passport": passports, "wallet": wallets, "address": addresses, "key block": blocks, "link": links},
        **{"key": [f"use {key} for it" for key in keys], "hidden": hidden, "other": others},
    }
    return [(kind, text) for kind, texts in groups.items() for text in texts]
