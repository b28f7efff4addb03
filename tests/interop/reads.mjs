// fhirclient and fhir-kit-client (npm) against a running gateway. Told by the environment variable SEKISHO_INTEROP, as JSON; prints
// what it got, as JSON, or fails. NODE_EXTRA_CA_CERTS names the authority.

import { readFileSync } from 'node:fs';
import https from 'node:https';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const told = JSON.parse(process.env.SEKISHO_INTEROP);
const require = createRequire(pathToFileURL(path.join(told.modules, 'package.json')));
const fhirclient = require('fhirclient');
const { Agent, setGlobalDispatcher } = require('undici');
const { Client } = await import(pathToFileURL(path.join(told.modules, 'fhir-kit-client/dist/index.js')));
const DPoP = await import(pathToFileURL(path.join(told.modules, 'dpop/build/index.js')));

const certificate = (party) => ({ cert: readFileSync(party.cert), key: readFileSync(party.key) });

function holds(condition, what) {
  if (!condition) throw new Error(what);
}

// A page that the browser comes to; nobody is there to pick a person at the issuer, a hint counts as that.
const at = (url) => ({ url, headers: { host: new URL(told.redirect).host }, socket: { encrypted: true }, session: {} });

async function redirected(url) {
  const answer = await fetch(`${url}&login_hint=${encodeURIComponent(told.login)}`, { redirect: 'manual' });
  holds(answer.status === 303, `the issuer answered ${answer.status}`);
  return new URL(answer.headers.get('location'));
}

// fhirclient: SMART's configuration, the code flow with PKCE, a search, pages. It asks by node-fetch, so by Node's own agent.
async function smart() {
  Object.assign(https.globalAgent.options, certificate(told.app));
  const kept = new Map();
  const storage = {
    get: async (key) => kept.get(key),
    set: async (key, value) => (kept.set(key, value), value),
    unset: async (key) => kept.delete(key),
  };
  const url = await fhirclient(at('/launch'), {}, storage).authorize({
    iss: told.base,
    clientId: told.app.client_id,
    redirectUri: told.redirect,
    scope: 'openid launch/patient patient/Immunization.rs',
    pkceMode: 'required',
    noRedirect: true,
  });
  const back = await redirected(url);
  const client = await fhirclient(at(back.pathname + back.search), {}, storage).ready();
  const all = await client.request(`Immunization?patient=${told.app.patient}`, { flat: true, pageLimit: 0 });
  const paged = await client.request(`Immunization?patient=${told.app.patient}&_count=7`, { flat: true, pageLimit: 0 });
  const scope = await client.request(`Patient/${told.app.patient}`).catch((error) => error.status);
  const ids = (list) => JSON.stringify(list.map((one) => one.id));
  return { immunizations: all.length, paged: ids(paged) === ids(all), scope };
}

// fhir-kit-client: by the platform's fetch, with the clinic's certificate.
async function kit() {
  setGlobalDispatcher(new Agent({ connect: { ...certificate(told.clinic), ca: readFileSync(told.ca) } }));
  const client = new Client({ baseUrl: told.base });
  const statement = await client.capabilityStatement();
  const { tokenUrl } = await client.smartAuthMetadata();
  const body = new URLSearchParams({
    grant_type: 'client_credentials', client_id: told.clinic.client_id, scope: 'system/*.rs',
  });
  const token = await (await fetch(tokenUrl, { method: 'POST', body })).json();
  client.bearerToken = token.access_token;
  const document = await client.request(`Patient/${told.clinic.patient}/$summary`);
  const unknown = await client.request(`Patient/${'a'.repeat(26)}/$summary`).catch((error) => error.response.status);
  return {
    statement: statement.fhirVersion,
    document: document.type,
    kinds: [...new Set(document.entry.map((entry) => entry.resource.resourceType))].sort(),
    unknown,
  };
}

// The same without any certificate: a key, a token bound to it, and a proof with each request, made by another's library.
async function bound() {
  setGlobalDispatcher(new Agent({ connect: { ca: readFileSync(told.ca) } }));
  const keys = await DPoP.generateKeyPair('ES256');
  const client = new Client({
    baseUrl: told.base,
    requestSigner: async (url, request) => {
      const target = url.split('?')[0];
      request.headers.set('authorization', `DPoP ${token.access_token}`);
      request.headers.set('dpop', await DPoP.generateProof(keys, target, request.method, undefined, token.access_token));
    },
  });
  const smartConfiguration = await (await fetch(`${told.base}/.well-known/smart-configuration`)).json();
  const { authorization_endpoint: authorize, token_endpoint: endpoint } = smartConfiguration;
  const verifier = Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString('base64url');
  const challenge = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(verifier))).toString('base64url');
  const asked = new URLSearchParams({
    response_type: 'code', client_id: told.web.client_id, redirect_uri: told.redirect, scope: 'patient/Immunization.rs',
    state: 'interop', code_challenge: challenge, code_challenge_method: 'S256',
  });
  const back = await redirected(`${authorize}?${asked}`);
  const body = new URLSearchParams({
    grant_type: 'authorization_code', client_id: told.web.client_id, redirect_uri: told.redirect,
    code: back.searchParams.get('code'), code_verifier: verifier,
  });
  const headers = { dpop: await DPoP.generateProof(keys, endpoint, 'POST') };
  const token = await (await fetch(endpoint, { method: 'POST', body, headers })).json();
  holds(token.token_type === 'DPoP', `a token of type ${token.token_type}`);
  const search = await client.search({ resourceType: 'Immunization', searchParams: { patient: told.app.patient, _count: 7 } });
  const next = await client.nextPage({ bundle: search });
  const plain = new Client({ baseUrl: told.base });
  plain.bearerToken = token.access_token;
  const asBearer = await plain.request(`Immunization?patient=${told.app.patient}`).catch((error) => error.response.status);
  return { total: search.total, first: search.entry.length, next: next.entry.length, asBearer };
}

console.log(JSON.stringify({ smart: await smart(), kit: await kit(), bound: await bound() }));
process.exit(0);
