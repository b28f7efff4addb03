// npm `oidc-provider`, a certified OpenID provider, for tests of a relying party that is not by the relying party's authors.
// Started by provider.rs; what it is told comes as JSON in SEKISHO_OIDC_PROVIDER:
//   modules  where oidc-provider is installed (a node_modules directory)
//   cert, key  files: its TLS certificate and key
//   clients  client metadata as in OpenID Connect Dynamic Client Registration
//   acr  context classes on offer; the first is given when none is asked for
// It listens on a free port of loopback and says so in one line of JSON: {"issuer": "https://localhost:…"}.
// Its sign-in page takes any name, without a password. Consent is given by signing in.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const told = JSON.parse(process.env.SEKISHO_OIDC_PROVIDER);
const { Provider } = await import(pathToFileURL(join(told.modules, 'oidc-provider/lib/index.js')).href);

const BODY_MAX = 16 * 1024;
const INTERACTION = /^\/interaction\/[\w-]+$/;

const server = createServer({ cert: readFileSync(told.cert), key: readFileSync(told.key) });
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `https://localhost:${server.address().port}`;

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const provider = new Provider(issuer, {
  acrValues: told.acr,
  claims: { openid: ['sub'], acr: null, auth_time: null, iss: null, sid: null },
  clientAuthMethods: ['private_key_jwt'],
  clients: told.clients,
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  features: { backchannelLogout: { enabled: true }, devInteractions: { enabled: false } },
  // The provider refuses to call addresses that are not public. Here it calls loopback, and nobody else.
  fetch: (url, { dispatcher, ...options }) => {
    if (new URL(url).hostname !== 'localhost') throw new Error('only localhost is called');
    return fetch(url, options);
  },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' }] },
  loadExistingGrant: async (ctx) => {
    const { client, session } = ctx.oidc;
    const grant = new ctx.oidc.provider.Grant({ accountId: session.accountId, clientId: client.clientId });
    grant.addOIDCScope('openid');
    await grant.save();
    return grant;
  },
  pkce: { required: () => true },
  responseTypes: ['code'],
});

function page(title, main) {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title>
    <meta name="viewport" content="width=device-width, initial-scale=1"><main><h1>${title}</h1>${main}</main></html>`;
}

async function body(request) {
  let text = '';
  for await (const piece of request) {
    text += piece;
    if (text.length > BODY_MAX) throw new Error('the form is too long');
  }
  return new URLSearchParams(text);
}

// The class asked for, if it is on offer.
function acr({ acr_values: asked }) {
  return asked?.split(' ').find((value) => told.acr.includes(value)) ?? told.acr[0];
}

async function interaction(request, response) {
  const { params } = await provider.interactionDetails(request, response);
  if (request.method === 'POST') {
    const accountId = (await body(request)).get('login');
    const result = accountId
      ? { login: { accountId, acr: acr(params) } }
      : { error: 'access_denied', error_description: 'the person has declined' };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
    return;
  }
  response.setHeader('content-type', 'text/html; charset=utf-8');
  response.end(page('Sign in (test)', `<form method="post"><label>Name <input name="login" autocomplete="off"></label>
    <button>Sign in</button></form>`));
}

const others = provider.callback();
server.on('request', (request, response) => {
  if (!INTERACTION.test(request.url)) {
    others(request, response);
    return;
  }
  interaction(request, response).catch((error) => {
    response.statusCode = 400;
    response.end(error.message);
  });
});
provider.on('server_error', (_, error) => console.error(error));
provider.on('backchannel.error', (_, error) => console.error(error));
console.log(JSON.stringify({ issuer }));
