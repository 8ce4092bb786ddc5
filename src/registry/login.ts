// Login and logout: credentials are proven at the registry before they are stored.
import { BangerError } from "../lib/errors.ts";
import { changeLogin } from "./auth-file.ts";
import type { RegistryLimits } from "./limits.ts";
import { openSession } from "./session.ts";

export interface LoginOptions {
  /** Normalized: see parseRegistry. */
  registry: string;
  username: string;
  password: string;
  /** Host of a token server that may get the password besides the registry itself. */
  realm?: string;
  insecure?: boolean;
  authFile: string;
  limits?: Partial<RegistryLimits>;
  signal: AbortSignal;
}

const longestText = 16 * 1024;

/**
 * Asks the registry whether it takes the credentials, and stores them in `authFile`. Errors: `registry.denied` with nothing
 * stored, `registry.failed` (also when the registry asks for no credentials), `registry.unreachable`, `usage`.
 */
export async function login(options: LoginOptions): Promise<void> {
  const { registry, username, password, realm, signal } = options;
  if (username === "" || /[\p{Cc}:]/u.test(username)) {
    throw new BangerError("usage", `"${registry}": a user name cannot be empty or have colons or control characters`);
  }
  if (password === "" || /[\r\n\0]/.test(password)) {
    throw new BangerError("usage", `"${registry}": the password is empty or has more than one line`);
  }
  if (username.length + password.length > longestText) {
    throw new BangerError("usage", `"${registry}": user name and password are too long`);
  }
  let wasAsked = false;
  using session = openSession({
    ...options,
    mustProve: true,
    credentials: () => {
      wasAsked = true;
      const credential = { kind: "password", username, password } as const;
      const found = { credential, origin: `user "${username}"` };
      return Promise.resolve(realm === undefined ? found : { ...found, realm });
    },
  });
  // No scope: this asks who we are, no more. 404 is an answer of registries that do not have the page but know us.
  const answer = await session.get({
    path: "",
    what: `user "${username}" in`,
    denial: "does not let",
    expected: [200, 404],
    signal,
  });
  answer.body.destroy();
  if (!wasAsked) {
    throw new BangerError(
      "registry.failed",
      `"${registry}" does not ask for credentials: images can be pulled without`,
    );
  }
  await changeLogin(
    options.authFile,
    registry,
    { username, password, ...(realm === undefined ? {} : { realm }) },
    signal,
  );
}

/** Removes what login has stored. Returns false when nothing was. */
export function logout(authFile: string, registry: string, signal: AbortSignal): Promise<boolean> {
  return changeLogin(authFile, registry, undefined, signal);
}
