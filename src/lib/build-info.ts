// Version and build time of this program. The bundler replaces the two constants; from source they say "dev".

declare const BANGER_VERSION: string | undefined;
declare const BANGER_BUILT_AT: number | undefined;
declare const BANGER_COMMIT: string | undefined;

export interface BuildInfo {
  version: string;
  /** Milliseconds since 1970; 0 from source. A CLI with a greater value replaces a running daemon. */
  builtAt: number;
  commit: string;
}

export const buildInfo: BuildInfo = {
  version: typeof BANGER_VERSION === "string" ? BANGER_VERSION : "0.1.0-dev",
  builtAt: typeof BANGER_BUILT_AT === "number" ? BANGER_BUILT_AT : 0,
  commit: typeof BANGER_COMMIT === "string" ? BANGER_COMMIT : "dev",
};
