#!/usr/bin/env python3
"""Checks what Sekisho's ledger says of itself with implementations that are not ours: `aics-tlog` (RFC 6962 and RFC 9162
trees, C2SP signed notes and checkpoints) and `aics-witness` (a C2SP witness). Reads JSON from standard input:

    key          the verifier key
    entries      the entries as stored, base64, in order
    checkpoints  signed checkpoints of growing size
    proofs       inclusion proofs as `sekisho ledger prove` prints them
    consistency  [old size, new size, [hashes, base64]]
    other        a signed checkpoint of another history under the same key

Prints what was accepted; ends with 1 at the first thing that is not, or that is and should not be.
"""
import base64, json, sys, tempfile, pathlib
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from aics_tlog import (MerkleTree, parse_checkpoint, parse_note, parse_vkey, verify_checkpoint, verify_consistency,
                       verify_leaf_inclusion)
from aics_witness import LogConfig, Witness, WitnessError, WitnessStore
from aics_witness.protocol import format_add_checkpoint_request

given = json.load(sys.stdin)
raw = base64.b64decode
entries = [raw(entry) for entry in given["entries"]]
key = parse_vkey(given["key"])


def must(holds, what):
    if not holds:
        sys.exit(f"NOT ACCEPTED: {what}")


def opened(signed):
    """Size and root of a signed checkpoint, its signature checked."""
    note = parse_note(signed)
    checked = verify_checkpoint(note, key, expected_origin=key.name)
    must(checked.ok and checked.log_ok, f"the checkpoint's signature: {checked.error}")
    head = parse_checkpoint(note.text)
    must((head.size, head.root) == (checked.size, checked.root), "the checkpoint says two things")
    return head.size, head.root


tree = MerkleTree(entries)
heads = [opened(signed) for signed in given["checkpoints"]]
for size, root in heads:
    must(tree.root(size) == root, f"the root of {size}")

for proof in map(json.loads, given["proofs"]):
    size, root = opened(proof["checkpoint"])
    index, hashes = proof["index"], [raw(text) for text in proof["hashes"]]
    must(raw(proof["entry"]) == entries[index], f"entry {index}")
    must(verify_leaf_inclusion(entries[index], index, size, hashes, root), f"the proof of entry {index} in {size}")
    other = entries[index - 1]
    must(not verify_leaf_inclusion(other, index, size, hashes, root), f"that another entry is not {index}")

roots = dict(heads)
for old, new, hashes in given["consistency"]:
    hashes = [raw(text) for text in hashes]
    must(verify_consistency(old, new, roots[old], roots[new], hashes), f"that {new} grew out of {old}")
    must(not verify_consistency(old, new, roots[new], roots[new], hashes), f"that {new} grew out of nothing else")

signed = given["checkpoints"][-1]
text, _, signature = signed.partition("\n\n")
lines = text.split("\n")
bent = "\n".join([lines[0], str(int(lines[1]) + 1), lines[2]]) + "\n\n" + signature
must(not verify_checkpoint(parse_note(bent), key).log_ok, "that a changed checkpoint is refused")

# A witness that follows the ledger, and signs only what grew out of what it had signed.
with tempfile.TemporaryDirectory() as folder:
    with WitnessStore(pathlib.Path(folder) / "witness.db", create=True) as store:
        log = LogConfig.from_strings(key.name, [given["key"]])
        witness = Witness("witness.example/w1", Ed25519PrivateKey.generate(), store, [log])
        proofs = {(old, new): [raw(text) for text in hashes] for old, new, hashes in given["consistency"]}
        old = 0
        for signed, (size, _) in zip(given["checkpoints"], heads):
            proof = proofs[(old, size)] if old else []
            line = witness.add_checkpoint(format_add_checkpoint_request(old, proof, signed.encode()))
            cosigned = parse_note(signed + line.decode())
            checked = verify_checkpoint(cosigned, key, [witness.vkey], quorum=1)
            must(checked.ok and checked.cosignature_count == 1, f"the witness's signature under {size}: {checked.error}")
            old = size
        for what, signed in (("an older state", given["checkpoints"][0]), ("another history", given["other"])):
            try:
                witness.add_checkpoint(format_add_checkpoint_request(old, [], signed.encode()))
            except WitnessError as refused:
                must(refused.status in (400, 409, 422), f"refused, but as {refused.status}")
            else:
                sys.exit(f"ACCEPTED by the witness: {what}")

print(f"accepted by aics-tlog and aics-witness: {len(heads)} checkpoints and roots, {len(given['proofs'])} inclusion proofs, "
      f"{len(given['consistency'])} consistency proofs; refused: changed, rolled back, another history")
