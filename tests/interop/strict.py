"""Parses FHIR resources strictly with fhir.resources: what it does not know, or misses, or takes for another type, fails.

Usage: strict.py FILE …; each holds one resource as JSON. Prints what each is."""

import json
import sys
from pathlib import Path

from fhir.resources.R4B import get_fhir_model_class

wrong = 0
for name in sys.argv[1:]:
    text = Path(name).read_text(encoding="utf-8")
    kind = json.loads(text)["resourceType"]
    try:
        parsed = get_fhir_model_class(kind).model_validate_json(text)
        entries = getattr(parsed, "entry", None) or []
        kinds = sorted({entry.resource.get_resource_type() for entry in entries if entry.resource})
        print(Path(name).name, kind, len(entries), *kinds)
    except Exception as error:  # noqa: BLE001: whatever it says is what is wanted
        wrong += 1
        print(Path(name).name, kind, "IS NOT ONE:", error)
sys.exit(1 if wrong else 0)
