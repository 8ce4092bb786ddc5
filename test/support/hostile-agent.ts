// Builds guests' agents that break the rules of the control channel, to take the place of the real one in a real VM.
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { root } from "./home.ts";

/** Absolute path of the static binary for one way to misbehave (see go/internal/hostile). */
export function buildHostileAgent(
  mode: "silent" | "silent-after-handshake" | "garbage" | "endless" | "endless-after-handshake",
): string {
  const output = join(root, ".cache/test-agents", mode);
  execFileSync(
    join(root, ".cache/bin/go"),
    ["build", "-o", output, "-ldflags", `-X main.mode=${mode}`, "./internal/hostile"],
    {
      cwd: join(root, "go"),
      env: { ...process.env, CGO_ENABLED: "0" },
      stdio: ["ignore", "ignore", "inherit"],
    },
  );
  return output;
}
