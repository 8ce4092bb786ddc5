// Where credentials of registries come from: what `banger registry login` stored, then docker's configuration.
import { readLogins } from "./auth-file.ts";
import type { CredentialSource } from "./credential.ts";
import { dockerConfigFile, findInDockerConfig } from "./docker-config.ts";

export interface CredentialFiles {
  /** Our own file. */
  authFile: string;
  /** Names docker's configuration (DOCKER_CONFIG, HOME), and is what helpers get. */
  env: Readonly<Record<string, string | undefined>>;
}

/** Looks in both places at each call, so that a login counts at once. */
export function storedCredentials({ authFile, env }: CredentialFiles): CredentialSource {
  return async (registry, signal) => {
    const login = (await readLogins(authFile)).get(registry);
    if (login !== undefined) {
      const { username, password, realm } = login;
      const credential = { kind: "password", username, password } as const;
      return { credential, origin: `user "${username}"`, ...(realm === undefined ? {} : { realm }) };
    }
    const path = dockerConfigFile(env);
    return path === undefined ? undefined : findInDockerConfig(path, registry, env, signal);
  };
}
