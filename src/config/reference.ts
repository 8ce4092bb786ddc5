// The page docs/config.md, made from the schema. `node scripts/config-docs.ts` writes it; a test compares.
import * as v from "valibot";
import { fileSyncTexts } from "./file-sync.ts";
import { configSchema, defaultTexts } from "./schema.ts";

/** The whole page, as Markdown. */
export function configReference(): string {
  const { vm_defaults: vmDefaults, templates, dns, images, network, workspace, ...top } = configSchema.entries;
  return `# config.toml

banger reads \`~/.config/banger/config.toml\` (\`$XDG_CONFIG_HOME/banger/config.toml\`; \`$BANGER_HOME/config.toml\` when
\`BANGER_HOME\` is set) when the daemon starts: after a change, \`banger daemon stop\`. Every key may be left out,
and so may the file. \`banger config show\` prints each setting and where it came from.

A key that is unknown or wrong is an error that names the file, the line and what was expected; the daemon does not start then.
Options of a command win over the file, the file wins over the defaults.

${section(top, "")}
## [vm_defaults]

What a VM gets when \`vm run\` or \`vm create\` does not say. Sizes are written as \`512M\`, \`4G\` or \`4GiB\`; a bare number
means MiB.

${section(vmDefaults.wrapped.entries, "vm_defaults.")}
## [templates]

Memory of a guest that has booted and knows nothing yet: VMs start from it instead of booting. Sizes as above.
[instant-vms.md](instant-vms.md) says more.

${section(templates.wrapped.entries, "templates.")}
## [images]

What one image may cost. Images come from strangers: a small download can unpack to anything. Sizes as above.

${section(images.wrapped.entries, "images.")}
## [workspace]

What a guest may send back. Sizes as above. [workspaces.md](workspaces.md) says more.

${section(workspace.wrapped.entries, "workspace.")}
## [dns]

Names of VMs. [ports-and-names.md](ports-and-names.md) says more.

${section(dns.wrapped.entries, "dns.")}
## [network]

What VMs may reach. [network.md](network.md) says more.

${section(network.wrapped.entries, "network.")}
\`\`\`toml
[network]
default = "ci"

[network.policies.ci]
mode = "locked"
allow = ["*.debian.org:80", "packages.example.com:443"]
deny = ["telemetry.example.com"]
allow_host = [5432]
\`\`\`

A policy has a \`mode\` (\`none\`, \`open\`, \`balanced\` or \`locked\`) and may have the lists \`allow\`, \`deny\` and \`allow_host\`, which hold
what the options \`--allow\`, \`--deny\` and \`--allow-host\` take.

## [[file_sync]]

What each VM gets of your own files, at each of its starts: one table for each file or directory. A VM that is forked or resumed
keeps what it has. At most 64 MiB and 10,000 files in all. In a directory, symbolic links are followed when they lead to something in it, else
left out. What is left out, and why, is told at the start; a VM that cannot take them, because its disk is full, starts all the same.

\`\`\`toml
[[file_sync]]
host = "~/.npmrc"
guest = "~/.npmrc"

[[file_sync]]
host = "~/.config/tool"
guest = "~/.config/tool"
\`\`\`

${fileSyncTexts.map(({ key, schema, otherwise }) => row(key, schema, otherwise)).join("\n")}`;
}

function section(entries: Record<string, v.GenericSchema>, prefix: string): string {
  const rows = Object.entries(entries).map(([key, schema]) => {
    const inner = (schema as unknown as { wrapped: v.GenericSchema }).wrapped;
    return row(key, inner, defaultTexts[`${prefix}${key}`] ?? "");
  });
  return rows.join("\n");
}

function row(key: string, schema: v.GenericSchema, otherwise: string): string {
  const description = v.getDescription(schema) ?? "";
  return `### ${key}\n\n${description}\n\n- value: ${expectedOf(schema)}\n- default: ${otherwise}\n`;
}

/** What the schema tells about a wrong value is also what a right one is. */
function expectedOf(schema: v.GenericSchema): string {
  const checked = v.safeParse(schema, { not: "a value of any key" });
  return checked.issues?.[0].message ?? "";
}
