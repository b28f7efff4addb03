#!/usr/bin/env python3
"""Derives every golden vector of docs/formats.md again, from the page's words alone: its own CBOR, CRC-32C, Merkle tree
and base32; SHA-256 from hashlib; AES-GCM and Ed25519 from the `cryptography` package. It shares no code with Sekisho.

    python3 docs/formats_check.py            compares, and exits with 1 at a difference
    python3 docs/formats_check.py --write    writes what it derived into the page
"""
import base64, hashlib, json, pathlib, re, struct, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PAGE = pathlib.Path(__file__).with_name("formats.md")


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# --- CBOR (RFC 8949), the deterministic subset: integers, byte strings, text, arrays, null, booleans -------------------

def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for code, size, form in ((24, 1, ">B"), (25, 2, ">H"), (26, 4, ">I"), (27, 8, ">Q")):
        if n < 1 << 8 * size:
            return bytes([major << 5 | code]) + struct.pack(form, n)
    raise ValueError(n)


def cbor(value):
    if value is None:
        return b"\xf6"
    if value is True or value is False:
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    return head(4, len(value)) + b"".join(map(cbor, value))


def record(*fields):
    """A record: an array of its fields; absent ones at the end are left out."""
    fields = list(fields)
    while fields and fields[-1] is None:
        fields.pop()
    return fields


def choice(number, *fields):
    return [number, record(*fields)]


# --- the samples -------------------------------------------------------------------------------------------------------

def i(n):
    return bytes([n]) * 16


def h(n):
    return bytes([n]) * 32


def pruned_digest(positions):
    digest = bytes(32)
    for position in positions:
        digest = sha(digest, struct.pack("<Q", position), sha(b"\0", bytes([position])))
    return digest


TERMS = record("app", "care", ["medication@1", "vaccination@1"], "city", 1, 2, "2020-01-01", None, h(3))
QUESTION = record(i(1), i(11), 2, i(4), i(12), "care", ["vaccination@1"])


def attestation(way):
    return record("city", choice(way), "e", "c", "d", 13)


TEXT = ("2026-11", "同意します", "I agree", "利点", "a benefit", "断ると", "when refused")

EVENTS = {
    "registry-activated": (1, record("{}")),
    "enrolled": (2, record(i(1), "1980-01-01", "e", "v")),
    "linked-login": (3, record(i(2), i(1), choice(0, "https://id.example", "s"), "e", "v")),
    "linked-source": (3, record(i(2), i(1), choice(1, "city", "p-1"), "e", "v")),
    "link-ended": (4, record(i(2), "r")),
    "authority-recorded": (5, record(i(3), i(1), i(4), -1, None, "親権者", "e", "v", None)),
    "authority-ended": (6, record(i(3), 2, "r")),
    "consent-proposed": (7, record(i(5), i(1), TERMS, "app")),
    "consent-approved": (8, record(i(5), i(1), i(1), TERMS, 1, None, "h")),
    "consent-booked": (8, record(i(5), i(1), i(1), TERMS + [record("B-1", 21)], 1, None, "h", None, "phr")),
    "consent-attested": (8, record(i(5), i(1), i(1), TERMS, 1, "city", "h", attestation(0))),
    "withdrawal-attested": (9, record(i(5), 3, i(1), None, attestation(1))),
    "refusal-attested": (11, record(i(6), i(1), i(1), "app", None, ["vaccination"], 4, attestation(2))),
    "consent-ended": (9, record(i(5), 3, i(1), None)),
    "consent-superseded": (9, record(i(5), 3, i(1), i(6))),
    "proposal-closed": (10, record(i(5), i(1), True)),
    "refused": (11, record(i(6), i(1), i(1), "app", None, ["vaccination"], 4)),
    "refusal-lifted": (12, record(i(6), i(1), 5)),
    "block-set-person": (13, record(i(7), i(1), choice(0, i(4)), 6, None, "e")),
    "block-set-party": (13, record(i(7), i(1), choice(1, "app"), 6, 7, "e")),
    "block-ended": (14, record(i(7), 7)),
    "basis-recorded": (15, record(i(8), i(1), "city", "care", ["vaccination@1"], 8, 9, "a", "q", "d", "r")),
    "basis-ended": (16, record(i(8), 10)),
    "pairwise-minted": (17, record(i(1), "app", i(9), h(10))),
    "decided": (18, record(QUESTION, "r", 1795305600000, 12, h(13), 14, h(15), 1, False)),
    "decided-on-consents": (18, record(QUESTION, "r", 1795305600000, 12, h(13), 14, h(15), 1, False, [i(5), i(6)])),
    "closed": (19, record(i(16), choice(0), 1, 2, 3, h(17))),
    "closed-unknown": (19, record(i(16), choice(3), 0, 0, 0, None)),
    "standing-changed": (20, record("app", True, "r")),
    "key-destroyed": (21, record(i(18))),
    "operator-read": (22, record("o", "w", None)),
    "pairwise-retired": (24, record(i(1), [record("app", i(9))])),
    "text-published": (26, record(record(*TEXT))),
    "erasure-asked": (27, record(i(5), "app", 3)),
    "erasure-answered": (28, record(i(5), "app", choice(0), 4)),
    "erasure-refused": (28, record(i(5), "app", choice(1, "医師法24条"), 4)),
    "channel-changed": (29, record(True, 3)),
    "specially-adopted": (25, record(i(1), 11, 12, "e", "v")),
    "enrolment-code-issued": (30, record(i(1), h(19), 14, attestation(2))),
    "link-code-issued": (31, record("app", h(19), bytes([20] * 20), 14)),
    "code-used": (32, record(i(1), h(19))),
    "counter-looked": (33, record(i(1), "city", "d")),
    "forward-asked": (34, record(i(21), i(1), i(5), "s", "app", i(1), 15)),
    "forward-asked-for-the-visit": (34, record(i(21), i(1), i(5), "s", "app", i(1), None)),
    "forward-delivered": (35, record(i(21), choice(0), 1, h(22))),
    "forward-stopped": (35, record(i(21), choice(1), 1, None)),
    "forward-late": (35, record(i(21), choice(2), 1, None)),
    "forward-refused": (35, record(i(21), choice(3), 1, None)),
    "summary-opened": (37, record(i(1), "city", "d", True)),
    "not-their-patient": (38, record(i(1), "city", "d", 3)),
    "refusal-attested-online": (11, record(i(6), i(1), i(1), "app", None, ["vaccination"], 4, attestation(3))),
    "case-flagged": (41, record(i(23), i(1), "care", ["epds-sum"], "weekly", 24)),
    "package-planned": (42, record(i(28), "city", "2026-W47", 1, 2)),
    "package-copied": (43, record(i(28), 1, 2, 3, h(29), False)),
    "package-received": (44, record(i(28), 1, 30)),
    "alert-raised": (45, record(i(25), "care")),
    "alert-acknowledged": (46, record(i(25), 31)),
    "alert-decided-consent": (47, record(i(25), i(23), i(1), choice(0), "d", "c", "r", None)),
    "alert-decided-basis": (47, record(i(25), i(23), i(1), choice(1), "d", "c", "r", i(8))),
    "alert-decided-not-shared": (47, record(i(25), i(23), i(1), choice(2), "d", "c", "r", None)),
    "basis-confirmed": (48, record(i(8), i(1), "d", True, 26, None)),
    "basis-not-upheld": (48, record(i(8), i(1), "d", False, 26, "r")),
    "basis-disclosed": (49, record(i(8), i(1), "d", 27)),
    "case-viewed": (50, record(i(23), i(1), "city", "d", True)),
    "case-worked": (51, record(i(23), i(1), "city", "d", "taken", 28)),
    "districts-assigned": (52, record("city", "m", "d", ["kita", "minami"], False)),
    "visit-moved": (36, record(i(5), 22, 23, 3, "app")),
    "pruned": (23, record(11, [record(1, 2, pruned_digest([5, 7])), record(2, 2, pruned_digest([5, 7]))])),
}


def header(kind, entry, key, idempotency, cause):
    return record(1, kind, entry, 1795305600000, key, idempotency, cause)


def clear(entry):
    return cbor([header(1, entry, None, None, choice(0)), cbor(EVENTS["registry-activated"][1])])


def sealed():
    top = header(2, i(0xA1), i(0xB0), record(h(0xC0), h(0xC1)), choice(2, i(0xD0)))
    nonce = bytes([7]) * 12
    key = bytes(range(32))
    return cbor([top, nonce + AESGCM(key).encrypt(nonce, cbor(EVENTS["enrolled"][1]), cbor(top))])


# --- frames ------------------------------------------------------------------------------------------------------------

def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def frame(acknowledged, more, entry, pruned=False):
    length = struct.pack("<I", len(entry) | (1 << 31 if more else 0) | (1 << 30 if pruned else 0))
    count = struct.pack("<Q", acknowledged)
    return length + struct.pack("<I", crc32c(length + count + entry)) + count + entry


def slot(count):
    number = struct.pack("<Q", count)
    return number + struct.pack("<I", crc32c(number)) + bytes(4)


# --- RFC 6962 ----------------------------------------------------------------------------------------------------------

def leaf(entry):
    return sha(b"\0", entry)


def root(leaves):
    if not leaves:
        return sha()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha(b"\1", root(leaves[:k]), root(leaves[k:]))


def path(n, leaves):
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if n < k:
        return path(n, leaves[:k]) + [root(leaves[k:])]
    return path(n - k, leaves[k:]) + [root(leaves[:k])]


# --- signed notes ------------------------------------------------------------------------------------------------------

ORIGIN = "sekisho.example/ledger"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes([9]) * 32)
PUBLIC = b"\1" + SIGNER.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
KEY_ID = sha(ORIGIN.encode(), b"\n", PUBLIC)[:4]


def b64(data):
    return base64.b64encode(data).decode()


def checkpoint(size, tree):
    text = f"{ORIGIN}\n{size}\n{b64(tree)}\n"
    return f"{text}\n\u2014 {ORIGIN} {b64(KEY_ID + SIGNER.sign(text.encode()))}\n"


def proof():
    entries = [clear(i(0xA0)), sealed(), clear(i(0xA2))]
    leaves = [leaf(e) for e in entries]
    return json.dumps({
        "format": "sekisho-inclusion-proof/1",
        "entry": b64(entries[1]),
        "index": 1,
        "size": 3,
        "hashes": [b64(x) for x in path(1, leaves)],
        "checkpoint": checkpoint(3, root(leaves)),
    }, indent=2, ensure_ascii=False)


# --- ids and hashes ----------------------------------------------------------------------------------------------------

def base32(data):
    return base64.b32encode(data).decode().lower().rstrip("=")


def counted(*parts):
    return sha(*(struct.pack("<Q", len(p)) + p for p in parts))


def digest_chain(*entries):
    digest = bytes(32)
    for entry in entries:
        digest = sha(digest, leaf(entry))
    return digest


def jws(typ, claims):
    """RFC 7515 compact, EdDSA; kid is the RFC 7638 thumbprint."""
    b64url = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    compact = lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    thumbprint = b64url(sha(compact({"crv": "Ed25519", "kty": "OKP", "x": b64url(PUBLIC[1:])})))
    header = {"typ": typ, "alg": "EdDSA", "kid": thumbprint}
    signed = f"{b64url(compact(header))}.{b64url(compact(claims))}"
    return f"{signed}.{b64url(SIGNER.sign(signed.encode()))}"


def receipt():
    return jws("sekisho-receipt+jwt", {
        "iss": "https://sekisho.example", "event": "revoked", "entry": "ent-" + base32(i(1)), "leaf": b64(h(2)),
        "iat": 1795305600, "at": "2026-11-22T00:00:00.123Z", "about": "cns-x", "transfers_cut": 2,
        "asked_to_erase": ["app"],
    })


def consent_receipt():
    return jws("sekisho-consent-receipt+jwt", {
        "iss": "https://sekisho.example", "iat": 1795305600, "schema_version": "sekisho-consent-receipt/1",
        "record_id": "cns-x", "pii_principal_id": "psn-x", "status": "active",
        "privacy_notice": {"sha256": "03" * 32, "version": None, "languages": ["ja", "en"]},
        "purposes": [{
            "purpose": "care", "lawful_basis": "consent", "pii_information": ["vaccination@1"], "data_from": None,
            "data_until": None, "valid_from": "2026-11-22T00:00:00.123Z", "valid_until": "2026-11-23T00:00:00.123Z",
            "withdrawal_method": "POST https://sekisho.example/v1/consents/cns-x/revoke",
        }],
        "parties": [{"party_id": "app", "party_role": "pii_controller", "name_ja": "アプリ", "name_en": "App"}],
        "events": [{
            "event_type": "given", "event_time": "2026-11-22T00:00:00.123Z", "entity_id": "psn-y", "how": "aal3",
        }],
    })


def vectors():
    count = bytes(range(16))
    prefixes = ["ent", "lnk", "key", "psn", "prt", "cns", "rfs", "blk", "aut", "bss", "fwd"]
    out = {
        "ids": "\n".join(f"{p}-{base32(count)}" for p in prefixes),
        "pairwise-id": base32(count),
        "party-id": "prt-" + base32(sha(b"sekisho-party:yotsuba-phr")[:16]),
        "entry-clear": clear(i(0xA0)).hex(),
        "entry-sealed": sealed().hex(),
        "leaf": leaf(clear(i(0xA0))).hex(),
        "sealed-body": (bytes([7]) * 12 + AESGCM(bytes(range(32))).encrypt(bytes([7]) * 12, b"body", b"header")).hex(),
        "frame": frame(5, False, b"entry").hex(),
        "frame-more": frame(5, True, b"entry").hex(),
        "frame-pruned": frame(5, True, leaf(b"entry"), pruned=True).hex(),
        "high-water-slot": slot(5).hex(),
        "roots": "\n".join(root([leaf(bytes([n])) for n in range(size)]).hex() for size in range(9)),
        "checkpoint": checkpoint(3, h(5)).rstrip("\n"),
        "verifier-key": f"{ORIGIN}+{KEY_ID.hex()}+{b64(PUBLIC)}",
        "records-digest": digest_chain(clear(i(0xA0)), sealed()).hex(),
        "text-hash": counted(*(part.encode() for part in TEXT)).hex(),
        "idempotency-key": counted(i(11), i(1), b"POST /v1/consents", b"k-1").hex(),
        "proof": proof(),
        "consent-receipt": re.sub(r"(.{118})(?=.)", r"\1\n", consent_receipt()),
        "receipt": re.sub(r"(.{118})(?=.)", r"\1\n", receipt()),
    }
    out.update({f"event-{name}": f"{kind:02x} {cbor(value).hex()}" for name, (kind, value) in EVENTS.items()})
    return out


def wrapped(text):
    long_hex = re.fullmatch(r"([0-9a-f]{2} )?[0-9a-f]+", text)
    return re.sub(r"(.{112})(?=.)", r"\1\n", text) if long_hex else text


def main():
    page = PAGE.read_text()
    derived, wrong = vectors(), []
    for name, value in derived.items():
        block = re.compile(rf"(```golden {re.escape(name)}\n)(.*?)(\n```)", re.S)
        found = block.search(page)
        if not found:
            wrong.append(f"{name}: not in the page")
        elif "--write" in sys.argv:
            page = page[:found.start(2)] + wrapped(value) + page[found.end(2):]
        elif found[2] != wrapped(value):
            wrong.append(f"{name}:\n  page     {found[2]}\n  derived  {wrapped(value)}")
    for name in re.findall(r"```golden (\S+)\n", page):
        if name not in derived:
            wrong.append(f"{name}: the page has it, this script does not")
    if "--write" in sys.argv:
        PAGE.write_text(page)
    print("\n".join(wrong) or f"{len(derived)} golden vectors agree")
    sys.exit(1 if wrong else 0)


main()
