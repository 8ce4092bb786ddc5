// Logins to registries, as the routes see them.
import { login, logout } from "../registry/login.ts";
import { parseRegistry } from "../registry/reference.ts";
import type { Logins } from "./services.ts";

/** Keeps logins in `authFile`. */
export function createLogins(authFile: string): Logins {
  return {
    async login({ registry: host, username, password, realm, insecure = false }, { signal }) {
      const registry = parseRegistry(host);
      await login({
        ...{ registry, username, password, insecure, authFile, signal },
        ...(realm === undefined ? {} : { realm: realm.toLowerCase() }),
      });
      return { registry };
    },
    async logout({ registry: host }, { signal }) {
      const registry = parseRegistry(host);
      return { registry, removed: await logout(authFile, registry, signal) };
    },
  };
}
