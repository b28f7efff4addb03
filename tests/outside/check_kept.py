#!/usr/bin/env python3
"""Checks one proof that a person keeps of a line of 閲覧・提供の記録, with an implementation that is not ours (`aics-tlog`) and
nothing of the ledger beside it. Reads JSON from standard input:

    key    the verifier key, as the page of the line shows it
    proof  the file that the page gives to be kept

Prints what was accepted; ends with 1 if it is not, or if what was changed in it is.
"""
import base64, json, sys
from aics_tlog import parse_checkpoint, parse_note, parse_vkey, verify_checkpoint, verify_leaf_inclusion

given = json.load(sys.stdin)
key, proof = parse_vkey(given["key"]), json.loads(given["proof"])
raw = base64.b64decode


def must(holds, what):
    if not holds:
        sys.exit(f"NOT ACCEPTED: {what}")


def holds(signed, entry, index, hashes):
    """Whether the entry stands at this place of a tree whose root the key has signed."""
    note = parse_note(signed)
    if not verify_checkpoint(note, key, expected_origin=key.name).log_ok:
        return False
    head = parse_checkpoint(note.text)
    return verify_leaf_inclusion(entry, index, head.size, hashes, head.root)


signed, entry, index = proof["checkpoint"], raw(proof["entry"]), proof["index"]
hashes = [raw(text) for text in proof["hashes"]]
must(holds(signed, entry, index, hashes), "the proof")

bent = bytes([entry[0] ^ 1]) + entry[1:]
must(not holds(signed, bent, index, hashes), "that a changed entry is refused")
must(not holds(signed, entry, index - 1, hashes), "that another place is refused")
must(not holds(signed, entry, index, hashes[:-1]), "that a proof cut short is refused")
other = [bytes(32), *hashes[1:]]
must(not holds(signed, entry, index, other), "that another hash is refused")
text, _, signature = signed.partition("\n\n")
lines = text.split("\n")
grown = "\n".join([lines[0], str(int(lines[1]) + 1), *lines[2:]]) + "\n\n" + signature
must(not holds(grown, entry, index, hashes), "that a changed checkpoint is refused")

print(f"accepted by aics-tlog: entry {index} of {parse_checkpoint(parse_note(signed).text).size}, and nothing that was changed in it")
