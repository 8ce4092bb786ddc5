// The address that the guest's checkout has as its origin.

/**
 * The origin of the host's repository, without a login: what is in an http address before the "@" is a password or token as often
 * as not, and the guest must not have it.
 */
export function originUrl(settings: ReadonlyMap<string, string>): string | null {
  const url = settings.get("remote.origin.url");
  if (url === undefined || url === "") return null;
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)([^/@]*)@/i, (whole, scheme: string, login: string) => {
    if (/^https?:/i.test(scheme)) return scheme;
    const colon = login.indexOf(":");
    return colon === -1 ? whole : `${scheme}${login.slice(0, colon)}@`;
  });
}
