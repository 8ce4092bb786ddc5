// Kinds of credentials for a registry, and what can look them up.

/** What a user or a tool has stored for a registry. */
export type Credential =
  | { kind: "password"; username: string; password: string }
  /** A refresh token, to be exchanged at the registry's token server. */
  | { kind: "identity"; token: string }
  /** A token for the registry itself. */
  | { kind: "bearer"; token: string };

export interface FoundCredential {
  credential: Credential;
  /** Where it was, for messages. Never holds a secret. */
  origin: string;
  /** Host that besides the registry may get the password, because the user said so at login. */
  realm?: string;
}

/** Looks for what is stored for a registry ("docker.io", "localhost:5000"). Asked only when the registry wants credentials. */
export type CredentialSource = (registry: string, signal: AbortSignal) => Promise<FoundCredential | undefined>;
