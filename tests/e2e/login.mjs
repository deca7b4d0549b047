// People at an OpenID provider: pages that log in and consent by themselves, and a browser.
import { interactionPolicy } from 'oidc-provider';

export const PASSWORD = 'urn:test:password';
const PAGES = '/interaction/';

// --- at the provider ------------------------------------------------------------------------------

// Whoever is logged in by less than acr_values asks for must log in again.
function loginAndConsent() {
  const policy = interactionPolicy.base();
  policy.get('login').checks.add(new interactionPolicy.Check('acr_values', 'a better login is wanted',
    ({ oidc }) => {
      const wanted = oidc.params.acr_values?.split(' ');
      return Boolean(wanted && !wanted.includes(oidc.session.acr) && !oidc.result?.login);
    }));
  return policy;
}

// For the provider's configuration.
export const interactions = {
  url: (context, interaction) => PAGES + interaction.uid,
  policy: loginAndConsent(),
};

export const isPage = (request) => request.url.startsWith(PAGES);

async function consent(provider, { params, prompt, session, grantId }) {
  const grant = grantId ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  const { missingOIDCScope, missingOIDCClaims, missingResourceScopes = {} } = prompt.details;
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
  if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(missingResourceScopes)) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  return { consent: { grantId: await grant.save() } };
}

// person(params) tells how the user logs in: {account, acr, age}, the age in seconds.
export async function answerPage(provider, person, request, response) {
  const details = await provider.interactionDetails(request, response);
  if (details.prompt.name === 'consent') {
    const result = await consent(provider, details);
    return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
  }
  const { account = 'alice', acr = PASSWORD, age = 0 } = person(details.params);
  const login = { accountId: account, acr, ts: Math.floor(Date.now() / 1000) - age };
  return provider.interactionFinished(request, response, { login });
}

// --- in front of it -------------------------------------------------------------------------------

// Keeps cookies, and with them the login, from one visit to the next.
export class Browser {
  #cookies = new Map();
  visited = [];

  #header(origin) {
    const own = this.#cookies.get(origin) ?? new Map();
    return [...own].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  #keep(origin, response) {
    if (!this.#cookies.has(origin)) this.#cookies.set(origin, new Map());
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === '' || /expires=Thu, 01 Jan 1970/i.test(line)) this.#cookies.get(origin).delete(name);
      else this.#cookies.get(origin).set(name, value);
    }
  }

  // Follow an authorization URL until it leads to the redirect_uri. That URL, which holds the code,
  // is returned and never visited.
  async authorize(url) {
    const callback = new URL(url).searchParams.get('redirect_uri');
    let next = new URL(url);
    for (let steps = 0; steps < 20; steps++) {
      if (next.origin + next.pathname === callback) return next;
      this.visited.push(next.pathname);
      const response = await fetch(next, {
        redirect: 'manual',
        headers: { connection: 'close', cookie: this.#header(next.origin) },
      });
      this.#keep(next.origin, response);
      const body = await response.text();
      const location = response.headers.get('location');
      if (!location) throw new Error(`${next}: ${response.status} ${body}`);
      next = new URL(location, next);
    }
    throw new Error(`${url}: too many redirects`);
  }
}
