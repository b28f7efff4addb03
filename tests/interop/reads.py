"""fhirclient (Python) against a running gateway: what it can do, a user's sign-in, a search, a read, an error.

Told by the environment variable SEKISHO_INTEROP, as JSON; prints what it got, as JSON, or fails. REQUESTS_CA_BUNDLE names the
authority."""

import json
import os
from urllib.parse import quote

import requests
from fhirclient import client
from fhirclient.models.bundle import Bundle
from fhirclient.models.immunization import Immunization
from fhirclient.server import FHIRNotFoundException, FHIRUnauthorizedException

TOLD = json.loads(os.environ["SEKISHO_INTEROP"])


def connected(who: str, scope: str) -> client.FHIRClient:
    """A client with the party's certificate."""
    party = TOLD[who]
    settings = {"app_id": party["client_id"], "api_base": TOLD["base"], "redirect_uri": TOLD["redirect"], "scope": scope}
    smart = client.FHIRClient(settings=settings)
    smart.server.session.cert = (party["cert"], party["key"])
    assert not smart.prepare(), "metadata names an issuer, so somebody has to sign in"
    return smart


def app() -> dict:
    smart = connected("app", "openid launch/patient patient/Immunization.rs")
    # Nobody is there to pick a person on the page: a hint counts as that.
    url = f"{smart.authorize_url}&login_hint={quote(TOLD['login'])}"
    back = requests.get(url, allow_redirects=False, timeout=30).headers["location"]
    smart.handle_callback(back)
    assert smart.ready
    found = Immunization.where({"patient": TOLD["app"]["patient"]}).perform_resources(smart.server)
    # It follows `next` by itself.
    paged = Immunization.where({"patient": TOLD["app"]["patient"], "_count": "7"}).perform_resources(smart.server)
    unknown = Immunization.where({"patient": "a" * 26}).perform_resources(smart.server)
    try:
        smart.server.request_json(f"Nothing/{'a' * 26}")
        raise AssertionError("a route that is not there")
    except FHIRNotFoundException:
        pass
    smart.server.auth.access_token += "x"
    try:
        smart.server.request_json(f"Immunization?patient={TOLD['app']['patient']}")
        raise AssertionError("a token that is not one")
    except FHIRUnauthorizedException:
        pass
    return {
        "immunizations": len(found),
        "paged": [one.id for one in paged] == [one.id for one in found],
        "unknown": len(unknown),
        "types": sorted(one.type for one in smart.server.capabilityStatement.rest[0].resource),
    }


def clinic() -> dict:
    """The clinic's system, for nobody in particular: by client credentials, which this library has only with an assertion."""
    party = TOLD["clinic"]
    smart = connected("clinic", "system/*.rs")
    form = {"grant_type": "client_credentials", "client_id": party["client_id"], "scope": "system/*.rs"}
    smart.server.auth.access_token = smart.server.session.post(smart.server.auth._token_uri, data=form).json()["access_token"]
    document = Bundle(smart.server.request_json(f"Patient/{party['patient']}/$summary"))
    composition = document.entry[0].resource
    return {
        "document": document.type,
        "sections": sorted(section.code.coding[0].code for section in composition.section),
        "kinds": sorted({entry.resource.resource_type for entry in document.entry}),
    }


print(json.dumps({"app": app(), "clinic": clinic()}))
